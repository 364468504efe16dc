"""``lbrlab step``: where the walk stands, the state there, and what the record changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from client import api
from client.cli.app import app
from client.cli.step import HELP, moved
from client.run.run import Run
from client.timeline.timeline import Timeline, timeline_of
from tests.client.cli.commands import document, lbrlab


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("run") / "lost.json"
    return api.run("central-story", "revoke-gp", faults=["drop Revoke 1"], keep_at=path)


@pytest.fixture(scope="module")
def timeline(lost: Run) -> Timeline:
    return timeline_of(lost)


def walked(run: Run, *lines: str) -> list[str]:
    """The lines that the walk prints for these commands."""
    result = CliRunner().invoke(app, ["step", str(run.path)], input="".join(f"{line}\n" for line in lines))
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def test_commands_move_the_walk(timeline: Timeline, lost: Run) -> None:
    last = len(lost.records)
    violation = lost.violation("one-owner")
    assert violation is not None
    dropped = next(m for m in timeline.messages if m.fate == "dropped").arrivals[0].seq
    for at, line, to in (
        (1, "n", 2), (1, "", 2), (1, "n 5", 6), (6, "b", 5), (6, "b 3", 3), (1, "40", 40), (6, "b 99", 1),
        (last - 1, "n 99", last), (1, "v", violation.seq), (1, "f", dropped), (1, f"{last}", last),
    ):  # fmt: skip
        assert moved(timeline, at, line) == to, line
    for at, line, told in (
        (last, "n", f"expected a record from 1 to {last}"), (1, "b", "expected"), (1, "0", "expected"),
        (1, f"{last + 1}", "expected a record"), (last, "v", f"no violation after record {last}"),
        (1, "x", "expected a command of h, found 'x'"), (1, "n x", "found 'n x'"), (1, "v 2", "found 'v 2'"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=told):
            moved(timeline, at, line)


def test_it_shows_the_state_of_both_sides_and_what_changed(lost: Run, timeline: Timeline) -> None:
    host = next(fact for fact in timeline.facts if fact.name == "cpu0 LBR of the host")
    at = next(seq for seq, value in host.changes if value == "on")
    lines = walked(lost, str(at), "n", "b", "q")
    assert f"record {at} of {len(lost.records)}, 0 ns, cpu0" in lines
    assert "  * cpu0 LBR of the host: on (was off)" in lines
    assert any(line.startswith("    cpu0 ") and "cpu0 LBR of the host: on;" in line for line in lines)
    assert {"  host perf", "  KVM and guests", "  wire"} <= {*lines}
    assert [line for line in lines if len(line) > 80] == []


def test_each_record_has_the_facts_of_the_timeline(lost: Run, timeline: Timeline) -> None:
    for seq in range(1, len(lost.records) + 1, 7):
        told = document(lbrlab("step", str(lost.path), "--at", str(seq), "--json"))
        assert (told["seq"], told["text"]) == (seq, timeline.rows[seq - 1].text)
        assert {fact["name"]: fact["value"] for fact in told["facts"]} == {
            fact.name: fact.at(seq) for fact in timeline.facts if fact.at(seq)
        }
        changed = {fact["name"] for fact in told["facts"] if fact["value"] != fact["before"]}
        assert changed == {
            fact.name for fact in timeline.facts if seq in [at for at, _ in fact.changes] and fact.at(seq)
        }


def test_it_names_the_violation_helps_and_ends_with_the_input(lost: Run) -> None:
    lines = walked(lost, "v", "h", "nonsense")
    assert any(line.startswith("record 52 of ") and line.endswith("!! one-owner, no-leak") for line in lines)
    assert any(line.startswith(HELP[0][0]) for line in lines)
    assert "expected a command of h, found 'nonsense'" in lines


def test_bad_input_is_refused(lost: Run, tmp_path: Path) -> None:
    for arguments, told in (
        ([str(lost.path), "--at", "0"], "Invalid value for '--at': "),
        ([str(lost.path), "--at", "999"], f"--at: expected a record from 1 to {len(lost.records)}, found 999"),
        ([str(tmp_path / "no.json")], "no.json: cannot read"),
    ):
        result = lbrlab("step", *arguments)
        assert (result.exit_code, told in result.stderr) == (2, True), result.stderr
