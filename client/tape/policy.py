"""Who decides: the default tape, with or without faults on it, or a given tape replayed strictly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from client.drive.flight import Armed, Flight, InFlight
from client.tape.decisions import Decision, Deliver, Fire, Step
from client.tape.faults import Fault, FaultKind
from contract.errors import InputError
from contract.inbox import Fate


class Policy(Protocol):
    """``threads`` are those that can step now, in the order of their blocks. None ends the run."""

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None: ...


def deliver(fate: Fate, message: InFlight) -> Deliver:
    return Deliver(fate, message.session, message.to_host, message.n, message.message)


def fire(timer: Armed) -> Fire:
    return Fire(timer.session, timer.to_host, timer.what)


FIRED_LIMIT = 1000
"""Timers that a default tape lets run out where nothing else happens; a run that needs more is not going anywhere."""


class DefaultPolicy:
    """Deliver everything, oldest first, and fire what is due, before the next step; step the threads in turn. Time goes
    on by itself only where nothing else can happen and somebody waits for a timer. ``faults`` meet the messages they
    name; ``applied`` are those that did."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self.faults = {(f.message, f.which): f for f in faults}
        self.applied: set[Fault] = set()
        self.last = ""
        self.fired = 0

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        heads = flight.heads()
        held: list[InFlight] = []
        for message in heads:
            decision = self._deliver(flight, message)
            if decision is not None:
                return decision
            held.append(message)
        armed = flight.armed()
        if armed and armed[0].due <= flight.now:
            return fire(armed[0])
        if threads:
            return Step(self.next_thread(threads, all_threads))
        if held:
            return deliver(Fate.TAKE, held[0])
        if any(timer.awaited for timer in armed) and self.fired < FIRED_LIMIT:
            self.fired += 1
            return fire(armed[0])
        return None

    def _deliver(self, flight: Flight, message: InFlight) -> Decision | None:
        """What becomes of the oldest message of a way; None holds it back, as nothing can overtake it yet."""
        fault = self.faults.get((message.message, message.which))
        if fault is None or fault in self.applied:
            return deliver(Fate.TAKE, message)
        if fault.kind is not FaultKind.OVERTAKEN:
            self.applied.add(fault)
            return deliver(Fate(fault.kind), message)
        if behind := flight.behind(message):
            self.applied.add(fault)
            return deliver(Fate.OVERTAKE, behind[0])
        return None

    def next_thread(self, threads: list[str], all_threads: list[str]) -> str:
        start = all_threads.index(self.last) + 1 if self.last else 0
        turn = all_threads[start:] + all_threads[:start]
        self.last = next(t for t in turn if t in threads)
        return self.last


class ReplayPolicy:
    """Every decision from a tape. The first one that is not possible is an InputError naming it. So is a tape that ends
    while something can still happen, unless ``then`` decides from there on.

    ``lines``: the line of each decision in the file ``path``; where there are none, errors count decisions."""

    def __init__(
        self,
        decisions: list[Decision],
        path: str = "<tape>",
        *,
        lines: Sequence[int] = (),
        then: Policy | None = None,
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
            if left := unfinished(flight, threads):
                raise InputError(
                    f"the tape ends, but '{left[0]}' is still possible (--then-default goes on)", self._place()
                )
            return None
        choices = possible(flight, threads)
        decision = self.decisions[self.at]
        if decision not in choices:
            offered = ", ".join(f"'{d}'" for d in choices[:6]) or "nothing, the run is over"
            raise InputError(f"diverges: '{decision}' is not possible here, expected one of: {offered}", self._place())
        self.at += 1
        return decision

    def _place(self) -> str:
        if not self.lines:
            return f"{self.path}: decision {self.at + 1}"
        return f"{self.path}:{self.lines[self.at] if self.at < len(self.lines) else self.lines[-1] + 1}"


def possible(flight: Flight, threads: list[str]) -> list[Decision]:
    """Every decision open now, the default's choice first."""
    found: list[Decision] = []
    for message in flight.heads():
        found += [deliver(fate, message) for fate in (Fate.TAKE, Fate.DROP, Fate.DOUBLE)]
        found += [deliver(Fate.OVERTAKE, other) for other in flight.behind(message)]
    return found + [Step(thread) for thread in threads] + [fire(timer) for timer in flight.armed()]


def unfinished(flight: Flight, threads: list[str]) -> list[Decision]:
    """Those of them without which a run is not over: a timer that nobody waits for need not run out."""
    idle = [fire(t) for t in flight.armed() if not t.awaited and t.due > flight.now]
    return [decision for decision in possible(flight, threads) if decision not in idle]
