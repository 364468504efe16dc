"""The part of a timeline that a short picture shows: statements, messages, changes of owners, violations.

The story ends with the last of the records in which an invariant is violated for the first time. Without a violation it
is the whole run. A message and its fate are one step.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from client.timeline.messages import DEAD, Message
from client.timeline.timeline import Row, Timeline

LIMIT = 48
"""The most steps of a story."""
_TOLD = frozenset({
    "statement", "host-lbr", "event-change", "event-failed", "claim-change", "granted", "vm-entry", "vm-entry-refused",
    "sample-taken", "vcpu-wait", "host-wait", "peer-silent", "session-change", "guest-pmi", "lbr-restore",
    "crash", "restart", "killed", "link-cut", "link-mended", "stalled", "continued", "clock-set",
})  # fmt: skip
_HANDSHAKE = frozenset({"Hello", "Welcome", "RegisterVcpu", "Received"})


class Step(msgspec.Struct):
    """``kind``: as in ``Row``. ``side``: host or kvm. ``message`` is None where a side does something by
    itself. ``broken``: the invariants that are violated here for the first time. ``gap``: records are left out before
    it."""

    seq: int
    kind: str
    side: str
    lane: str
    text: str
    message: Message | None = None
    broken: list[str] = []
    gap: bool = False


def story_of(timeline: Timeline) -> list[Step]:
    """The story, at most ``LIMIT`` steps: statements without a consequence go first, then the oldest steps."""
    first = _first_violations(timeline)
    end = max(first, default=len(timeline.rows))
    sent = {message.sent: message for message in timeline.messages}
    causes = {cause for seq in first for cause in timeline.rows[seq - 1].causes}
    steps: list[Step] = []
    reads = _plain_reads(timeline)
    for row in timeline.rows[:end]:
        message = sent.get(row.seq)
        if row.seq in reads:
            continue
        if message is not None:
            if message.kind not in _HANDSHAKE or message.fate != "delivered":
                steps.append(
                    Step(row.seq, row.kind, "kvm" if message.to_host else "host", _lane(timeline, row), "", message)
                )
        elif row.kind in _TOLD or row.seq in first:
            broken, text = first.get(row.seq, []), row.text.removesuffix(";")
            steps.append(Step(row.seq, row.kind, _side(timeline, row), _lane(timeline, row), text, None, broken))
    return _shortened(steps, causes)


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


def _shortened(steps: list[Step], causes: set[int]) -> list[Step]:
    if len(steps) > LIMIT:
        steps = [step for step in steps if step.kind != "statement" or step.seq in causes]
    if len(steps) > LIMIT:
        head, tail = steps[: LIMIT // 3], steps[-(LIMIT - LIMIT // 3) :]
        tail[0].gap = True
        steps = [*head, *tail]
    return steps


def label(message: Message) -> str:
    """The message with its fate, for an arrow."""
    faults = [a.fault for a in message.arrivals if a.fault]
    fate = "" if message.fate == "delivered" else f" {message.fate.upper()}"
    return f"{message.kind}{fate}{f' ({faults[0]})' if faults else ''}"


def is_lost(message: Message) -> bool:
    """Whether the arrow has no end."""
    return message.fate in DEAD


def sessions(steps: Iterable[Step]) -> list[str]:
    """The KVM sessions whose messages the story shows."""
    return list(dict.fromkeys(step.message.session for step in steps if step.message is not None))
