"""The Python API, and the lines of README and docs that show it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from client import api
from client.drive.sim import SimWire
from client.run.run import Run
from contract.effects import StepResult
from contract.errors import InputError, SystemFailedError
from contract.trace import canonical
from tests.cases import cases
from tests.client.cli.commands import document, lbrlab
from tests.designs import FENCED, REVOKE_GP

ROOT = Path(__file__).parents[2]
STORY = "central-story"


def shown(page: str) -> list[str]:
    """The Python programs of a page that use the API."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    return [block for block in blocks if "api" in block]


def test_the_lines_of_the_readme_run() -> None:
    (program,) = shown("README.md")
    lines = [line for line in program.splitlines() if line]
    assert len(lines) == 5
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True, cwd=ROOT)
    verdict, first = done.stdout.splitlines()
    assert verdict.startswith("violated ['one-owner',")
    assert re.fullmatch(r"vm0/0 enters with DEBUGCTL\.LBR set .* in record \d+ of \d+", first)


def test_the_lines_of_the_python_page_run() -> None:
    (program,) = shown("docs/python.md")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True, cwd=ROOT)
    v7, vmx, cells = done.stdout.splitlines()
    assert (v7.split()[0], vmx.split()[0]) == ("v7", "vmx-transition")
    assert "('central-story', 'fenced', 'held')" in cells


def test_rules_of_faults_are_values() -> None:
    rule = api.fault("drop:Revoke:1")
    assert (str(rule), api.faults("lost-revoke")) == ("drop Revoke 1", (rule,))
    assert api.run(STORY, "revoke-gp", faults=[rule]).records == api.run(STORY, "revoke-gp", faults=[str(rule)]).records
    seeded = api.faults("all", seed=7)
    assert seeded == api.faults("all:seed=7") != api.faults("all")
    assert len({rule.seed for rule in seeded}) == len(seeded)
    assert [rule.kind for rule in seeded] == [rule.kind for rule in api.faults("all")]


