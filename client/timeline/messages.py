"""Each message of a trace with everything that happened to it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from contract import trace as t


class Arrival(msgspec.Struct):
    """``seq``: the record. ``how``: as in ``Delivery``, or ``discard``. ``fault``: id of the fault, "" for none.
    ``why``: the rule and reason of a discard."""

    seq: int
    how: str
    fault: str = ""
    why: str = ""


class Message(msgspec.Struct):
    """``sent``: number of the record of sending. ``fate``: a word of ``FATES``."""

    session: str
    to_host: bool
    n: int
    kind: str
    sent: int
    arrivals: list[Arrival] = []
    fate: str = "in flight"

    @property
    def taken(self) -> int:
        """The record in which the receiver first took it; 0: never."""
        return next((a.seq for a in self.arrivals if a.how in _TAKEN), 0)


_TAKEN = ("take", "overtake", "duplicate", "corrupt")
FATES = ("delivered", "delayed", "overtaking", "doubled", "damaged", "dropped", "in flight", "cut off")
"""``delayed``: a fault held it back, or a younger message overtook it. ``cut off``: the link or the session
ended first."""
DEAD = frozenset({"dropped", "in flight", "cut off"})
"""The receiver never has the message."""


def messages_of(records: Iterable[t.AnyRecord]) -> list[Message]:
    """All messages, in the order in which they were sent."""
    found: list[Message] = []
    open_ones: dict[tuple[str, bool, int], Message] = {}
    for r in records:
        if isinstance(r, t.Send):
            message = Message(r.session, r.to_host, r.n, type(r.body).__name__, r.seq)
            if (old := open_ones.get((r.session, r.to_host, r.n))) is not None and not old.taken:
                old.fate = "cut off" if old.fate == "in flight" else old.fate
            found.append(message)
            open_ones[r.session, r.to_host, r.n] = message
        elif isinstance(r, t.Delivery | t.Discard):
            one = open_ones.get((r.session, r.to_host, r.n))
            if one is not None:
                _meet(one, r, open_ones)
        elif isinstance(r, t.SessionChange) and r.new in ("lost", "ended"):
            for one in open_ones.values():
                if one.session == r.session and one.fate in ("in flight", "delayed") and not one.taken:
                    one.fate = "cut off"
    return found


def _meet(one: Message, r: t.Delivery | t.Discard, others: dict[tuple[str, bool, int], Message]) -> None:
    if isinstance(r, t.Discard):
        one.arrivals.append(Arrival(r.seq, "discard", "", f"{r.rule}, {r.why}"))
        return
    one.arrivals.append(Arrival(r.seq, r.how, r.fault or ""))
    if r.how == "overtake":
        for other in others.values():
            if (other.session, other.to_host) == (r.session, r.to_host) and other.sent < one.sent and not other.taken:
                other.fate = "delayed" if other.fate == "in flight" else other.fate
    level, fate = _RANK["hold"] if r.how == "take" and r.fault else _RANK.get(r.how, (-1, ""))
    if level >= _LEVEL[one.fate]:
        one.fate = fate


_RANK = {
    "take": (1, "delivered"),
    "hold": (2, "delayed"),
    "overtake": (3, "overtaking"),
    "duplicate": (4, "doubled"),
    "corrupt": (5, "damaged"),
    "drop": (6, "dropped"),
}
_LEVEL = {"in flight": 0, "cut off": 0} | {fate: level for level, fate in _RANK.values()}
