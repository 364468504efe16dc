"""A schedule with crashes: some other strategy decides, except at the points of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from client.litmus.scenario import Scenario
from client.schedule.decisions import Decision
from client.schedule.flight import Flight
from client.schedule.incidents import Crash, Kill
from client.schedule.strategies import DefaultStrategy, Strategy

Planned = tuple[int, Crash | Kill, int]
"""Number of the decision before which it happens, from 1; the fault; the decisions until the restart at the earliest.
"""
GAPS = (0, 0, 1, 3, 10, 1_000_000)


class Crashing:
    """``base`` decides, except that each fault of ``plan`` happens as soon as it is possible from its decision on."""

    def __init__(self, plan: Sequence[Planned], base: Strategy | None = None) -> None:
        self.left = sorted(plan, key=lambda planned: planned[0])
        self.base = base or DefaultStrategy()
        self.made = 0
        self.back: dict[str, int] = {}

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        self.made += 1
        for restart in flight.outages.restarts():
            if self.made >= self.back.get(restart.service, 0):
                return restart
        while self.left and self.left[0][0] <= self.made:
            _, fault, gap = self.left.pop(0)
            if flight.outages.allow(fault):
                if isinstance(fault, Crash):
                    self.back[fault.service] = self.made + 1 + gap
                return fault
        return self.base.choose(flight, threads, all_threads)


def crash_and_restart(service: str, decision: int) -> Crashing:
    return Crashing([(decision, Crash(service), 0)])


def services(story: Scenario) -> list[str]:
    """The hosts and the KVMs of a run."""
    hosts = ["perfcore", *(f"perfcore{number}" for number in range(1, len(story.hosts) + 1))]
    return [*hosts, *(kvm for kvm in story.placement() if story.vms_at(kvm))]


def random_plan(rng: Random, story: Scenario, upto: int = 90) -> list[Planned]:
    """One to three faults before decision ``upto``; most are crashes."""

    def fault() -> Crash | Kill:
        if rng.random() < 0.8 or not story.vms:
            return Crash(rng.choice(services(story)))
        if rng.random() < 0.5:
            return Kill("thread", rng.choice(story.vcpus()))
        return Kill("vm", rng.choice(story.vms).name)

    return [(rng.randrange(1, upto), fault(), rng.choice(GAPS)) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
