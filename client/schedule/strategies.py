"""Strategies take the open decisions of a run.

The default delivers everything at once and lets the threads step in turn; a replay follows a tape strictly. The others
choose another order of steps, or a late message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from client.litmus.fault import FaultRule
from client.schedule.choices import allows, deliver, fire, onward, possible, unfinished
from client.schedule.decisions import Decision, Fire, Pass, Step
from client.schedule.flight import Flight, InFlight
from client.schedule.injector import Injector
from contract.errors import DivergedError, InputError
from contract.network import Fate


class Strategy(Protocol):
    """Choose the next decision; None ends the run. ``threads`` are those that can step now, in the order of their
    blocks."""

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None: ...


FIRED_LIMIT = 1000
"""How often a default tape lets time pass while nothing else can happen. A run that needs more makes no progress. From
then on no message is held back, since a message that waits longer than KVM does for its answer is asked for again for
ever."""


class DefaultStrategy:
    """Deliver everything, oldest first, and fire the timers that are due, before the next step; step the threads in
    turn. Time advances by itself only if nothing else can happen and somebody waits for a timer.

    ``faults`` meet the messages that they name."""

    def __init__(self, faults: tuple[FaultRule, ...] = ()) -> None:
        self.injector = Injector(faults) if faults else None
        self.last = ""
        self.passed = 0

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        heads = flight.heads()
        held: list[InFlight] = []
        if self.injector is not None:
            self.injector.see(flight)
            if (incident := self.injector.strike(flight)) is not None:
                return incident
            self.injector.holds = self.passed < FIRED_LIMIT
            for message in heads:
                if (decision := self.injector.decide(flight, message)) is not None:
                    return decision
            held = heads
        elif heads:
            return onward(flight, heads[0])
        armed = flight.armed()
        if armed and armed[0].due <= flight.now:
            return fire(armed[0])
        if threads:
            return Step(self.next_thread(threads, all_threads))
        awaited = any(timer.awaited for timer in armed) and self.passed < FIRED_LIMIT
        if self.injector is not None and held:
            decision = self.injector.at_last(flight, held, armed[0].due if awaited else None)
            if decision is not None:
                self.passed += isinstance(decision, Pass)
                return decision
        if ends := [*flight.outages.ends(), *flight.outages.restarts()]:
            end = self.injector.end(flight, ends, armed[0].due if awaited else None) if self.injector else ends[0]
            if end is not None:
                return end
        if awaited:
            self.passed += 1
            return fire(armed[0])
        return None

    def next_thread(self, threads: list[str], all_threads: list[str]) -> str:
        if len(threads) > 1 and self.last:
            after = all_threads[all_threads.index(self.last) + 1 :]
            self.last = next((thread for thread in after if thread in threads), threads[0])
        else:
            self.last = threads[0]
        return self.last


class ReplayStrategy:
    """Take every decision from a tape. The first decision that is not possible raises an InputError naming it. So does
    a tape that ends while something can still happen, unless ``then`` decides from there on. A tape in which time has
    passed ``FIRED_LIMIT`` times may end while timers alone are left.

    ``lines``: the line of each decision in the file ``path``; if empty, errors count decisions."""

    def __init__(
        self,
        decisions: list[Decision],
        path: str = "<tape>",
        *,
        lines: Sequence[int] = (),
        then: Strategy | None = None,
    ) -> None:
        self.decisions = decisions
        self.path = path
        self.lines = lines
        self.then = then
        self.at = 0

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        if self.at == len(self.decisions):
            if self.then is not None:
                return self.then.choose(flight, threads, all_threads)
            left = unfinished(flight, threads)
            if left and not self._makes_no_progress(left):
                raise InputError(
                    f"the tape ends, but '{left[0]}' is still possible (--then-default continues)", self._place()
                )
            return None
        decision = self.decisions[self.at]
        if not allows(decision, flight, threads):
            offered = ", ".join(f"'{d}'" for d in possible(flight, threads)[:6]) or "nothing, the run is over"
            why = f"diverges: '{decision}' is not possible here, expected one of: {offered}"
            raise DivergedError(why, self._place())
        self.at += 1
        return decision

    def _makes_no_progress(self, left: list[Decision]) -> bool:
        """Whether only timers are left, after time has passed as often as a default tape lets it."""
        passed = sum(isinstance(decision, Fire | Pass) for decision in self.decisions)
        return passed >= FIRED_LIMIT and all(isinstance(decision, Fire) for decision in left)

    def _place(self) -> str:
        if not self.lines:
            return f"{self.path}: decision {self.at + 1}"
        return f"{self.path}:{self.lines[self.at] if self.at < len(self.lines) else self.lines[-1] + 1}"


class InOrder:
    """Let the threads step in a given order, one step for each name, then in turn. Everything is delivered at once."""

    def __init__(self, threads: Sequence[str]) -> None:
        self.left = list(threads)
        self.default = DefaultStrategy()

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        if not flight.heads() and self.left and self.left[0] in threads:
            return Step(self.left.pop(0))
        return self.default.choose(flight, threads, all_threads)


class Late:
    """The default, except that one message, and all behind it in its direction, arrives only when no thread can step.
    ``applied``: whether that message was sent."""

    def __init__(self, message: str, which: int = 1) -> None:
        self.late = message, which
        self.default = DefaultStrategy()
        self.applied = False

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        heads = flight.heads()
        for head in heads:
            if (head.message, head.ordinal) != self.late:
                return deliver(Fate.TAKE, head)
        if not heads:
            return self.default.choose(flight, threads, all_threads)
        self.applied = True
        if threads:
            return Step(self.default.next_thread(threads, all_threads))
        return deliver(Fate.TAKE, heads[0])
