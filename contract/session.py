"""One end of a contract session: numbering, and what becomes of messages that should not be taken.

Rules (ids as in ``contract.proto``):
R1  A session begins with Hello; before an accepted Hello the host takes nothing else. Protocol versions must be equal.
R2  Each direction numbers its messages 1, 2, 3, ... within (session, epoch).
R3  A message whose number was taken before is discarded: doubling is harmless.
R4  A gap or an overtaken number is accepted as it comes: this stream does not repair loss or order.
R5  A message of another epoch is discarded.
R6  Grants are numbered upwards; news of a grant older than the newest known one is ignored.
R7  A vCPU's thread belongs to the session that registered it first.
"""

from __future__ import annotations

from contract.messages import AnyMessage, Envelope
from contract.trace import Discard, Send, TraceLog


class Session:
    __slots__ = ("epoch", "is_host", "name", "sent", "taken")

    def __init__(self, name: str, *, is_host: bool, epoch: int = 1) -> None:
        self.name = name
        self.is_host = is_host
        self.epoch = epoch
        self.sent = 0
        self.taken: set[int] = set()

    def wrap(self, body: AnyMessage, log: TraceLog) -> Envelope:
        """Number a message and put it on record (R2)."""
        self.sent += 1
        to_host = not self.is_host
        log.add(Send(self.name, to_host, self.epoch, self.sent, log.clock + 1, body))
        return Envelope(self.name, to_host, self.epoch, self.sent, log.clock, body)

    def accept(self, envelope: Envelope, log: TraceLog) -> AnyMessage | None:
        """The message, or None where a rule has it discarded."""
        if envelope.epoch != self.epoch:
            discard(envelope, log, "R5", f"epoch {envelope.epoch}, this session is in {self.epoch}")
            return None
        if envelope.seq in self.taken:
            discard(envelope, log, "R3", "taken before")
            return None
        self.taken.add(envelope.seq)
        return envelope.body


def discard(envelope: Envelope, log: TraceLog, rule: str, why: str) -> None:
    log.add(Discard(envelope.session, envelope.to_host, envelope.seq, envelope.kind, rule, why))
