"""One end of a contract session: numbering, repair, and what becomes of messages that should not be taken.

Rules R1 to R9, in the words of ``contract.proto``. Where the design repairs the stream (axis ``delivery``) an end keeps
what it sent until the other has acknowledged it, and sends all of that again when its timer runs out; the other takes
messages only in their order (go-back-N). What acknowledges (Received) is not in that order, and is not repeated.
"""

from __future__ import annotations

from collections.abc import Hashable

from contract.canonical import Message, Missing, Place, marked
from contract.effects import Effects
from contract.messages import AnyMessage, Envelope, Received
from contract.trace import Discard, Send, Timer

RESEND_AFTER = 10_000_000
"""Nanoseconds until what was not acknowledged is sent again."""
RESEND = "resend"
WINDOW = 1024
"""How many missing messages a receiver remembers. An older one that comes after all is discarded (R3)."""


class Session:
    """``epoch`` counts the beginnings of the session. ``sent``: the number of the last message. Where the stream is not
    repaired, ``newest``: the highest number taken, ``missing``: lower ones that were not, the WINDOW newest of them.
    ``ordered``: the place of the last message sent, ``expected`` that of the next one to take; ``unacknowledged``:
    place and message; ``owes``: the other end waits for Received; ``refused``: it has refused the session."""

    __slots__ = (
        "epoch",
        "expected",
        "is_host",
        "missing",
        "name",
        "newest",
        "ordered",
        "owes",
        "refused",
        "repaired",
        "sent",
        "unacknowledged",
    )

    def __init__(self, name: str, *, is_host: bool, epoch: int = 1, repaired: bool = False) -> None:
        self.name = name
        self.is_host = is_host
        self.epoch = epoch
        self.repaired = repaired
        self.sent = 0
        self.newest = 0
        self.missing: set[int] = set()
        self.ordered = 0
        self.expected = 1
        self.unacknowledged: list[tuple[int, AnyMessage]] = []
        self.owes = False
        self.refused = False

    def clone(self) -> Session:
        twin = Session(self.name, is_host=self.is_host, epoch=self.epoch, repaired=self.repaired)
        twin.sent, twin.newest, twin.missing = self.sent, self.newest, self.missing.copy()
        twin.ordered, twin.expected, twin.unacknowledged = self.ordered, self.expected, self.unacknowledged[:]
        twin.owes, twin.refused = self.owes, self.refused
        return twin

    def key(self) -> tuple[Hashable, ...]:
        """Without the number of the last message sent: the next is above all others."""
        came, goes = (self.name, self.is_host), (self.name, not self.is_host)
        kept = tuple([(Place(*goes, order), marked(body)) for order, body in self.unacknowledged])
        places = (Place(*came, self.expected), Place(*goes, self.ordered), kept) if self.repaired else ()
        holes = frozenset([Missing(*came, n) for n in self.missing])
        return self.epoch, Message(*came, self.newest), holes, places, self.owes, self.refused

    def wrap(self, body: AnyMessage, effects: Effects) -> Envelope:
        """Number a message and put it on record (R2)."""
        if not self.repaired:
            return self._send(body, 0, effects)
        self.ordered += 1
        if not self.refused:
            self.unacknowledged.append((self.ordered, body))
        envelope = self._send(body, self.ordered, effects)
        if len(self.unacknowledged) == 1:
            self._arm(effects)
        return envelope

    def _send(self, body: AnyMessage, order: int, effects: Effects) -> Envelope:
        self.sent += 1
        to_host = not self.is_host
        effects.add(Send(self.name, to_host, self.epoch, self.sent, 0, body, order))
        return Envelope(self.name, to_host, self.epoch, self.sent, body, order)

    def accept(self, envelope: Envelope, effects: Effects) -> AnyMessage | None:
        """The message, or None where a rule has it discarded or it only acknowledges."""
        if envelope.epoch != self.epoch:
            discard(envelope, effects, "R5", f"epoch {envelope.epoch}, this session is in {self.epoch}")
        elif not self.repaired:
            if self._is_new(envelope.seq):
                return envelope.body
            discard(envelope, effects, "R3", "taken before")
        elif isinstance(envelope.body, Received):
            self._acknowledged(envelope.body.upto, effects)
        elif envelope.order == self.expected:
            self.expected += 1
            self.owes = True
            return envelope.body
        elif envelope.order < self.expected:
            self.owes = True
            discard(envelope, effects, "R3", "taken before")
        else:
            discard(envelope, effects, "R9", f"is {envelope.order} in order, {self.expected} is missing")
        return None

    def _is_new(self, n: int) -> bool:
        """Whether message ``n`` was not taken before."""
        if n > self.newest:
            self.missing.update(range(max(self.newest + 1, n - WINDOW), n))
            self.newest = n
            while len(self.missing) > WINDOW:
                self.missing.remove(min(self.missing))
            return True
        if n in self.missing:
            self.missing.remove(n)
            return True
        return False

    # Repair ----------------------------------------------------------------------------------------------

    def acknowledge(self, effects: Effects) -> list[Envelope]:
        """What tells the other end how far this one has come, if it waits for that."""
        if not self.owes:
            return []
        self.owes = False
        return [self._send(Received(self.expected - 1), 0, effects)]

    def resend(self, effects: Effects) -> list[Envelope]:
        """The timer has run out."""
        envelopes = [self._send(body, order, effects) for order, body in self.unacknowledged]
        if envelopes:
            self._arm(effects)
        return envelopes

    def forget(self, effects: Effects) -> None:
        """The other end has refused the session: nothing is sent again, now or later."""
        self.refused = True
        self._acknowledged(self.ordered, effects)

    def _acknowledged(self, upto: int, effects: Effects) -> None:
        if self.unacknowledged and self.unacknowledged[0][0] <= upto:
            self.unacknowledged = [(order, body) for order, body in self.unacknowledged if order > upto]
            if not self.unacknowledged:
                effects.add(Timer(self.name, not self.is_host, RESEND, -1, awaited=True))

    def _arm(self, effects: Effects) -> None:
        effects.add(Timer(self.name, not self.is_host, RESEND, effects.clock.now + RESEND_AFTER, awaited=True))


def discard(envelope: Envelope, effects: Effects, rule: str, why: str) -> None:
    effects.add(Discard(envelope.session, envelope.to_host, envelope.seq, envelope.kind, rule, why))
