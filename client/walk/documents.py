"""The point at which a walk stands, as data."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from client.timeline.timeline import Timeline, timeline_of
from client.walk.walk import Walk
from client.walk.words import message_of, words


class FactDocument(msgspec.Struct):
    """``side``: host, kvm, wire, or belief: what each side believes of the other. ``before``: the value before the last
    move; equal to ``value`` if that has not changed it."""

    side: str
    name: str
    value: str
    before: str


class ChangeDocument(msgspec.Struct):
    """A record. ``lane``: the CPU, service or link that acts, "" for the whole run. ``broken``: the invariants that it
    violates."""

    seq: int
    lane: str
    text: str
    broken: list[str]


class ChoiceDocument(msgspec.Struct):
    """An open decision. ``decision``: its line on a tape. ``text``: the same in words. ``message``: the message in
    flight that it is about, with which ``text`` begins; "" for none."""

    number: int
    decision: str
    text: str
    message: str = ""


class WalkDocument(msgspec.Struct):
    """Where a walk stands. ``time``: virtual nanoseconds. ``changes``: the records of the last move. ``choices``: the
    open decisions; the first one is that of the default schedule if ``usual`` is true. ``blocked``: the threads that
    cannot step, and why. ``over``: the end of the run is on record. ``verdict`` and ``reason`` are of the run so far.
    ``run``: the file that has it, "" for none."""

    scenario: str
    design: str
    decisions: int
    records: int
    time: int
    over: bool
    verdict: str
    reason: str
    changes: list[ChangeDocument]
    facts: list[FactDocument]
    usual: bool
    choices: list[ChoiceDocument]
    blocked: dict[str, str]
    tape: list[str]
    run: str = ""
    exit_code: int = 0


def facts_of(timeline: Timeline, seq: int, before: int) -> Iterator[FactDocument]:
    """The facts after record ``seq``, each with its value after record ``before``."""
    for fact in timeline.facts:
        if value := fact.at(seq):
            yield FactDocument(fact.side, fact.name, value, fact.at(before))


def lane_of(timeline: Timeline, seq: int) -> str:
    lane = timeline.rows[seq - 1].lane
    return timeline.lanes[lane].name if lane >= 0 else ""


def walk_document(walk: Walk) -> WalkDocument:
    run, player = walk.run, walk.at.player
    timeline, verdict = timeline_of(run), run.verdict
    before = walk.moves[-1][1] if walk.moves else 0
    rows = timeline.rows[before:]
    return WalkDocument(
        run.scenario.name,
        run.design.name,
        len(walk.tape),
        walk.records,
        player.flight.now,
        walk.over,
        verdict.verdict,
        verdict.reason,
        [ChangeDocument(row.seq, lane_of(timeline, row.seq), row.text, row.broken) for row in rows],
        [*facts_of(timeline, walk.records, before)],
        walk.usual[0] is not None,
        [
            ChoiceDocument(number, str(choice), words(choice, player), message_of(choice, player))
            for number, choice in enumerate(walk.choices, 1)
        ],
        walk.blocked,
        [str(decision) for decision in walk.tape],
        exit_code=int(verdict.exit_code),
    )
