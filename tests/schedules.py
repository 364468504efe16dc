"""Schedules that only tests need: reckless ones, drawn ones, and two that hold something back."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from client.schedule.choices import deliver, possible, unfinished
from client.schedule.decisions import Decision, Deliver, Fire, Pass, Step
from client.schedule.flight import Flight
from client.schedule.incidents import Crash, Cut, Incident, Kill, Outage, SetClock, Shutdown, Stall
from client.schedule.outages import Outages
from client.schedule.strategies import DefaultStrategy
from contract.design import Condition
from contract.network import Fate


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


class Havoc:
    """Take any possible decision, damage any message, and break any service, link or thread, each where it can happen.
    After ``wild`` decisions take those of the default, which ends what is broken."""

    def __init__(self, rng: Random, wild: int = 60, share: float = 0.15) -> None:
        self.rng = rng
        self.left = wild
        self.share = share
        self.default = DefaultStrategy()

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        if self.left <= 0:
            return self.default.choose(flight, threads, all_threads)
        self.left -= 1
        incidents = [incident for incident in _incidents(flight.outages) if flight.outages.allow(incident)]
        if incidents and self.rng.random() < self.share:
            return self.rng.choice(incidents)
        choices = possible(flight, threads)
        choices += [deliver(Fate.CORRUPT, head) for head in flight.heads() if not flight.is_held(head)]
        if not choices:
            return self.default.choose(flight, threads, all_threads)
        return self.rng.choices(choices, [_weight(choice) for choice in choices])[0]


def _incidents(outages: Outages) -> list[Incident]:
    services = [*outages.hosts, *outages.kvms]
    found: list[Incident] = [kind(service) for kind in (Crash, Shutdown, Stall) for service in services]
    found += [Cut(session, way) for session in outages.kvms for way in (None, True, False)]
    found += [Kill("thread", vcpu) for vcpu in outages.vcpus]
    return found + [SetClock(kvm, rate) for kvm in outages.kvms for rate in (800_000, 1_250_000)]


def _weight(choice: Decision) -> float:
    """The weight of a decision. The host is slow, so a guest gets the LBR before the host wants it."""
    if isinstance(choice, Deliver):
        return 1.0 if choice.fate is Fate.TAKE else 0.1
    slow = isinstance(choice, Fire | Pass | Outage) or (isinstance(choice, Step) and choice.thread.startswith("host"))
    return 0.1 if slow else 1.0
