"""One end of a contract session: numbering, repair, and what becomes of messages that should not be taken.

Rules R1 to R9, in the words of ``contract.proto``. Where the design repairs the stream (axis ``delivery``) an end keeps
what it sent until the other has acknowledged it, and sends all of that again when its timer runs out; the other takes
messages only in their order (go-back-N). What acknowledges (Received) is not in that order, and is not repeated.
"""

from __future__ import annotations

from contract.messages import AnyMessage, Envelope, Received
from contract.trace import Discard, Send, Timer, TraceLog

RESEND_AFTER = 10_000_000
"""Nanoseconds until what was not acknowledged is sent again."""
RESEND = "resend"


class Session:
    """``epoch`` counts the beginnings of the session. ``sent``: the number of the last message. ``taken``: the numbers
    that were taken, where the stream is not repaired. ``ordered``: the place of the last message sent, ``expected``
    that of the next one to take; ``unacknowledged``: place and message; ``owes``: the other end waits for Received;
    ``refused``: it has refused the session."""

    __slots__ = (
        "epoch",
        "expected",
        "is_host",
        "name",
        "ordered",
        "owes",
        "refused",
        "repaired",
        "sent",
        "taken",
        "unacknowledged",
    )

    def __init__(self, name: str, *, is_host: bool, epoch: int = 1, repaired: bool = False) -> None:
        self.name = name
        self.is_host = is_host
        self.epoch = epoch
        self.repaired = repaired
        self.sent = 0
        self.taken: set[int] = set()
        self.ordered = 0
        self.expected = 1
        self.unacknowledged: list[tuple[int, AnyMessage]] = []
        self.owes = False
        self.refused = False

    def wrap(self, body: AnyMessage, log: TraceLog) -> Envelope:
        """Number a message and put it on record (R2)."""
        if not self.repaired:
            return self._send(body, 0, log)
        self.ordered += 1
        if not self.refused:
            self.unacknowledged.append((self.ordered, body))
        envelope = self._send(body, self.ordered, log)
        if len(self.unacknowledged) == 1:
            self._arm(log)
        return envelope

    def _send(self, body: AnyMessage, order: int, log: TraceLog) -> Envelope:
        self.sent += 1
        to_host = not self.is_host
        log.add(Send(self.name, to_host, self.epoch, self.sent, log.clock + 1, body, order))
        return Envelope(self.name, to_host, self.epoch, self.sent, log.clock, body, order)

    def accept(self, envelope: Envelope, log: TraceLog) -> AnyMessage | None:
        """The message, or None where a rule has it discarded or it only acknowledges."""
        if envelope.epoch != self.epoch:
            discard(envelope, log, "R5", f"epoch {envelope.epoch}, this session is in {self.epoch}")
        elif not self.repaired:
            if envelope.seq not in self.taken:
                self.taken.add(envelope.seq)
                return envelope.body
            discard(envelope, log, "R3", "taken before")
        elif isinstance(envelope.body, Received):
            self._acknowledged(envelope.body.upto, log)
        elif envelope.order == self.expected:
            self.expected += 1
            self.owes = True
            return envelope.body
        elif envelope.order < self.expected:
            self.owes = True
            discard(envelope, log, "R3", "taken before")
        else:
            discard(envelope, log, "R9", f"is {envelope.order} in order, {self.expected} is missing")
        return None

    # Repair ----------------------------------------------------------------------------------------------

    def acknowledge(self, log: TraceLog) -> list[Envelope]:
        """What tells the other end how far this one has come, if it waits for that."""
        if not self.owes:
            return []
        self.owes = False
        return [self._send(Received(self.expected - 1), 0, log)]

    def resend(self, log: TraceLog) -> list[Envelope]:
        """The timer has run out."""
        envelopes = [self._send(body, order, log) for order, body in self.unacknowledged]
        if envelopes:
            self._arm(log)
        return envelopes

    def forget(self, log: TraceLog) -> None:
        """The other end has refused the session: nothing is sent again, now or later."""
        self.refused = True
        self._acknowledged(self.ordered, log)

    def _acknowledged(self, upto: int, log: TraceLog) -> None:
        if self.unacknowledged and self.unacknowledged[0][0] <= upto:
            self.unacknowledged = [(order, body) for order, body in self.unacknowledged if order > upto]
            if not self.unacknowledged:
                log.add(Timer(self.name, not self.is_host, RESEND, -1, awaited=True))

    def _arm(self, log: TraceLog) -> None:
        log.add(Timer(self.name, not self.is_host, RESEND, log.now + RESEND_AFTER, awaited=True))


def discard(envelope: Envelope, log: TraceLog, rule: str, why: str) -> None:
    log.add(Discard(envelope.session, envelope.to_host, envelope.seq, envelope.kind, rule, why))
