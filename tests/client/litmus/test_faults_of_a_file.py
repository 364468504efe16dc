"""Rules of faults that stand in a litmus file."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from client import api
from client.litmus import Story, VmSpec, format_scenario, parse
from client.litmus.fault import FaultRule
from client.litmus.fault_kinds import FAULT_KINDS, SELECTORS
from client.litmus.fault_rules import parse_fault
from client.litmus.validate import validate
from contract.errors import InputError
from tests.cases import cases
from tests.client.cli.commands import document, lbrlab

STORY = api.load("central-story")
DROPPED = replace(STORY, faults=[parse_fault("drop Revoke 1")])


def story(*lines: str) -> str:
    return "\n".join(["LBR x", "vm vm0 { }", *lines, "host { run vm0/0 on cpu0; }", ""])


def test_every_form_of_a_rule_stands_in_a_file_and_comes_back() -> None:
    rules = [*(kind.example for kind in FAULT_KINDS.values()), *(example for _, _, example in SELECTORS)]
    scenario = parse(story(*(f"fault {rule}; // {rule}" for rule in rules)))
    assert [str(rule) for rule in scenario.faults] == [str(parse_fault(rule)) for rule in rules]
    again = parse(format_scenario(scenario))
    assert again == scenario
    assert again != replace(scenario, faults=scenario.faults[1:])


def test_colons_and_blanks_are_free_and_the_word_is_found_nowhere_else() -> None:
    text = story("fault   drop:Revoke:1;", "/* fault drop Ack; */ // fault drop Ack;")
    assert list(map(str, parse(text.replace("LBR x", 'LBR x "a fault drop"')).faults)) == ["drop Revoke 1"]
    for name in ("default", "a-fault", "faults"):
        assert parse(f"LBR x task {name} ; vm vm0 {{ }}").tasks == [name]


@cases(
    ("rule", "column", "said"),
    [
        ("drop Revok", 12, "unknown message 'Revok', did you mean 'Revoke'?"),
        ("dorp", 7, "unknown kind 'dorp', did you mean 'drop'?"),
        ("drop vm1/0", 12, "unknown vCPU 'vm1/0', did you mean 'vm0/0'?"),
        ("drop kvm1>host", 12, "unknown kvm 'kvm1', did you mean 'kvm0'?"),
        ("drop session kvm1", 20, "unknown kvm 'kvm1'"),
        ("delay", 7, "delay needs 'by'"),
        ("drop Revoke,", 6, "expected a message, found the end of the rule"),
        ("", 6, "expected a kind of fault: drop, "),
    ],
)
def test_errors_have_the_place_in_the_file(rule: str, column: int, said: str) -> None:
    with pytest.raises(InputError, match=said.replace("?", r"\?")) as error:
        parse(story("", f"fault {rule};"), "a.litmus")
    assert error.value.place == f"a.litmus:4:{column}"


def test_a_rule_made_in_python_must_have_a_text() -> None:
    for rule in (FaultRule(kind="smash"), FaultRule(kind="drop", amount=3), FaultRule(kind="drop", first=2, last=5)):
        with pytest.raises(InputError, match=r"not (a|the) rule") as error:
            validate(replace(STORY, faults=[rule]))
        assert str(error.value.place).startswith("central-story: fault '")
    built = Story("x", vms=[VmSpec("vm0")], faults=["drop Revoke 1", parse_fault("drop vm0/0")]).scenario()
    assert parse(format_scenario(built)) == built


# Runs ----------------------------------------------------------------------------------------------------


def test_a_run_has_the_faults_of_its_file_before_those_that_are_given() -> None:
    run = api.run(DROPPED, "revoke-gp", faults=["drop SchedIn 1"])
    given = api.run(STORY, "revoke-gp", faults=["drop Revoke 1", "drop SchedIn 1"])
    assert run.faults == given.faults
    assert run.records == given.records
    plain = api.run(DROPPED, "revoke-gp", file_faults=False)
    assert plain.faults == ()
    assert plain.records == api.run(STORY, "revoke-gp").records
    (row,) = api.matrix([DROPPED], ["revoke-gp"])
    (bare,) = api.matrix([DROPPED], ["revoke-gp"], file_faults=False)
    assert ("one-owner" in row.broken, bare.broken) == (True, [])


def test_a_replay_takes_the_faults_from_the_tape_alone(tmp_path: Path) -> None:
    run = api.run(DROPPED, "revoke-gp", keep_at=tmp_path / "run.json")
    again = api.run(STORY, "revoke-gp", tape=tmp_path / "run.json")
    assert again.records == run.records
    assert document(lbrlab("run", str(tmp_path / "run.json"), "--json", "-o", str(tmp_path / "b.json")))["faults"] == [
        {"fault": "drop Revoke 1", "applied": True}
    ]
    shrunk = api.shrink(run, invariant="one-owner").run
    assert shrunk.scenario.faults == []
    assert "one-owner" in shrunk.broken()


def test_the_command_line_leaves_the_faults_of_a_file_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.litmus").write_text(format_scenario(replace(DROPPED, name="a")))
    told = document(lbrlab("run", "a.litmus", "-d", "revoke-gp", "--fault", "drop:SchedIn:1", "--json"))
    assert [fault["fault"] for fault in told["faults"]] == ["drop Revoke 1", "drop SchedIn 1"]
    told = document(lbrlab("run", "a.litmus", "-d", "revoke-gp", "--no-file-faults", "--json"))
    assert (told["faults"], told["verdict"]) == ([], "held")
    for more in ((), ("--no-file-faults",)):
        matrix = lbrlab(
            "matrix", "--scenarios", "a.litmus", "--designs", "revoke-gp", "--workers", "1", "--json", *more
        )
        assert (document(matrix)["cells"][0]["broken"] == []) is bool(more)
    assert sorted(path.name for path in Path("lbrlab-runs").iterdir() if path.is_dir()) == [
        "matrix", "matrix-no-file-faults",
    ]  # fmt: skip


def test_a_target_that_is_not_there_has_its_place() -> None:
    for rule, column, name in (("cut kvm9 at Revoke 1", 11, "kvm9"), ("stall perfcore7 at 4ms", 13, "perfcore7")):
        with pytest.raises(InputError, match=rf"unknown (kvm|service) '{name}'") as error:
            parse(story(f"fault {rule};"), "a.litmus")
        assert error.value.place == f"a.litmus:3:{column}"
