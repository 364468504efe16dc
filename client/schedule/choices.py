"""The decisions that are open at one moment of a run."""

from __future__ import annotations

from msgspec.structs import replace

from client.schedule.decisions import Decision, Deliver, Fire, Pass, Step
from client.schedule.flight import Armed, Flight, InFlight
from contract.network import RELEASE, TAKE, Fate

FREE = frozenset({Fate.CORRUPT, Fate.HOLD})
"""Fates that a message can meet wherever it can be taken. Only rules, tapes and walks by hand choose them."""


def deliver(fate: Fate, message: InFlight, fault: str = "") -> Deliver:
    return Deliver(fate, message.session, message.to_host, message.n, message.message, fault)


def fire(timer: Armed) -> Fire:
    return Fire(timer.session, timer.to_host, timer.timer)


def possible(flight: Flight, threads: list[str]) -> list[Decision]:
    """Every decision that is open now but for the fates of FREE, the default choice first. ``threads`` are those that
    can step now."""
    found: list[Decision] = []
    for message in flight.heads():
        if flight.is_held(message):
            found.append(deliver(Fate.RELEASE, message))
            continue
        found += [deliver(fate, message) for fate in (Fate.TAKE, Fate.DROP, Fate.DUPLICATE)]
        found += [deliver(Fate.OVERTAKE, other) for other in flight.behind(message)]
    found += flight.outages.restarts()
    found += [Step(thread) for thread in threads]
    return found + [fire(timer) for timer in flight.armed()] + flight.outages.ends()


def ways_on(flight: Flight, fate: Fate, session: str, to_host: bool) -> list[Deliver]:
    """The decisions of ``possible`` that give a message of this direction this fate, in the order of the messages. They
    are found without a look at the other decisions: a queue may hold a thousand messages."""
    head = next((m for m in flight.heads() if (m.session, m.to_host) == (session, to_host)), None)
    if head is None or flight.is_held(head) is not (fate is Fate.RELEASE):
        return []
    if fate is Fate.OVERTAKE:
        return [deliver(fate, other) for other in flight.behind(head)]
    return [deliver(fate, head)] if fate in _OF_OLDEST else []


_OF_OLDEST = frozenset({Fate.TAKE, Fate.DROP, Fate.DUPLICATE, Fate.RELEASE})


def allows(decision: Decision, flight: Flight, threads: list[str]) -> bool:
    """Whether a decision of a tape can be taken now. ``threads`` are those that can step. The id of its fault is free,
    and so is the time to which virtual time advances."""
    match decision:
        case Step():
            return decision.thread in threads
        case Fire():
            return decision in map(fire, flight.armed())
        case Pass():
            return decision.time > flight.now
        case Deliver():
            fate = Fate.TAKE if decision.fate in FREE else decision.fate
            plain = replace(decision, fate=fate, fault="", field="")
            return plain in ways_on(flight, fate, decision.session, decision.to_host)
    return flight.outages.allow(decision)


def onward(flight: Flight, message: InFlight) -> Deliver:
    """The decisions that move the oldest message of a direction."""
    return deliver(RELEASE if flight.is_held(message) else TAKE, message)


def unfinished(flight: Flight, threads: list[str]) -> list[Decision]:
    """The open decisions that keep a run from its end. A timer that nobody waits for need not run out."""
    idle = [fire(t) for t in flight.armed() if not t.awaited and t.due > flight.now]
    return [decision for decision in possible(flight, threads) if decision not in idle]
