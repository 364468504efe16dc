"""``lbrlab step`` of a scenario: commands from a pipe and from a terminal, what it shows, and the files it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from client import api
from client.cli import prompt
from client.cli.app import app
from client.cli.walk import _COMMANDS, HELP
from client.litmus.fault_rules import parse_fault
from client.run.file import load_run
from client.schedule.decisions import parse_tape
from client.walk.walk import Walk
from contract.messages import PROTOCOL_VERSION
from contract.trace import canonical
from tests.cases import cases
from tests.client.cli.commands import document, lbrlab
from tests.designs import REVOKE_GP

STORY = ("step", "central-story", "-d", "revoke-gp")
LOST = (*STORY, "--fault", "drop Revoke 1")


@pytest.fixture(autouse=True)
def folder(in_tmp: Path) -> Path:
    return in_tmp


def walked(*arguments: str, lines: tuple[str, ...] = ()) -> Result:
    result = CliRunner().invoke(app, list(arguments), input="".join(f"{line}\n" for line in lines))
    assert "Traceback" not in result.output
    assert [line for line in result.output.splitlines() if len(line) > 80 and "--json" not in arguments] == []
    return result


def test_it_shows_what_can_happen_what_changed_and_what_each_side_believes() -> None:
    result = walked(*STORY, lines=("1", "n 9", "q"))
    assert result.exit_code == 4, "the run is not over"
    first, second, third = result.stdout.split("\ndecision ")
    assert f"  >  1 kvm0>host #1 Hello protocol={PROTOCOL_VERSION} arrives\n" in first
    assert "     7 host: run vm0/0 on cpu0\n" in first
    assert second.startswith("1, record 5, 0 ns: central-story under revoke-gp")
    assert "     4 perf: kvm0>host #1 Hello: taken\n" in second
    assert "  what each side believes of the other\n" in second
    assert "  * vm0/0 in perf: ACTIVE, grant 1 (was no event)\n" in third
    assert "  * vm0/0 as KVM was told: ACTIVE, grant 1 (was nothing yet)\n" in third
    assert "  * vm0/0 claim: held (was none)\n" in third


def test_a_saved_walk_replays_to_the_same_records() -> None:
    result = walked(*LOST, lines=("n 2", "2", "u", "f", "s walk.tape", "s walk.json", "q"))
    assert result.exit_code == 1, "the walk violates something"
    assert lbrlab("run", "central-story", "-d", "revoke-gp", "--tape", "walk.tape", "-o", "again.json").exit_code == 1
    walk, again = load_run(Path("walk.json")), load_run(Path("again.json"))
    assert canonical(walk.records) == canonical(again.records)
    assert walk.tape == again.tape == parse_tape(Path("walk.tape").read_text())
    assert lbrlab("run", "walk.json").exit_code == lbrlab("check", "walk.json").exit_code == 1


def test_finish_judges_and_the_exit_code_is_that_of_the_verdict() -> None:
    for arguments, code in ((LOST, 1), ((*STORY[:2], "-d", "fenced"), 0)):
        result = walked(*arguments, lines=("f",))
        assert result.exit_code == code
        last = load_run(Path(result.stdout.split("the walk is in ")[1].strip()))
        assert int(last.verdict.exit_code) == code
        assert f"on sim: {last.verdict.verdict} (" in result.stdout
        assert "possible" not in result.stdout.split("\ndecision ")[-1]


@cases(
    ("lines", "line", "told"),
    [
        (("1", "99"), 2, "expected a decision from 1 to 11, found 99"),
        (("0",), 1, "expected a decision from 1 to 7, found 0"),
        (
            ("# a comment", "", "nonsense"),
            3,
            "'nonsense': expected a number of the list, a command of h, or",
        ),
        (("n x",), 1, "expected a number from 1, found 'x'"),
        (("u",), 1, "nothing to undo"),
        (("n 2", "u 0"), 2, "expected a number from 1, found '0'"),
        (("f", "n"), 2, "the run is over"),
        (("f x",), 1, "expected nothing behind this command, found 'x'"),
        (("step t9",), 1, "'step t9' is not possible here; possible: 'take kvm0>host 1 Hello'"),
        (("drop kvm0>host 1 Hallo",), 1, "unknown message 'Hallo'"),
        (("s",), 1, "expected the name of a file"),
        (("s other.txt",), 1, "other.txt: exists and is not a tape"),
        (("s other.json",), 1, "other.json: exists and is not a run file"),
    ],
)
def test_a_refused_command_ends_a_pipe_with_its_line(lines: tuple[str, ...], line: int, told: str) -> None:
    for name in ("other.txt", "other.json"):
        Path(name).write_text("mine")
    result = walked(*STORY, "-o", "kept.tape", lines=lines)
    assert result.exit_code == 2, result.output
    error = " ".join(result.stderr.split())
    assert error.startswith(f"lbrlab: error: <stdin>:{line}: "), error
    assert told in error
    assert Path("other.txt").read_text() == Path("other.json").read_text() == "mine"
    assert Path("kept.tape").exists(), "the walk up to there is kept"


def test_a_terminal_says_why_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["99", "1", "h", "t"])

    def answer(shown: str) -> str:
        print(shown, end="")
        if (line := next(answers, None)) is None:
            raise EOFError
        return line

    monkeypatch.setattr(prompt, "input", answer, raising=False)
    monkeypatch.setattr(prompt, "is_terminal", lambda: True)
    result = walked(*STORY)
    assert result.exit_code == 4
    assert "expected a decision from 1 to 7, found 99\n0> " in result.stdout
    assert "0> decision 1, record 5" in result.stdout
    for command, _ in HELP:
        assert f"\n{command}" in result.stdout.replace("1> ", "\n")
    assert "lbrlab-tape 1\ntake kvm0>host 1 Hello\n" in result.stdout


def test_each_command_of_the_help_is_there() -> None:
    said = {command.split()[0] for command, _ in HELP} - {"N", "DECISION", "q"}
    assert said == {name for name in _COMMANDS if len(name) == 1 and name != "?"}


def test_the_document_is_that_of_the_last_point() -> None:
    result = walked(*LOST, "--json", lines=("n 1", "2", "s w.tape"))
    told = document(result)
    walk = Walk(api.load("central-story"), REVOKE_GP, [parse_fault("drop Revoke 1", "test")])
    walk.go_on(1)
    walk.take([walk.choices[1]])
    assert told["tape"] == [str(each) for each in walk.tape] == Path("w.tape").read_text().splitlines()[1:]
    assert [choice["decision"] for choice in told["choices"]] == [str(each) for each in walk.choices]
    assert told["exit_code"] == result.exit_code == 4
    assert load_run(Path(told["run"])).tape == walk.tape
    refused = walked(*STORY, "--json", lines=("99",))
    assert json.loads(refused.stdout)["exit_code"] == refused.exit_code == 2


def test_a_tape_is_where_a_walk_begins() -> None:
    walked(*LOST, lines=("n 20", "s part.tape"))
    lines = Path("part.tape").read_text().splitlines()
    result = walked("step", "central-story", "-d", "revoke-gp", "--tape", "part.tape", "--json")
    assert document(result)["tape"] == lines[1:]
    undone = walked("step", "central-story", "-d", "revoke-gp", "--tape", "part.tape", "--json", lines=("u 15",))
    assert document(undone)["tape"] == lines[1:6]
    Path("part.tape").write_text("\n".join([*lines[:4], "step t9"]))
    result = lbrlab("step", "central-story", "-d", "revoke-gp", "--tape", "part.tape")
    assert result.exit_code == 2
    assert "part.tape:5: 'step t9' is not possible here" in result.stderr


def test_an_interruption_keeps_the_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = iter(["n 3\n"])

    def interrupted() -> str:
        if (line := next(lines, None)) is None:
            raise KeyboardInterrupt
        return line

    monkeypatch.setattr(prompt, "next_line", interrupted)
    result = walked(*STORY)
    assert result.exit_code == 130
    error = " ".join(result.stderr.split())
    assert error.startswith("lbrlab: error: interrupted; the walk up to here is in ")
    assert len(load_run(Path(error.split(" is in ")[1])).tape) == 3


def test_a_walk_that_has_not_moved_leaves_no_file(folder: Path) -> None:
    assert walked(*STORY).exit_code == 4
    assert [*folder.iterdir()] == []


def test_long_lists_are_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.cli.walk.CHOICES_LIMIT", 2)
    monkeypatch.setattr("client.cli.walk.CHANGES_LIMIT", 3)
    result = walked(*STORY, lines=("n 8", "l"))
    parts = result.stdout.split("\ndecision ")
    assert "and 5 more, up to 7" in parts[0]
    before = int(parts[1].split("\n")[1].split()[0])
    assert f"  {before} records before these" in parts[1]
