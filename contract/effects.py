"""The effects of a core's step, in order, and the virtual time of the step.

A core changes only its own state. Everything that others can see of a step is an effect: a message for the other end, a
timer, a thread that sleeps or wakes, a change of an event, an access of the silicon. An effect is a record of
``contract.trace`` that has its time but no number yet. Each input of a core returns a ``StepResult``, which holds the
effects. The boundary of the core (a wire, a service) writes the effects into the log, and puts the messages among them
into the network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar, TypeVarTuple

import msgspec

from contract.errors import RefusedError
from contract.messages import Envelope
from contract.trace import AnyRecord, Send

T = TypeVar("T")
Given = TypeVarTuple("Given")


class StepResult(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """The outcome of one input of a core. ``result``: the answer to the sender of the input. ``effects``: the visible
    effects, in order. ``now``: virtual nanoseconds at its end."""

    result: T
    effects: list[AnyRecord]
    now: int

    @property
    def messages(self) -> list[Envelope]:
        """The effects that are messages for the other end, in order."""
        return [sent.envelope for sent in self.effects if type(sent) is Send]


class Clock:
    """Virtual time of one core, nanoseconds. Each input brings the time that others have reached."""

    __slots__ = ("now",)

    def __init__(self, now: int = 0) -> None:
        self.now = now

    def witness(self, now: int) -> None:
        if now > self.now:
            self.now = now


class Effects:
    """The effects of the current step; empty between two steps. ``touched``: the step has had an effect, here or at a
    peer that it asked, and can no longer be refused."""

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
        records, self.records = self.records, []
        return records


class Unseen(Effects):
    """The effects of a step on a copy: they are dropped."""

    __slots__ = ()

    def add(self, record: AnyRecord) -> None:
        pass


class Core(ABC):
    """Base of both cores. ``clock``: the latest time that an input has brought or led to."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.effects = Effects(self.clock)

    @abstractmethod
    def finish(self) -> None:
        """The end of each step: tell the other end what the step has changed."""

    def step(self, now: int, act: Callable[[*Given], T], *given: *Given) -> StepResult[T]:
        """One input, which ``act`` carries out. ``now``: the virtual time that others have reached. If it raises
        RefusedError the input has changed nothing, not even the clock."""
        clock = self.clock
        before = clock.now
        clock.witness(now)
        try:
            result = act(*given)
        except RefusedError:
            self.refuse(before)
            raise
        self.finish()
        return StepResult(result, self.effects.end(), clock.now)

    def refuse(self, before: int) -> None:
        """The step is refused. ``before``: the time at which it began."""
        self.clock.now = before
        self.effects.end()
