"""A random story, or a scenario of the library, with random faults of every kind that stop after a while."""

from __future__ import annotations

from random import Random

from msgspec.structs import replace

from client.document.faulted import has_text, rules_of_kind
from client.litmus import Scenario, library, load
from client.litmus.fault import FaultRule
from client.litmus.fault_kinds import FAULT_KINDS
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.choices import can_end
from client.schedule.decisions import Decision
from client.schedule.flight import Flight
from client.schedule.incidents import Crash, Kill, Restart
from client.schedule.schedule import Schedule
from client.schedule.strategies import DefaultStrategy
from client.search.counted import excused
from client.stories.story import contended
from contract.design import Condition, Design, StreamDelivery
from contract.messages import MESSAGE_KINDS
from contract.trace import VcpuMoved
from tests.stories.played import Told

LAST_RECORD = 120
"""No rule meets what a later record sends: liveness is judged once the faults have stopped."""


def random_rules(rng: Random) -> tuple[FaultRule, ...]:
    """One to three rules of any kind, which stop."""
    return tuple(_random_rule(rng) for _ in range(rng.randint(1, 3)))


def _random_rule(rng: Random) -> FaultRule:
    """A rule like one that stands for its kind in the contract, which stops; or the example of the kind."""
    kind = rng.choice(list(FAULT_KINDS.values()))
    rule = rng.choice(rules_of_kind(kind))
    timed = kind.timed and rng.random() < 0.5
    drawn = replace(
        rule,
        by=rng.randint(2, 9) if kind.by and not timed else 0,
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
        if isinstance(outage, Crash | Kill) and can_end(flight, outage):
            if isinstance(outage, Crash):
                self.outages[self.made + self.back.randint(1, 4)] = Restart(outage.service)
            return outage
        if isinstance(outage, Restart) and outage.service in flight.down:
            return outage
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


def play(design: Design, seed: int) -> Run:
    """Services crash and vCPUs end only if the design repairs the stream: the others claim nothing of such a run."""
    rng = Random(f"faults {seed}")
    scenario, rules = scenario_of(seed), random_rules(rng)
    outages = random_outages(rng, scenario) if design.delivery is StreamDelivery.REPAIRED else {}
    return run(Inputs(scenario, design, Schedule(other=lambda: Shaken(rules, dict(outages), Random(seed)))))


def tell_faulted(design: Design, seed: int) -> Told:
    """The claims that the run breaks, and the same scenario without faults does not."""
    played = play(design, seed)
    assert played.failure is None, f"seed {seed}: {played.failure}"
    usual = run(Inputs(scenario_of(seed), design)).broken() if played.broken() else []
    claimed = [name for name in design.claimed(Condition.ANY) if name not in usual]
    findings = [finding for finding in played.verdict.findings if finding.invariant in claimed]
    left_behind = {r.vcpu for r in played.records if isinstance(r, VcpuMoved) and not r.lbr}
    told = Told(played, {}, {finding.invariant for finding in findings if finding.verdict != "not exercised"})
    for finding in findings:
        for violation in finding.violations:
            if not excused(finding.invariant, violation.text, left_behind):
                told.broken.setdefault(finding.invariant, violation.text)
    return told