def test_a_run_without_the_faults_of_its_file_replays_from_its_own(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    one = api.run("mech-revoke-is-lost", "fenced", file_faults=False, keep_at=path)
    again = api.check(path)
    assert isinstance(again, Run)
    replayed = api.run(again.scenario, "fenced", tape=path)
    assert (replayed.records, one.faults) == (one.records, ())
    assert api.load("mech-revoke-is-lost").faults


# Run -----------------------------------------------------------------------------------------------------


def test_a_run_is_that_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = document(lbrlab("run", STORY, "-d", "revoke-gp", "--fault", "drop:Revoke:1", "-o", "a.json", "--json"))
    run = api.run(STORY, "revoke-gp", faults=["drop:Revoke:1"], keep_at="b.json")
    assert (run.verdict.verdict, run.verdict.reason) == (told["verdict"], told["reason"])
    assert run.path == Path("b.json")
    assert Path("b.json").read_bytes() == Path("a.json").read_bytes()


def test_values_are_taken_in_the_place_of_names() -> None:
    by_name = api.run(STORY, "fenced")
    by_value = api.run(api.load(STORY), FENCED, wire=SimWire())
    assert canonical(by_name.records) == canonical(by_value.records)


def test_a_run_replays_from_its_file(tmp_path: Path) -> None:
    run = api.run(STORY, REVOKE_GP, faults=["duplicate:Revoke:1"], keep_at=tmp_path / "run.json")
    again = api.run(STORY, REVOKE_GP, tape=tmp_path / "run.json")
    assert canonical(again.records) == canonical(run.records)
    assert again.faults == run.faults


def test_other_lets_and_expectations_come_with_the_scenario() -> None:
    assert api.load("c09-exits-per-switch", lets={"exits": 3}).lets == {"exits": 3}
    story = api.load(STORY, expects=["violated one-owner"])
    assert "one-owner" not in api.run(story, "kvm-switch").verdict.surprises


def test_a_run_is_checked_again_from_its_file_or_from_itself(tmp_path: Path) -> None:
    run = api.run(STORY, "v8", keep_at=tmp_path / "run.json")
    for again in (api.check(tmp_path / "run.json"), api.check(run)):
        assert again.verdict == run.verdict
    expected = api.check(run, expects=[f"violated {', '.join(run.broken())}"])
    assert (expected.verdict.verdict, run.verdict.verdict) == ("expected", "violated")


def test_a_run_over_two_services_is_the_same() -> None:
    sim, grpc = api.run(STORY, "fenced"), api.run(STORY, "fenced", wire="grpc")
    assert (sim.wire, grpc.wire) == ("sim", "grpc")
    assert canonical(grpc.records) == canonical(sim.records)


def test_a_matrix_has_a_cell_for_each(tmp_path: Path) -> None:
    cells = api.matrix([STORY, api.load("guest-alone")], ["v7", FENCED], folder=tmp_path / "runs")
    expected = [(s, d) for s in (STORY, "guest-alone") for d in ("v7", "fenced")]
    assert [(cell.scenario, cell.design) for cell in cells] == expected
    assert all(api.check(str(cell.run)).verdict.verdict == cell.verdict for cell in cells)


# The needs of a notebook ------------------------------------------------------------------------------------


def test_signal_handlers_stay_as_they_are() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    api.run(STORY, "fenced", wire="grpc")
    api.matrix(["guest-alone", STORY], ["v7"], workers=2)
    assert [signal.getsignal(number) for number in numbers] == before


class Stopped(SimWire):
    """Raises at the first message that is decided on."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def decide(self, *arguments: object) -> StepResult[bool]:
        raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemFailedError("kvm", "died")])
def test_a_run_that_ends_early_is_kept_and_raises(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        api.run(STORY, "fenced", wire=Stopped(error), keep_at=tmp_path / "run.json")
    kept = api.check(tmp_path / "run.json")
    assert isinstance(kept, Run)
    assert kept.verdict.verdict == "failed"


# Bad arguments ----------------------------------------------------------------------------------------------


untyped: Any = api


@cases(
    ("call", "said"),
    [
        (lambda: untyped.load(3), "scenario: expected a name or a path, found 3"),
        (lambda: untyped.load(""), "FILE: expected a litmus file, or the name of a scenario"),
        (lambda: untyped.load("central-stori"), "did you mean 'central-story'"),
        (lambda: untyped.load("c09-exits-per-switch", lets={"exits": "many"}), "lets: expected numbers, found 'many'"),
        (lambda: untyped.load("c09-exits-per-switch", lets={"exit": 2}), "lets exit=2: unknown let 'exit'"),
        (lambda: untyped.load(STORY, expects="violated no-loss"), "expects: expected a list, found 'violated no-loss'"),
        (lambda: untyped.load(STORY, expects=["no-loss"]), "expects 'no-loss': expected VERDICT INVARIANT"),
        (lambda: untyped.run(STORY, "fence"), "did you mean 'fenced'"),
        (lambda: untyped.run(STORY, 7), "design: expected a design or a name, found 7"),
        (lambda: untyped.run(STORY, faults="drop:Revoke:1"), "faults: expected a list"),
        (
            lambda: untyped.run(STORY, faults=["drop:Revok:1"]),
            "faults 'drop:Revok:1', column 6: unknown",
        ),
        (lambda: untyped.run(STORY, faults=[3]), "faults: expected rules, found 3"),
        (lambda: untyped.fault(3), "rule: expected a text, found 3"),
        (lambda: untyped.faults("al"), "faults: unknown preset 'al', did you mean 'all'?"),
        (lambda: untyped.faults("all", seed=-1), "faults: seed -1 is not a number from 0 to 999_999"),
        (lambda: untyped.faults("all", seed="7"), "seed: expected a number, found '7'"),
        (lambda: untyped.run(STORY, faults=["drop:Revoke:1"], tape="x"), "faults: a tape already decides"),
        (lambda: untyped.run(STORY, then_default=True), "then_default: expected a tape to begin with"),
        (lambda: untyped.run(STORY, wire="smoke"), "wire: expected sim, grpc or a wire, found 'smoke'"),
        (lambda: untyped.run(STORY, timeout=0), "timeout: expected seconds, at most 3600, found 0"),
        (lambda: untyped.check("no.json"), "no.json: cannot read"),
        (lambda: untyped.matrix(STORY), "scenarios: expected a list, found 'central-story'"),
        (lambda: untyped.matrix([STORY], ["v7"], workers=-1), "workers: expected a number from 0 to 256, found -1"),
    ],
)
def test_a_bad_argument_is_one_clear_error(call: Any, said: str) -> None:
    with pytest.raises(InputError) as error:
        call()
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_file_is_no_scenario(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    api.run(STORY, keep_at=path)
    said = f"{path}: is a run file; expected a litmus file, or the name of a scenario of the library"
    for call in (lambda: api.run(str(path)), lambda: api.load(path), lambda: api.matrix([str(path)])):
        with pytest.raises(InputError) as error:
            call()
        assert str(error.value) == said


def test_an_invariant_that_is_not_there_is_named() -> None:
    run = api.run("central-story", "revoke-gp")
    for ask in (run.violation, run.verdict_of):
        with pytest.raises(api.InputError, match=r"unknown invariant 'no-los', did you mean 'no-loss'\?"):
            ask("no-los")


REGISTERS = """LBR x host { h = open cpu0 pinned branch any; if 1 = 2 { late = 3; } n = 1; s = sample h; }"""


def test_a_register_is_a_number_a_word_a_field_or_nothing_yet(tmp_path: Path) -> None:
    path = tmp_path / "x.litmus"
    path.write_text(REGISTERS)
    run = api.run(str(path))
    asked = ("host:n", "host:h.state", "host:s.host", "host:late")
    assert [run.register(name) for name in asked] == [1, "ACTIVE", 0, None]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "host:hh",
            "no register 'host:hh', did you mean 'host:h'?; the scenario has host:h, host:n, host:s or host:late",
        ),
        ("nonsuch", "no register 'nonsuch'; the scenario has host:h, host:n, host:s or host:late"),
        ("host:s.guset", "'host:s.guset': expected host:s.entries, host:s.host, host:s.guest or host:s.empty"),
        ("host:h", "'host:h': expected host:h.state or host:h.samples"),
        ("host:n.count", "'host:n.count': expected host:n"),
    ],
)
def test_a_register_that_is_not_there_is_named_with_those_that_are(name: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.litmus"
    path.write_text(REGISTERS)
    with pytest.raises(InputError) as error:
        api.run(str(path)).register(name)
    assert str(error.value) == f"register: {said}"
