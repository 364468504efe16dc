"""The timeline of a run: everything that a picture shows, as plain values."""

from __future__ import annotations

from itertools import pairwise

import msgspec

from client.check.judge import Checker
from client.report.describe import Describer
from client.run.run import Run
from client.timeline.facts import Fact, Facts
from client.timeline.lanes import NO_LANE, Lane, Lanes, numbers
from client.timeline.messages import MessageArrow, messages_of
from client.timeline.owners import Bar, Overlap, Owners, overlaps
from client.timeline.rings import Ring, Rings
from contract.trace import Setup
from contract.trace.record import kind_of


class Row(msgspec.Struct):
    """One record. ``lane``: place in ``Timeline.lanes``; -1: of the whole run. ``broken``: the invariants that it
    violates. ``causes``: records that led to it: the one before it on its lane, the statement or delivery that it
    follows, and the sending of its message."""

    seq: int
    time: int
    lane: int
    kind: str
    source: str
    text: str
    broken: list[str]
    causes: list[int]


class Strip(msgspec.Struct):
    """The verdict of one invariant over time. ``changes``: number of a record, and the verdict after it."""

    invariant: str
    changes: list[tuple[int, str]]

    def at(self, seq: int) -> str:
        return next(verdict for at, verdict in reversed(self.changes) if at <= seq)


class Timeline(msgspec.Struct):
    """``rows``: one for each record, in order. ``strips``: in the order of the invariants."""

    lanes: list[Lane]
    rows: list[Row]
    messages: list[MessageArrow]
    bars: list[Bar]
    overlaps: list[Overlap]
    rings: list[Ring]
    facts: list[Fact]
    strips: list[Strip]


def timeline_of(run: Run) -> Timeline:
    """The timeline of the whole trace. Raises InputError if the records are not a valid trace."""
    findings = run.verdict.findings
    setup = run.records[0]
    assert isinstance(setup, Setup)  # run.verdict has checked it
    homes = {vm.name: run.scenario.home(vm.name) for vm in run.scenario.vms}
    lanes, checker, describer = Lanes(setup, homes), Checker(setup), Describer(setup)
    owners, rings, facts = Owners(lanes), Rings(checker.world), Facts(setup, checker.world)
    strips = [Strip(name, [(1, verdict)]) for name, verdict in checker.verdicts().items()]
    broken: dict[int, list[str]] = {}
    for finding in findings:
        for violation in finding.violations:
            here = broken.setdefault(violation.seq, [])
            if finding.invariant not in here:
                here.append(finding.invariant)
    names: list[str] = []
    rows: list[Row] = []
    for record in run.records:
        checker.take(record)
        names.append(lanes.name_of(record))
        owners.take(record)
        rings.take(record)
        facts.take(record)
        for strip, monitor in zip(strips, checker.monitors, strict=True):
            if (verdict := monitor.verdict) != strip.changes[-1][1]:
                strip.changes.append((record.seq, verdict))
        text, kind = describer.text(record), kind_of(type(record))
        rows.append(Row(record.seq, record.time, NO_LANE, kind, record.source, text, broken.get(record.seq, []), []))
    found = lanes.found()
    places = numbers(found)
    messages = messages_of(run.records)
    _join(rows, [places.get(name, NO_LANE) for name in names], messages)
    return Timeline(
        found, rows, messages, owners.bars, overlaps(owners.bars, len(rows)), rings.rings,
        list(facts.facts.values()), strips,
    )  # fmt: skip


def _join(rows: list[Row], places: list[int], messages: list[MessageArrow]) -> None:
    """Give each row its lane and its causes."""
    last: dict[int, int] = {}
    root = 0
    for row, place in zip(rows, places, strict=True):
        row.lane = place
        if place != NO_LANE:
            row.causes = [last[place]] if place in last else []
            last[place] = row.seq
        if row.kind in ("statement", "delivery"):
            root = row.seq
        elif root and root not in row.causes and row.kind not in ("end", "rest"):
            row.causes.append(root)
    for message in messages:
        steps = [message.sent, *(arrival.seq for arrival in message.arrivals)]
        for before, seq in pairwise(steps):
            if before not in rows[seq - 1].causes:
                rows[seq - 1].causes.append(before)
