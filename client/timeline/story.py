"""The part of a timeline that a short picture shows: statements, messages, changes of owners, violations.

The story ends with the last of the records in which an invariant is violated for the first time. Without a violation it
is the whole run. A message is one step if its arrival follows its sending at once. Any other message is a step where it
is sent, and a step where it arrives or is lost.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from client.report.plain import counted
from client.timeline.messages import TAKEN, MessageArrow
from client.timeline.timeline import Row, Timeline

LIMIT = 48
"""The most steps of a story. A single step between two of them is shown, too: to say that it is left out takes as much
room."""
_TOLD = frozenset({
    "statement", "host-lbr", "event-change", "event-failed", "claim-change", "granted", "vm-entry", "vm-entry-refused",
    "sample-taken", "vcpu-wait", "host-wait", "peer-silent", "session-change", "guest-pmi", "lbr-restore",
    "crash", "restart", "killed", "link-cut", "link-mended", "stalled", "continued", "shutting-down", "clock-set",
})  # fmt: skip
_ENDS = TAKEN | {"drop", "lose"}
"""Fates that end the way of a message, or of one copy of it."""
_HANDSHAKE = frozenset({"Hello", "Welcome", "RegisterVcpu", "Received"})


class Part(StrEnum):
    """The part of a message's way that a step shows. ``ALL``: nothing else happens between its sending and its
    arrival, so that one arrow shows both."""

    ALL = "all"
    SENDING = "sending"
    ARRIVAL = "arrival"


class Gap(msgspec.Struct, frozen=True):
    """Steps that a shortened story leaves out. ``first`` and ``last``: numbers of their records."""

    statements: int
    others: int
    first: int
    last: int

    def __str__(self) -> str:
        counts = [
            _count(self.statements, "statement"),
            _count(self.others, "other step" if self.statements else "step"),
        ]
        where = f"record {self.first}" if self.first == self.last else f"records {self.first} to {self.last}"
        return f"left out: {' and '.join(count for count in counts if count)}, {where}"


class StoryStep(msgspec.Struct):
    """``kind``: as in ``Row``. ``side``: host or kvm. ``message`` is None where a side does something by
    itself. ``lost``: the message is lost in this step. ``broken``: the invariants that are violated here for the first
    time. ``gap``: the steps that are left out before this one."""

    seq: int
    kind: str
    side: str
    lane: str
    text: str
    message: MessageArrow | None = None
    part: Part = Part.ALL
    lost: bool = False
    broken: list[str] = []
    gap: Gap | None = None


def story_of(timeline: Timeline) -> list[StoryStep]:
    """The story, at most ``LIMIT`` steps: statements without a consequence go first, then the steps after the first
    third."""
    first = _first_violations(timeline)
    end = max(first, default=len(timeline.rows))
    causes = {cause for seq in first for cause in timeline.rows[seq - 1].causes}
    messages = _message_steps(timeline)
    reads = _plain_reads(timeline)
    steps: list[StoryStep] = []
    for row in timeline.rows[:end]:
        if row.seq in reads:
            continue
        if row.kind in _TOLD or (row.seq in first and row.seq not in messages):
            text = row.text.removesuffix(";")
            steps.append(StoryStep(row.seq, row.kind, _side(timeline, row), _lane(timeline, row), text))
        steps += messages.get(row.seq, [])
        if row.seq in first:
            steps[-1].broken = first[row.seq]
    return _shortened(_joined(steps), causes)


def left_out(timeline: Timeline) -> str:
    """The records that a story covers, the part that it shows, and the number that it never shows: plain reads and the
    handshake."""
    end = max(_first_violations(timeline), default=len(timeline.rows))
    reads = _count(sum(seq <= end for seq in _plain_reads(timeline)), "read")
    greetings = sum(message.sent <= end and not _is_told(message) for message in timeline.messages)
    handshake = f"{_count(greetings, 'message')} of the handshake" if greetings else ""
    missing = ", ".join(count for count in (reads, handshake) if count)
    covered = f"Records 1 to {end} of {len(timeline.rows)}: statements, messages, owners, violations."
    return f"{covered} Not shown: {missing}." if missing else covered


def _count(number: int, name: str) -> str:
    """A number with its noun; "" for none."""
    return counted(number, name) if number else ""


def _is_told(message: MessageArrow) -> bool:
    return message.kind not in _HANDSHAKE or message.fate != "delivered"


def _message_steps(timeline: Timeline) -> dict[int, list[StoryStep]]:
    """The sending and each arrival or loss of the messages, by record."""
    found: dict[int, list[StoryStep]] = {}
    for message in timeline.messages:
        if not _is_told(message):
            continue
        lane = _lane(timeline, timeline.rows[message.sent - 1])
        ends = [(a.seq, a.fate not in TAKEN) for a in message.arrivals if a.fate in _ENDS]
        if message.ended:
            ends.append((message.ended, True))
        for seq, part, lost in (
            (message.sent, Part.SENDING, False),
            *((seq, Part.ARRIVAL, lost) for seq, lost in ends),
        ):
            side = "kvm" if message.to_host else "host"
            step = StoryStep(seq, timeline.rows[seq - 1].kind, side, lane, "", message, part, lost)
            found.setdefault(seq, []).append(step)
    return found


def _joined(steps: list[StoryStep]) -> list[StoryStep]:
    """A sending and the arrival of the same message right after it are one step."""
    found: list[StoryStep] = []
    for step in steps:
        before = found[-1] if found else None
        if before is not None and before.part == Part.SENDING and before.message is step.message and not before.broken:
            before.part, before.lost, before.broken = Part.ALL, step.lost, step.broken
        else:
            found.append(step)
    return found


def _first_violations(timeline: Timeline) -> dict[int, list[str]]:
    seen: set[str] = set()
    found: dict[int, list[str]] = {}
    for row in timeline.rows:
        new = [name for name in row.broken if name not in seen]
        if new:
            found[row.seq] = new
            seen |= {*new}
    return found


def _plain_reads(timeline: Timeline) -> set[int]:
    """Statements of which nothing follows but a value, and no violation."""
    found: set[int] = set()
    statement, plain = 0, False
    for row in timeline.rows:
        if row.kind == "statement":
            found |= {statement} if plain else set()
            statement, plain = row.seq, True
        elif row.kind not in ("guest-msr", "outcome") or row.broken:
            plain = False
    return (found | {statement}) - {0} if plain else found - {0}


def _lane(timeline: Timeline, row: Row) -> str:
    return timeline.lanes[row.lane].name if row.lane >= 0 else ""


def _side(timeline: Timeline, row: Row) -> str:
    if row.lane < 0:
        return "host"
    return "kvm" if timeline.lanes[row.lane].group in ("kvm", "vcpu") else "host"


def _shortened(steps: list[StoryStep], causes: set[int]) -> list[StoryStep]:
    kept = {*range(len(steps))}
    broken = {number for number, step in enumerate(steps) if step.broken}
    if len(kept) > LIMIT:
        kept = broken | {n for n, step in enumerate(steps) if step.kind != "statement" or step.seq in causes}
    if len(kept) > LIMIT:
        order = sorted(kept)
        kept = broken | {*order[: LIMIT // 3]}
        others = [number for number in order if number not in kept]
        kept |= {*others[len(others) - max(LIMIT - len(kept), 0) :]}
    ends = kept | {-1, len(steps)}
    kept |= {number for number in range(len(steps)) if {number - 1, number + 1} <= ends}
    found: list[StoryStep] = []
    gap: Gap | None = None
    for number, step in enumerate(steps):
        if number in kept:
            step.gap, gap = gap, None
            found.append(step)
        else:
            statement = step.kind == "statement"
            gap = _sum(gap, Gap(int(statement), int(not statement), step.seq, step.seq))
    return found


def _sum(one: Gap | None, two: Gap) -> Gap:
    if one is None:
        return two
    return Gap(one.statements + two.statements, one.others + two.others, one.first, two.last)


def label(message: MessageArrow) -> str:
    """The message with its fate, for an arrow."""
    faults = [a.fault for a in message.arrivals if a.fault]
    fate = "" if message.fate == "delivered" else f" {message.fate.upper()}"
    return f"{message.kind}{fate}{f' ({faults[0]})' if faults else ''}"


def label_of(step: StoryStep, end: int) -> str:
    """The label of the arrow of a step. A message whose way is shown in parts has its number, so that the parts can be
    found. ``end``: the last record of the story."""
    message = step.message
    assert message is not None
    if step.part == Part.ALL:
        return label(message)
    numbered = label(message).replace(message.kind, f"{message.kind} #{message.n}", 1)
    if step.part == Part.ARRIVAL:
        return numbered
    arrivals = [a.seq for a in message.arrivals if a.fate in _ENDS] + ([message.ended] if message.ended else [])
    if not arrivals:
        return numbered
    later = f", arrives in record {arrivals[0]}" if arrivals[0] > end else ""
    return f"{message.kind} #{message.n} sent{later}"
