"""The messages that one end takes: each once (R3), and in order if the design repairs the stream (R9)."""

from __future__ import annotations

from collections.abc import Hashable

from contract.canonical import Message, Missing, Place

OLD, AHEAD = "R3", "R9"
"""The rules that discard a message here."""
REMEMBERED = 1024
"""Missing messages that are remembered. An older one that comes after all is discarded (R3)."""


class Incoming:
    __slots__ = ("expected", "missing", "newest", "owes", "repaired")

    def __init__(self, *, repaired: bool) -> None:
        self.repaired = repaired
        """Axis ``delivery``. Configuration."""
        self.newest = 0
        """Highest number taken, where the stream is not repaired."""
        self.missing: set[int] = set()
        """Numbers below ``newest`` that may still come: the REMEMBERED newest of them."""
        self.expected = 1
        """Place of the next message to take, where the stream is repaired."""
        self.owes = False
        """True if the other end waits for Received."""

    def clone(self) -> Incoming:
        twin = Incoming(repaired=self.repaired)
        twin.newest, twin.missing = self.newest, self.missing.copy()
        twin.expected, twin.owes = self.expected, self.owes
        return twin

    def key(self, session: str, to_host: bool) -> tuple[Hashable, ...]:
        holes = frozenset([Missing(session, to_host, n) for n in self.missing])
        place = Place(session, to_host, self.expected) if self.repaired else 0
        return Message(session, to_host, self.newest), holes, place, self.owes

    def take(self, n: int, place: int) -> tuple[str, str]:
        """The rule that discards this message and the reason; two empty texts if it is taken."""
        return self._in_order(place) if self.repaired else self._as_it_comes(n)

    def _in_order(self, place: int) -> tuple[str, str]:
        if place > self.expected:
            return AHEAD, f"is {place} in order, {self.expected} is missing"
        self.owes = True
        if place < self.expected:
            return OLD, "taken before"
        self.expected += 1
        return "", ""

    def _as_it_comes(self, n: int) -> tuple[str, str]:
        if n > self.newest:
            self.missing.update(range(max(self.newest + 1, n - REMEMBERED), n))
            self.newest = n
            while len(self.missing) > REMEMBERED:
                self.missing.remove(min(self.missing))
            return "", ""
        if n in self.missing:
            self.missing.remove(n)
            return "", ""
        return OLD, "taken before"
