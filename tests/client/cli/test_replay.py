"""Replayed runs: their faults, edited tapes, and files that stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from client.cli.runs import RUNS, short_name
from client.drive import play
from client.litmus import library_path
from contract.errors import SystemFailedError
from tests.cases import cases
from tests.client.cli.commands import document, lbrlab

FAULTS = [
    ("central-story", "revoke-gp", "drop:Revoke:1", True),
    ("central-story", "revoke-gp", "duplicate:Revoke:1", True),
    ("c24-notifier-is-lost-or-late", "revoke-gp", "reorder:Revoke:1", True),
    ("exits", "fenced", "drop:Revoke:1", False),
    ("guest-alone", "v7", "reorder:SchedIn:1", False),
]


@cases(("scenario", "design", "fault", "applied"), FAULTS)
def test_a_replay_repeats_the_faults_and_the_verdict(scenario: str, design: str, fault: str, applied: bool) -> None:
    first = lbrlab("run", scenario, "-d", design, "--fault", fault, "-o", "a.json", "--json")
    told = document(first)
    assert told["faults"] == [{"fault": fault.replace(":", " "), "applied": applied}]

    lbrlab("tape", "a.json")
    for again, notes in (
        (lbrlab("run", "a.json", "-o", "b.json", "--json"), ["a replay of a.json"]),
        (lbrlab("run", scenario, "-d", design, "--tape", "a.json", "-o", "b.json", "--json"), ["a replay of a.json"]),
        (lbrlab("check", "a.json", "--json"), []),
    ):
        repeated = document(again)
        assert again.exit_code == first.exit_code
        assert {**repeated, "run": ""} == {**told, "run": "", "notes": notes}
    assert Path("b.json").read_bytes() == Path("a.json").read_bytes()


def test_a_replay_is_called_one() -> None:
    first = lbrlab("run", "exits", "-o", "a.json").stdout.splitlines()
    again = lbrlab("run", "a.json", "-o", "a2.json").stdout.splitlines()
    assert again[:2] == [first[0], "  note a replay of a.json"]
    assert again[2:-1] == first[1:-1]


def test_a_fault_that_nothing_overtakes_says_so() -> None:
    """Its message is there: it cannot be said that the fault matched no message."""
    told = document(lbrlab("run", "guest-alone", "-d", "v7", "--fault", "reorder:SchedIn:1", "--json"))
    expected = "fault 'reorder SchedIn 1' did not apply: no message overtook one that it names, or none was sent"
    assert (told["verdict"], told["reason"]) == ("undecided", expected)


def test_the_word_of_a_tape_is_no_kind_of_fault() -> None:
    result = lbrlab("run", "central-story", "-d", "revoke-gp", "--fault", "overtake:Revoke:1")
    assert result.exit_code == 2
    assert "unknown kind 'overtake'" in result.stderr


def tape_lines() -> list[str]:
    lbrlab("run", "central-story", "-d", "revoke-gp", "-o", "a.json")
    return lbrlab("tape", "a.json").stdout.splitlines()


def test_a_tape_may_be_a_prefix_that_the_default_continues() -> None:
    lines = tape_lines()
    at = next(number for number, line in enumerate(lines) if line.endswith(" Revoke"))
    edited = [*lines[:at], lines[at].replace("take ", "drop ")]
    Path("edited.tape").write_text("\n".join(edited) + "\n")

    strict = lbrlab("run", "central-story", "-d", "revoke-gp", "--tape", "edited.tape")
    assert strict.exit_code == 2
    assert f"edited.tape:{len(edited) + 1}: the tape ends, but " in strict.stderr
    assert "--then-default" in strict.stderr

    prefix = ("--tape", "edited.tape", "--then-default")
    told = document(lbrlab("run", "central-story", "-d", "revoke-gp", *prefix, "-o", "b.json", "--json"))
    lost = document(lbrlab("run", "central-story", "-d", "revoke-gp", "--fault", "drop:Revoke:1", "--json"))
    assert told["verdict"] == "violated"
    assert told["violations"] == lost["violations"]
    assert document(lbrlab("run", "b.json", "--json"))["violations"] == lost["violations"]


def test_a_tape_has_a_machine_readable_twin() -> None:
    lines = tape_lines()
    assert document(lbrlab("tape", "a.json", "--json")) == {"run": "a.json", "tape": lines[1:]}


def test_then_default_after_a_whole_tape_changes_nothing() -> None:
    tape_lines()
    lbrlab("run", "a.json", "--then-default", "-o", "b.json")
    assert Path("b.json").read_bytes() == Path("a.json").read_bytes()


def test_then_default_needs_a_tape() -> None:
    result = lbrlab("run", "central-story", "--then-default")
    assert (result.exit_code, "--then-default: expected a tape to begin with" in result.stderr) == (2, True)


def test_an_error_in_a_tape_names_its_line() -> None:
    lines = tape_lines()
    at = next(number for number, line in enumerate(lines) if line.endswith(" Revoke"))
    wrong = [lines[0], "# a comment", "", *lines[1:at], "take host>kvm0 99 Revoke"]
    Path("edited.tape").write_text("\n".join(wrong) + "\n")

    result = lbrlab("run", "central-story", "-d", "revoke-gp", "--tape", "edited.tape")
    assert result.exit_code == 2
    assert f"edited.tape:{at + 3}: diverges: " in result.stderr


@cases("output", [[], ["-o", "mine.json"]])
def test_a_failed_run_never_overwrites_a_good_one(output: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    good = document(lbrlab("run", "central-story", "-d", "v7", *output, "--json"))
    content = Path(good["run"]).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(play.Player, "rest", _gone)
        result = lbrlab("run", "central-story", "-d", "v7", *output, "--json")
    bad = document(result)

    assert (result.exit_code, bad["verdict"]) == (3, "failed")
    assert Path(good["run"]).read_bytes() == content
    assert Path(bad["run"]).name == f"{Path(good['run']).stem}-failed.json"
    assert json.loads(Path(bad["run"]).read_text())["failure"] == {"service": "kvm", "reason": "gone"}
    assert "stays" in result.stderr


def test_a_failed_run_of_a_matrix_leaves_the_good_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("matrix", "--designs", "v7", "--scenarios", "central-story", "--json")
    good = document(lbrlab(*asked))["cells"][0]["run"]
    content = Path(good).read_bytes()
    monkeypatch.setattr(play.Player, "rest", _gone)
    bad = document(lbrlab(*asked))["cells"][0]

    assert bad["verdict"] == "failed"
    assert Path(good).read_bytes() == content
    assert Path(bad["run"]).name == "central-story-v7-failed.json"


def _gone(player: play.Player) -> None:
    raise SystemFailedError("kvm", "gone")


def test_a_run_takes_the_place_of_no_other_run() -> None:
    """The files of the same run have the same name and content; another run of that name gets a number."""
    text = library_path("central-story").read_text()
    Path("central-story.litmus").write_text(text)
    for name in ("central-story", "./central-story.litmus"):
        result = lbrlab("run", name, "-d", "v7")
        assert "  run file: lbrlab-runs/central-story-v7-sim.json\n" in result.stdout
        assert result.stderr == ""
    first = (RUNS / "central-story-v7-sim.json").read_bytes()

    for number in (2, 3):
        Path("central-story.litmus").write_text(text.replace("branch 40", f"branch 4{number}"))
        result = lbrlab("run", "./central-story.litmus", "-d", "v7")
        kept = RUNS / f"central-story-v7-sim-{number}.json"
        assert f"  run file: {kept}\n" in result.stdout
        assert result.stderr == (
            f"lbrlab: warning: lbrlab-runs/central-story-v7-sim.json holds another run and stays; this one is {kept}\n"
        )
        assert f"branch 4{number}" in kept.read_text()
    assert len(list(RUNS.iterdir())) == 3
    assert (RUNS / "central-story-v7-sim.json").read_bytes() == first


def test_a_long_list_of_faults_has_a_file_name_that_fits() -> None:
    faults = [part for n in range(1, 30) for part in ("--fault", f"drop:Revoke:{n}")]
    told = document(lbrlab("run", "central-story", "-d", "revoke-gp", *faults, "--json"))
    other = document(lbrlab("run", "central-story", "-d", "revoke-gp", *faults[:-2], "--json"))

    assert Path(told["run"]).is_file()
    assert Path(told["run"]).parent == RUNS
    assert told["run"] != other["run"]
    assert document(lbrlab("matrix", "--designs", "v7", "--scenarios", "exits", *faults, "--json"))["cells"][0]["run"]


def test_short_names_stay_as_they_are() -> None:
    assert short_name("a" * 120) == "a" * 120
    assert len(short_name("a" * 121)) == 120
    assert short_name("a" * 121) != short_name("a" * 122)


GIVEN = "--perfcore", "unix:p", "--kvm", "unix:k"


@cases(
    ("arguments", "error"),
    [
        (["run", "exits", "-d", "v7", "-d", "v8"], "--design: expected one, found v7, v8"),
        (["run", "exits", "-d", "v7+shut-out=no+shut-out=yes"], "shut-out has two values"),
        (["run", "exits", "-d", "V7"], "did you mean 'v7'?"),
        (["run", "exits", "--fault", "drop:revoke:1"], "unknown message 'revoke', did you mean 'Revoke'?"),
        (
            ["run", "exits", "--perfcore", "unix:p", "--kvm", "unix:k", "--kvm", "unix:k"],
            "--kvm: unix:k is given twice",
        ),
        (["matrix", "--perfcore", "unix:p"], "expected both --perfcore and --kvm, or neither"),
        (["claims", "--kvm", "unix:p"], "expected both --perfcore and --kvm, or neither"),
        (["demo", "--wire", "sim", *GIVEN], "addresses need --wire grpc"),
        (
            ["matrix", "--perfcore", "unix:p", "--kvm", "unix:k", "--workers", "2"],
            "--workers, --dask: given services play",
        ),
        (["run", "mech-two-kvms-one-cpu", *GIVEN], "--kvm: given once, the scenario has 2: kvm0, kvm1"),
    ],
)
def test_what_is_given_twice_or_in_part_is_refused(arguments: list[str], error: str) -> None:
    result = lbrlab(*arguments)
    assert result.exit_code == 2
    assert error in result.stderr


def test_a_design_file_in_this_folder_is_hinted_at() -> None:
    Path("noext").write_text('like = "v7"\n')
    assert "did you mean './noext'?" in lbrlab("run", "exits", "-d", "noext").stderr


def test_a_design_file_may_begin_with_a_byte_order_mark() -> None:
    Path("mine.toml").write_text('\ufefflike = "v7"\n', encoding="utf-8")
    assert lbrlab("run", "guest-alone", "-d", "./mine.toml").exit_code == 0
