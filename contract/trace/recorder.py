"""The trace of a run as it grows."""

from __future__ import annotations

import msgspec

from contract.trace.link import Send
from contract.trace.records import AnyRecord

_encoder = msgspec.json.Encoder()


class Recorder:
    """The trace of a run as it grows. ``clock`` is the run's logical clock, the number of the newest record. Every
    command and request carries it, so records of all services form one order. ``now``: virtual nanoseconds, as far as
    the owner of this trace knows."""

    __slots__ = ("clock", "now", "records")

    def __init__(self) -> None:
        self.clock = 0
        self.now = 0
        self.records: list[AnyRecord] = []

    def add(self, record: AnyRecord) -> None:
        """Append a record of now, which is no message."""
        self.clock += 1
        record.seq, record.time = self.clock, self.now
        self.records.append(record)

    def write(self, effects: list[AnyRecord], now: int) -> list[Send]:
        """Append the records of a step that ended at ``now``. Gives the messages among them."""
        if now > self.now:
            self.now = now
        if not effects:
            return []
        clock = self.clock
        sent: list[Send] = []
        for effect in effects:
            clock += 1
            effect.seq = clock
            if type(effect) is Send:
                effect.clock = clock
                sent.append(effect)
        self.clock = clock
        self.records += effects
        return sent

    def witness(self, clock: int, now: int) -> None:
        """Take over a clock that arrived with a command or request."""
        self.clock = max(self.clock, clock)
        self.now = max(self.now, now)


def canonical(records: list[AnyRecord]) -> bytes:
    """The trace as bytes, one JSON document for each line. Two wires must give the same bytes."""
    return b"\n".join(_encoder.encode(r) for r in records)
