"""The decisions that are open at one moment of a run."""

from __future__ import annotations

from msgspec.structs import replace

from client.schedule.decisions import Decision, Deliver, Fire, Pass, Step
from client.schedule.flight import Armed, Flight, InFlight
from client.schedule.incidents import Crash, Kill, Outage, Restart
from contract.network import RELEASE, TAKE, Fate

FREE = frozenset({Fate.CORRUPT, Fate.HOLD})
"""Fates that a message can meet wherever it can be taken. Only rules and tapes choose them."""


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
    found += restarts(flight)
    return found + [Step(thread) for thread in threads] + [fire(timer) for timer in flight.armed()] + flight.ends()


def restarts(flight: Flight) -> list[Restart]:
    """The services that are down and can begin a new life: hosts, and KVMs of hosts that are up."""
    if not flight.down:
        return []
    hosts = [name for name in flight.hosts if name in flight.down]
    kvms = [kvm for kvm, host in flight.kvms.items() if kvm in flight.down and flight.hosts[host] not in flight.down]
    return [Restart(service) for service in [*hosts, *kvms]]


def can_end(flight: Flight, decision: Crash | Kill) -> bool:
    """Whether a fault of this kind is possible now: a service can crash while it is up, and a thread can end while all
    services are up."""
    if isinstance(decision, Crash):
        return decision.service in {*flight.hosts, *flight.kvms} - flight.down
    left = [vcpu for vcpu in flight.vcpus if vcpu not in flight.ended]
    named = decision.name in left if decision.kind == "thread" else any(decision.name == vm_of(vcpu) for vcpu in left)
    return named and not flight.down and not flight.adrift


def vm_of(vcpu: str) -> str:
    return vcpu.split("/")[0]


def allows(choices: list[Decision], decision: Decision, flight: Flight) -> bool:
    """Whether a decision of a tape can be taken where ``choices`` are open. The id of its fault is free, and so is the
    time to which virtual time advances."""
    if isinstance(decision, Pass):
        return decision.time > flight.now
    if isinstance(decision, Crash | Kill):
        return can_end(flight, decision)
    if isinstance(decision, Restart):
        decision = replace(decision, fault="")
    if isinstance(decision, Outage):
        return flight.may(decision)
    if isinstance(decision, Deliver):
        fate = Fate.TAKE if decision.fate in FREE else decision.fate
        decision = replace(decision, fate=fate, fault="", field="")
    return decision in choices


def onward(flight: Flight, message: InFlight) -> Deliver:
    """The decisions that move the oldest message of a direction."""
    return deliver(RELEASE if flight.is_held(message) else TAKE, message)


def unfinished(flight: Flight, threads: list[str]) -> list[Decision]:
    """The open decisions that keep a run from its end. A timer that nobody waits for need not run out."""
    idle = [fire(t) for t in flight.armed() if not t.awaited and t.due > flight.now]
    return [decision for decision in possible(flight, threads) if decision not in idle]
