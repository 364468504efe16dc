"""A random story, or a scenario of the library, with random faults of every kind that stop after a while."""

from __future__ import annotations

from collections.abc import Collection
from random import Random

from msgspec.structs import replace

from client.document.faulted import has_text, rules_of_kind
from client.litmus import Scenario, library, load
from client.litmus.fault import FaultRule
from client.litmus.fault_kinds import FAULT_KINDS
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.decisions import Decision
from client.schedule.flight import Flight
from client.schedule.incidents import Crash, Kill, Restart
from client.schedule.schedule import Schedule
from client.schedule.strategies import DefaultStrategy
from client.stories.story import contended
from contract.design import Condition, Design, StreamDelivery
from contract.messages import MESSAGE_KINDS
from tests.stories.played import Told, told_of

LAST_RECORD = 120
"""No rule meets what a later record sends: liveness is judged once the faults have stopped."""


def random_rules(rng: Random, kinds: Collection[str] = FAULT_KINDS) -> tuple[FaultRule, ...]:
    """One to three rules of these kinds, which stop."""
    return tuple(_random_rule(rng, kinds) for _ in range(rng.randint(1, 3)))


def _random_rule(rng: Random, kinds: Collection[str]) -> FaultRule:
    """A rule like one that stands for its kind in the contract, which stops; or the example of the kind."""
    kind = FAULT_KINDS[rng.choice(list(kinds))]
    rule = rng.choice(rules_of_kind(kind))
    timed = kind.timed and rng.random() < 0.5
    drawn = replace(
        rule,
        amount=rng.randint(2, 9) if kind.amount and not timed else 0,
        time=rng.choice([1_000, 2_000_000, 30_000_000]) if timed else 0,
        messages=tuple(rng.sample(MESSAGE_KINDS, rng.randint(1, 4))) if rng.random() < 0.3 else (),
        to_host=rng.choice([None, None, True, False]),
        before_record=LAST_RECORD,
        chance=rng.choice([0.1, 0.3, 0.6]),
        seed=rng.randrange(1000),
    )
    return drawn if has_text(drawn) else rule


class Shaken(DefaultStrategy):
    """The default with faults of messages, in which a service also crashes and begins a new life, or the thread of a
    vCPU or a VM ends, at drawn decisions."""

    def __init__(self, rules: tuple[FaultRule, ...], outages: dict[int, Decision], back: Random) -> None:
        super().__init__(rules)
        self.outages = outages
        self.back = back
        self.made = 0

    def choose(self, flight: Flight, threads: list[str], all_threads: list[str]) -> Decision | None:
        self.made += 1
        outage = self.outages.pop(self.made, None)
        if isinstance(outage, Crash | Kill) and flight.outages.allow(outage):
            if isinstance(outage, Crash):
                self.outages[self.made + self.back.randint(1, 4)] = Restart(outage.service)
            return outage
        if isinstance(outage, Restart) and outage.service in flight.outages.down:
            if outage in flight.outages.restarts():
                return outage
            self.outages[self.made + 1] = outage  # Its host is down. It waits for that.
        return super().choose(flight, threads, all_threads)


def random_outages(rng: Random, scenario: Scenario) -> dict[int, Decision]:
    """Up to two crashes or ends, each with the number of the decision at which it comes."""
    services = [*(f"perfcore{n or ''}" for n in range(1 + len(scenario.hosts))), *scenario.placement()]
    choices: list[Decision] = [Crash(service) for service in services]
    choices += [Kill("thread", vcpu) for vcpu in scenario.vcpus()] + [Kill("vm", vm.name) for vm in scenario.vms]
    return {rng.randint(2, 60): rng.choice(choices) for _ in range(rng.choice([0, 0, 1, 1, 2]))}


def scenario_of(seed: int) -> Scenario:
    """Every other seed is a random story, the others are scenarios of the library."""
    paths = library()
    return contended(Random(seed)) if seed % 2 else load(paths[seed // 2 % len(paths)])


def play(design: Design, seed: int, kinds: Collection[str] = FAULT_KINDS) -> Run:
    """Services crash and vCPUs end besides, if all kinds are given and the design repairs the stream: the others claim
    nothing of such a run."""
    rng = Random(f"faults {seed}")
    scenario, rules = scenario_of(seed), random_rules(rng, kinds)
    every = len(kinds) == len(FAULT_KINDS) and design.delivery is StreamDelivery.REPAIRED
    outages = random_outages(rng, scenario) if every else {}
    return run(Inputs(scenario, design, Schedule(other=lambda: Shaken(rules, dict(outages), Random(seed)))))


def tell_faulted(design: Design, seed: int, kinds: Collection[str] = FAULT_KINDS) -> Told:
    """The claims under any loss that the run breaks. Whether the scenario breaks them without faults does not count:
    the claims hold for it too."""
    return told_of(play(design, seed, kinds), Condition.ANY)
