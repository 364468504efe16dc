"""What a step of a core does, in order, and the virtual time at which it does it.

A core changes its own state only. Everything that others may see of a step is an effect: a message for the other end, a
timer, a thread that sleeps or wakes, a change of an event, an access of the silicon. An effect is a record of
``contract.trace`` that has its time but no number yet. The core collects the effects of one step; its boundary hands
them out. What they are worth after the step, a number in the trace first of all, is not the core's affair.
"""

from __future__ import annotations

from contract.trace import AnyRecord


class Clock:
    """Virtual time of one core, nanoseconds. Each input brings the time that others have reached."""

    __slots__ = ("now",)

    def __init__(self, now: int = 0) -> None:
        self.now = now

    def witness(self, now: int) -> None:
        self.now = max(self.now, now)


class Effects:
    """The effects of the step under way; empty between two steps. ``touched``: it has had an effect, here or at a peer
    that it asked, so that it cannot be refused any more."""

    __slots__ = ("clock", "records", "touched")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.records: list[AnyRecord] = []
        self.touched = False

    def add(self, record: AnyRecord) -> None:
        record.time = self.clock.now
        self.records.append(record)
        self.touched = True

    def take(self) -> list[AnyRecord]:
        """The effects since the last call."""
        records, self.records = self.records, []
        return records

    def end(self) -> list[AnyRecord]:
        """The step ends: the effects since ``take``."""
        self.touched = False
        return self.take()


class Unseen(Effects):
    """The effects of a step that is only imagined: nobody sees them."""

    __slots__ = ()

    def add(self, record: AnyRecord) -> None:
        pass
