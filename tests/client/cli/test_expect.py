"""``run --expect``: kept in the run file, and used again by check and by a replay."""

from __future__ import annotations

from client.litmus.spelling import listed
from contract.invariants import INVARIANTS
from tests.cases import cases
from tests.client.cli.commands import document, lbrlab

STORY = "mech-release-lbr-off"


def test_check_and_replay_know_what_was_expected() -> None:
    plain = document(lbrlab("run", "central-story", "-d", "v7", "--json"))
    broken = [name for name, verdict in plain["invariants"].items() if verdict == "violated"]
    assert (plain["verdict"], plain["exit_code"], plain["surprises"]) == ("violated", 1, broken)

    expect = ("--expect", f"violated {', '.join(broken)}")
    first = lbrlab("run", "central-story", "-d", "v7", *expect, "-o", "a.json", "--json")
    told = document(first)
    assert (first.exit_code, told["verdict"], told["exit_code"], told["surprises"]) == (0, "expected", 0, [])
    for again in (lbrlab("check", "a.json", "--json"), lbrlab("run", "a.json", "-o", "b.json", "--json")):
        assert again.exit_code == 0
        assert {**document(again), "run": "", "notes": []} == {**told, "run": ""}


def test_the_command_line_comes_before_the_file() -> None:
    args = ("run", "a.litmus", "-d", "fenced")
    with open("a.litmus", "w", encoding="utf-8") as file:
        file.write("LBR a vm vm0 { lbr = on; } host { run vm0/0 on cpu0; } vm0/0 { cpuid; } expect violated no-leak;")
    assert lbrlab(*args).exit_code == 1
    assert lbrlab(*args, "--expect", "not-exercised no-leak").exit_code == 0


def test_a_check_takes_expectations_too() -> None:
    lbrlab("run", "central-story", "-d", "v7", "-o", "a.json")
    broken = document(lbrlab("check", "a.json", "--json"))["surprises"]
    result = lbrlab("check", "a.json", "--expect", f"violated {', '.join(broken)}", "--json")
    assert (result.exit_code, document(result)["verdict"]) == (0, "expected")
    assert lbrlab("check", "a.json", "--expect", f"held {broken[0]}").exit_code == 1
    unknown = lbrlab("check", "a.json", "--expect", "violated a")
    assert (unknown.exit_code, "--expect 'violated a': unknown invariant 'a'" in unknown.stderr) == (2, True)


def test_more_than_one() -> None:
    told = document(lbrlab("run", "central-story", "--expect", "violated a", "--json"))
    assert told == {
        "error": f"--expect 'violated a': unknown invariant 'a', expected {listed(INVARIANTS)}",
        "exit_code": 2,
    }
    result = lbrlab("run", "guest-alone", "-d", "fenced", "--expect", "held no-loss", "--expect", "violated no-leak")
    assert result.exit_code == 1
    assert "no-leak is" in result.stdout


@cases("text", ["violated", "no-loss"])
def test_malformed(text: str) -> None:
    result = lbrlab("run", "central-story", "--expect", text)
    assert result.exit_code == 2
    assert "expected VERDICT INVARIANT, for example 'violated no-loss'" in result.stderr


def test_the_name_of_an_unknown_design_is_told() -> None:
    with open("a.litmus", "w", encoding="utf-8") as file:
        file.write("LBR a expect violated no-leak under v77;")
    result = lbrlab("run", "a.litmus")
    assert result.exit_code == 2
    assert "under v77: unknown design 'v77', did you mean 'v7'?" in result.stderr


def test_a_stated_violation_is_green_in_a_matrix() -> None:
    told = document(lbrlab("matrix", "--scenarios", STORY, "--designs", "merged,fenced", "--json"))
    assert [cell["verdict"] for cell in told["cells"]] == ["expected", "held"]
    assert (told["verdict"], told["exit_code"]) == ("expected", 0)
    assert told["worst"]["no-loss"]["merged"]["verdict"] == "violated"
    assert " e " in lbrlab("matrix", "--scenarios", STORY, "--designs", "merged,fenced").stdout
