"""Each message of a trace with everything that happened to it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from contract import trace as t
from contract.network import UNMOVED, UNTAKEN, Fate


class Arrival(msgspec.Struct):
    """``seq``: the record. ``fate``: as in ``Delivery``, or ``discard``. ``fault``: id of the fault, "" for none.
    ``reason``: the rule and reason of a discard."""

    seq: int
    fate: str
    fault: str = ""
    reason: str = ""


class MessageArrow(msgspec.Struct):
    """``sent``: number of the record of sending. ``fate``: a word of ``FATES``. ``ended``: the record in which its
    session ended while it was in flight; 0: none."""

    session: str
    to_host: bool
    n: int
    kind: str
    sent: int
    arrivals: list[Arrival] = []
    fate: str = "in flight"
    ended: int = 0

    @property
    def taken(self) -> int:
        """The record in which the receiver first took it; 0: never."""
        return next((a.seq for a in self.arrivals if a.fate in TAKEN), 0)


TAKEN = frozenset(Fate) - UNTAKEN
"""The fates that give the receiver the message."""
FATES = ("delivered", "delayed", "overtaking", "doubled", "damaged", "dropped", "in flight", "cut off")
"""``delayed``: a fault held it back, or a younger message overtook it. ``cut off``: the link or the session
ended first."""
DEAD = frozenset({"dropped", "in flight", "cut off"})
"""The receiver never has the message."""


def messages_of(records: Iterable[t.AnyRecord]) -> list[MessageArrow]:
    """All messages, in the order in which they were sent."""
    found: list[MessageArrow] = []
    flying: dict[Key, list[MessageArrow]] = {}
    for r in records:
        if isinstance(r, t.Send):
            message = MessageArrow(r.session, r.to_host, r.n, type(r.body).__name__, r.seq)
            found.append(message)
            flying.setdefault((r.session, r.to_host, r.n), []).append(message)
        elif isinstance(r, t.Delivery | t.Discard):
            same = flying.get((r.session, r.to_host, r.n))
            if same:
                _meet(_meant(same, r), r, flying)
        elif isinstance(r, t.SessionChange | t.Crash) and _cuts(r):
            sessions = r.sessions if isinstance(r, t.Crash) else [r.session]
            for one in (one for same in flying.values() for one in same if one.session in sessions):
                if one.fate in ("in flight", "delayed") and not one.taken:
                    one.fate, one.ended = "cut off", r.seq
    return found


Key = tuple[str, bool, int]
"""Session, direction and number. Each epoch numbers its messages from 1, so that several can have one key."""


def _cuts(r: t.SessionChange | t.Crash) -> bool:
    return isinstance(r, t.Crash) or r.new in ("lost", "ended")


def _meant(same: list[MessageArrow], r: t.Delivery | t.Discard) -> MessageArrow:
    """The message of this key that the record is about: a delivery meets the oldest that is in flight; a discard
    follows the taking, so it meets the last that was taken."""
    if isinstance(r, t.Discard):
        return next((one for one in reversed(same) if one.taken), same[-1])
    in_flight = [one for one in same if one.fate != "cut off" and not _is_over(one)]
    return in_flight[0] if in_flight else same[-1]


def _is_over(one: MessageArrow) -> bool:
    """Whether nothing more can happen to it."""
    return any(arrival.fate not in UNMOVED and arrival.fate != "discard" for arrival in one.arrivals)


def _meet(one: MessageArrow, r: t.Delivery | t.Discard, flying: dict[Key, list[MessageArrow]]) -> None:
    if isinstance(r, t.Discard):
        one.arrivals.append(Arrival(r.seq, "discard", "", f"{r.rule}, {r.reason}"))
        return
    one.arrivals.append(Arrival(r.seq, r.fate, r.fault or ""))
    if r.fate == "overtake":
        for other in (other for same in flying.values() for other in same):
            if (other.session, other.to_host) == (r.session, r.to_host) and other.sent < one.sent and not other.taken:
                other.fate = "delayed" if other.fate == "in flight" else other.fate
    level, fate = _RANK["hold"] if r.fate == "take" and r.fault else _RANK.get(r.fate, (-1, ""))
    if level >= _LEVEL[one.fate]:
        one.fate = fate


_RANK = {
    "take": (1, "delivered"),
    "hold": (2, "delayed"),
    "overtake": (3, "overtaking"),
    "duplicate": (4, "doubled"),
    "corrupt": (5, "damaged"),
    "drop": (6, "dropped"),
    "lose": (6, "cut off"),
}
_LEVEL = {fate: level for level, fate in _RANK.values()} | {"in flight": 0, "cut off": 0}
