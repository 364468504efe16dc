"""Schedules that show what a rule is for."""

from __future__ import annotations

from client.schedule.choices import deliver
from client.schedule.decisions import Decision, Step
from client.schedule.flight import Flight
from client.schedule.incidents import Crash, Restart
from client.schedule.strategies import DefaultStrategy
from contract.network import Fate


class LateTwin(DefaultStrategy):
    """The default, except that the first message of a kind is taken twice: at once, and again when nothing else can
    happen."""

    def __init__(self, message: str) -> None:
        super().__init__()
        self.message = message
        self.doubled = False

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        held = None
        for head in flight.heads():
            if (head.message, head.ordinal) != (self.message, 1):
                return deliver(Fate.TAKE, head)
            held = head
        if held is not None and not self.doubled:
            self.doubled = True
            return deliver(Fate.DUPLICATE, held)
        if held is not None and (behind := flight.behind(held)):
            return deliver(Fate.OVERTAKE, behind[0])
        if held is not None and threads:
            return Step(self.next_thread(threads, all_threads))
        return super().choose(flight, threads, all_threads)


class First(DefaultStrategy):
    """These decisions, then the default."""

    def __init__(self, *decisions: Decision) -> None:
        super().__init__()
        self.left = list(decisions)

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        return self.left.pop(0) if self.left else super().choose(flight, threads, all_threads)


class CrashAt(DefaultStrategy):
    """The default, except that a service crashes when a message of a kind is the oldest of its direction, and begins a
    new life at once."""

    def __init__(self, service: str, message: str) -> None:
        super().__init__()
        self.message = message
        self.left: list[Decision] = [Crash(service), Restart(service)]

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        begun = len(self.left) == 1 or any(head.message == self.message for head in flight.heads())
        return self.left.pop(0) if begun and self.left else super().choose(flight, threads, all_threads)
