"""Strategies take the open decisions of a run.

The default delivers everything at once and lets the threads step in turn; a replay follows a tape strictly. The others
choose other tapes: another order of steps, a late message, a random schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from client.litmus.fault import FaultRule
from client.schedule.choices import allows, deliver, fire, onward, possible, unfinished
from client.schedule.decisions import Decision, Deliver, Fire, Pass, Step
from client.schedule.flight import Flight, InFlight
from client.schedule.incidents import Outage
from client.schedule.injector import Injector
from contract.design import Condition
from contract.errors import InputError
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
        choices = possible(flight, threads)
        decision = self.decisions[self.at]
        if not allows(choices, decision, flight):
            offered = ", ".join(f"'{d}'" for d in choices[:6]) or "nothing, the run is over"
            raise InputError(f"diverges: '{decision}' is not possible here, expected one of: {offered}", self._place())
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


class OvertakenUntil:
    """The default, except that all messages behind one of them overtake it, up to the first message of the kind
    ``until``. ``applied``: whether that message came."""

    def __init__(self, message: str, which: int, until: str) -> None:
        self.late = message, which
        self.until = until
        self.default = DefaultStrategy()
        self.applied = False

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        held = None
        for message in flight.heads():
            if self.applied or (message.message, message.ordinal) != self.late:
                return deliver(Fate.TAKE, message)
            held = message
            if behind := flight.behind(message):
                self.applied = behind[0].message == self.until
                return deliver(Fate.OVERTAKE, behind[0])
        if threads:
            return Step(self.default.next_thread(threads, all_threads))
        return deliver(Fate.TAKE, held) if held else None


class WithoutTimers(DefaultStrategy):
    """The default, except that no timer ever fires: a KVM never renews its lease, or a host never ends one."""

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        flight.timers.clear()
        return super().choose(flight, threads, all_threads)


DECISIONS_LIMIT = 2000
"""The most decisions of a drawn schedule. A run that needs more does not end."""


class Drawn:
    """Take any possible decision: ``draw`` takes the number of choices and returns the index of one. After ``wild``
    decisions take the first choice that keeps the run from its end. So doubling ends, and timers that nobody waits for
    no longer fire."""

    def __init__(self, draw: Callable[[int], int], wild: int = 40) -> None:
        self.draw = draw
        self.wild = wild
        self.made = 0

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        self.made += 1
        choices = possible(flight, threads) if self.made <= self.wild else unfinished(flight, threads)
        assert self.made < DECISIONS_LIMIT, "the run does not end"
        if not choices:
            return None
        return choices[self.draw(len(choices)) if self.made <= self.wild else 0]


class Reckless:
    """Take any decision that ``condition`` allows. Faults and timers are among them, but less often. After ``wild``
    decisions take those of the default."""

    def __init__(self, rng: Random, condition: Condition = Condition.ANY, wild: int = 60) -> None:
        self.rng = rng
        self.condition = condition
        self.left = wild
        self.default = DefaultStrategy()

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        if self.left <= 0 or (self.condition is Condition.PROMPT and flight.heads()):
            return self.default.choose(flight, threads, all_threads)
        self.left -= 1
        choices = [choice for choice in possible(flight, threads) if self._allowed(choice)]
        if not choices or not unfinished(flight, threads):
            return None
        return self.rng.choices(choices, [_weight(choice) for choice in choices])[0]

    def _allowed(self, choice: Decision) -> bool:
        return self.condition is Condition.ANY or not isinstance(choice, Deliver) or choice.fate is Fate.TAKE


def _weight(choice: Decision) -> float:
    """The weight of a decision. The host is slow, so a guest gets the LBR before the host wants it."""
    if isinstance(choice, Deliver):
        return 1.0 if choice.fate is Fate.TAKE else 0.1
    slow = isinstance(choice, Fire | Pass | Outage) or (isinstance(choice, Step) and choice.thread.startswith("host"))
    return 0.1 if slow else 1.0
