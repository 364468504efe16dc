"""Laws of shrinking: it keeps what it is asked to keep, makes nothing longer, and ends where it began a second time."""

from __future__ import annotations

from functools import cache
from random import Random

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from client.litmus import format_scenario
from client.run.failure import form_of
from client.run.file import encoded
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.decisions import Step
from client.schedule.drawn import STRATEGIES, drawn_sampler
from client.schedule.schedule import Schedule
from client.schedule.swarm import drawn_rules
from client.shrink.budget import Budget
from client.shrink.shrink import Shrinker
from client.shrink.shrunk import file_of
from client.shrink.target import first_violations, target_of
from contract.design import Design
from contract.trace import Statement
from tests.client.check.runs import scenario
from tests.designs import DESIGNS

STORY = scenario(
    "host { run vm0/0 on cpu0; repeat 2 { e = state vm0/0; } h = open cpu0 pinned branch any; branch 2; }\n"
    "vm0/0 { wrmsr DEBUGCTL, LBR; branch 2; g = rdmsr LBR_STACK; }",
    head="machine { depth = 2; }\nvm vm0 { lbr = on; }",
)
BROKEN = [DESIGNS[name] for name in ("v8", "merged", "silent", "revoke-gp", "kvm-switch")]

laws = settings(max_examples=4, suppress_health_check=list(HealthCheck))
broken_runs = given(st.sampled_from(BROKEN), st.integers(0, 19), st.integers(0, 3))


@cache
def played(design: Design, seed: int) -> Run:
    rng = Random(seed)
    faults = tuple(drawn_rules(rng, ("drop", "delay", "duplicate")[: seed % 4]))
    sampler = drawn_sampler(rng, STRATEGIES[seed % len(STRATEGIES)], faults)
    return run(Inputs(STORY, design, Schedule(faults, other=lambda: sampler)))


@cache
def shrunk(design: Design, seed: int, which: int) -> tuple[Shrinker, Run]:
    """A run that violates something, shrunk as one of the invariants that it violates."""
    first = played(design, seed)
    shrinker = Shrinker(first, target_of(first, first.broken()[which % len(first.broken())]))
    return shrinker, file_of(shrinker.shrink())


def steps(of: Run) -> int:
    return sum(isinstance(decision, Step) for decision in of.tape)


@laws
@broken_runs
def test_the_first_violation_is_the_same_but_for_its_numbers(design: Design, seed: int, which: int) -> None:
    first = played(design, seed)
    assume(first.broken())
    shrinker, small = shrunk(design, seed, which)
    (name,) = shrinker.target.invariants
    assert form_of(first_violations(small)[name]) == form_of(first_violations(first)[name])
    assert shrinker.target.kept_by(small)


@laws
@broken_runs
def test_no_run_becomes_longer(design: Design, seed: int, which: int) -> None:
    first = played(design, seed)
    assume(first.broken())
    shrinker, small = shrunk(design, seed, which)
    assert steps(small) <= steps(first)
    assert len(small.of(Statement)) <= len(first.of(Statement))
    assert len(shrinker.best.faults) <= len(Shrinker(first, shrinker.target).best.faults)


@laws
@broken_runs
def test_a_shrunk_run_is_shrunk_to_itself(design: Design, seed: int, which: int) -> None:
    assume(played(design, seed).broken())
    shrinker, small = shrunk(design, seed, which)
    again = Shrinker(small, target_of(small, shrinker.target.invariants[0]))
    twice = file_of(again.shrink())
    assert (format_scenario(twice.scenario), twice.tape) == (format_scenario(small.scenario), small.tape)
    assert again.complete


@laws
@broken_runs
def test_the_same_run_gives_the_same_on_every_machine(design: Design, seed: int, which: int) -> None:
    """Also where the shrinking ends at its limit, which no clock decides."""
    first = played(design, seed)
    assume(first.broken())
    shrinker, small = shrunk(design, seed, which)
    found = []
    for runs in (10, 10, shrinker.player.runs):
        again = Shrinker(first, shrinker.target, budget=Budget(runs))
        found.append(encoded(file_of(again.shrink())))
        assert again.complete is (runs == shrinker.player.runs)
        assert again.player.runs == runs
    assert found[0] == found[1]
    assert found[2] == encoded(small)
