"""The decisions that are open at one moment of a run."""

from __future__ import annotations

from client.schedule.decisions import Decision, Deliver, Fire, Step
from client.schedule.flight import Armed, Flight, InFlight
from contract.network import Fate


def deliver(fate: Fate, message: InFlight) -> Deliver:
    return Deliver(fate, message.session, message.to_host, message.n, message.message)


def fire(timer: Armed) -> Fire:
    return Fire(timer.session, timer.to_host, timer.what)


def possible(flight: Flight, threads: list[str]) -> list[Decision]:
    """Every decision that is open now, the default choice first. ``threads`` are those that can step now."""
    found: list[Decision] = []
    for message in flight.heads():
        found += [deliver(fate, message) for fate in (Fate.TAKE, Fate.DROP, Fate.DOUBLE)]
        found += [deliver(Fate.OVERTAKE, other) for other in flight.behind(message)]
    return found + [Step(thread) for thread in threads] + [fire(timer) for timer in flight.armed()]


def unfinished(flight: Flight, threads: list[str]) -> list[Decision]:
    """The open decisions that keep a run from its end. A timer that nobody waits for need not run out."""
    idle = [fire(t) for t in flight.armed() if not t.awaited and t.due > flight.now]
    return [decision for decision in possible(flight, threads) if decision not in idle]
