"""``lbrlab step RUN``: walk a run, record by record, with the state of both sides and what changed."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.console import Console
from rich.text import Text

from client.cli.console import console, print_text
from client.cli.prompt import print_facts, read_line
from client.report.json import print_json
from client.run.file import errors_of, load_judged
from client.timeline.timeline import Timeline, timeline_of
from client.walk.documents import FactDocument, facts_of, lane_of
from contract.errors import InputError

HELP = (
    ("n [K]", "the next record, or K records on; Enter does the same"),
    ("b [K]", "one record back, or K records"),
    ("N", "record N"),
    ("v", "the next record that violates something"),
    ("f", "the next message that is lost, held, doubled or damaged"),
    ("c", "the next record that changes the state"),
    ("h", "this list"),
    ("q", "end; so does the end of the input"),
)


class StepDocument(msgspec.Struct):
    """``step --json``: the state after record ``seq`` of ``records``. ``lane``: who acts, "" for the whole run.
    ``broken``: the invariants that the record violates."""

    seq: int
    records: int
    time: int
    lane: str
    text: str
    broken: list[str]
    facts: list[FactDocument]


def step(path: Path, at: int | None, *, as_json: bool) -> None:
    run = load_judged(path)
    with errors_of(path):
        timeline = timeline_of(run)
    last = len(timeline.rows)
    if at is not None and at > last:
        raise InputError(f"expected a record from 1 to {last}, found {at}", "--at")
    if as_json:
        print_json(_document(timeline, at or last))
        return
    _walk(console(), timeline, at or 1)


def _document(timeline: Timeline, seq: int) -> StepDocument:
    row = timeline.rows[seq - 1]
    facts = [*facts_of(timeline, seq, seq - 1)]
    return StepDocument(seq, len(timeline.rows), row.time, lane_of(timeline, seq), row.text, row.broken, facts)


# The walk ------------------------------------------------------------------------------------------------


def _walk(out: Console, timeline: Timeline, at: int) -> None:
    """Read a command, carry it out, show where the walk stands."""
    _show(out, _document(timeline, at))
    print_text(out, "[dim]n next, b back, N record N, v next violation, h help, q end[/]")
    while (line := read_line(f"{at}> ")) is not None and line not in ("q", "quit"):
        if line in ("h", "help", "?"):
            for command, about in HELP:
                print_text(out, Text(f"{command:<7} {about}"), hang=8)
            continue
        try:
            at = moved(timeline, at, line)
        except ValueError as error:
            print_text(out, Text(str(error)))
            continue
        _show(out, _document(timeline, at))


def moved(timeline: Timeline, at: int, line: str) -> int:
    """The record at which the walk stands after a command. Raises ValueError that says why it does not move."""
    last = len(timeline.rows)
    word, _, rest = line.partition(" ")
    if rest and (word not in ("n", "b") or not rest.strip().isdecimal()):
        raise ValueError(f"expected a command of h, found {line!r}")
    if word.isdecimal():
        to = int(word)
    elif word in ("", "n", "b"):
        count = int(rest or 1)
        to = at - count if word == "b" else at + count
        if at != (last if word != "b" else 1):
            to = min(max(to, 1), last)
    elif word in _SEARCHED:
        wanted, name = _SEARCHED[word]
        to = next((seq for seq in sorted(wanted(timeline)) if seq > at), 0)
        if not to:
            raise ValueError(f"no {name} after record {at}")
    else:
        raise ValueError(f"expected a command of h, found {line!r}")
    if not 1 <= to <= last:
        raise ValueError(f"expected a record from 1 to {last}")
    return to


def _violations(timeline: Timeline) -> list[int]:
    return [row.seq for row in timeline.rows if row.broken]


def _faults(timeline: Timeline) -> list[int]:
    return [a.seq for message in timeline.messages for a in message.arrivals if a.fault or a.fate == "lose"]


def _changes(timeline: Timeline) -> set[int]:
    return {seq for fact in timeline.facts for seq, _ in fact.changes}


_SEARCHED = {
    "v": (_violations, "violation"),
    "f": (_faults, "fault of a message"),
    "c": (_changes, "change"),
}


def _show(out: Console, told: StepDocument) -> None:
    who = f", {told.lane}" if told.lane else ""
    broken = f"   [bold red]!! {', '.join(told.broken)}[/]" if told.broken else ""
    print_text(out, f"[bold]record {told.seq} of {told.records}[/], {told.time:,} ns{who}{broken}", hang=4)
    print_text(out, Text(told.text), indent=2, hang=4)
    print_facts(out, told.facts)
    out.print()
