"""Samplers reach what the default schedule does not, end every run, and repeat a run from its seed."""

from __future__ import annotations

from collections import Counter
from random import Random

from client.litmus import Scenario, parse
from client.litmus.fault import FaultRule
from client.litmus.fault_kinds import FAULT_KINDS
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.decisions import Fire, Step
from client.schedule.drawn import EARLY, STRATEGIES, UNIFORM, drawn_sampler
from client.schedule.samplers import Priorities, Sampler, Uniform
from client.schedule.schedule import Schedule
from client.schedule.swarm import ENDLESS, RATES, drawn_kinds, drawn_rules
from contract.design import Design
from tests.cases import cases
from tests.designs import FENCED, MERGED
from tests.library import library_scenario

TWO = parse("LBR o host { idle cpu0; idle cpu0; idle cpu0; } host1 { idle cpu0; idle cpu0; idle cpu0; }")
CONTENDED = library_scenario("central-story")


def played(
    sampler: Sampler, scenario: Scenario = CONTENDED, design: Design = FENCED, faults: tuple[FaultRule, ...] = ()
) -> Run:
    return run(Inputs(scenario, design, Schedule(faults, other=lambda: sampler))).finished()


@cases("strategy", STRATEGIES)
def test_a_seed_gives_one_run_and_every_run_ends(strategy: str) -> None:
    for seed in range(6):
        rules = drawn_rules(Random(seed), list(FAULT_KINDS))
        once, again = (played(drawn_sampler(Random(seed), strategy, rules), faults=rules) for _ in range(2))
        assert once.tape == again.tape
        assert once.records[-1].__class__.__name__ == "Rest"


def steps(sampler: Sampler) -> list[str]:
    """The threads that step in a run of two threads of three statements."""
    return [d.thread for d in played(sampler, TWO, MERGED).tape if isinstance(d, Step)]


def test_the_first_steps_of_uniform_come_in_every_order() -> None:
    firsts = Counter(steps(Uniform(Random(seed)))[0] for seed in range(60))
    assert set(firsts) == {"host", "host1"}
    assert min(firsts.values()) > 10


def test_priorities_without_a_change_let_one_actor_go_on() -> None:
    """Depth 1: the actor with the highest priority acts as long as it can."""
    for seed in range(10):
        assert steps(Priorities(Random(seed), depth=1, length=50)) in (
            ["host"] * 3 + ["host1"] * 3,
            ["host1"] * 3 + ["host"] * 3,
        )


def test_a_change_of_priority_lets_another_actor_go_on() -> None:
    orders = {tuple(steps(Priorities(Random(seed), depth=2, length=6))) for seed in range(60)}
    assert len(orders) == 6


def test_a_timer_that_ran_out_lets_all_others_act_first() -> None:
    for seed in range(20):
        tape = played(Priorities(Random(seed), depth=1, length=50)).tape
        assert sum(isinstance(d, Fire) for d in tape) < len(tape) / 2


def test_after_the_drawn_decisions_the_default_goes_on() -> None:
    default = run(Inputs(CONTENDED, FENCED)).tape
    assert played(Uniform(Random(1), wild=0)).tape == default


def test_a_rule_of_faults_meets_its_message_in_a_sample() -> None:
    rule = (parse_fault("drop Revoke 1"),)
    for seed in range(5):
        assert played(Uniform(Random(seed), rule), faults=rule).unmet == []


def test_swarms_differ_and_each_kind_comes() -> None:
    swarms = [tuple(drawn_kinds(Random(seed), list(FAULT_KINDS))) for seed in range(40)]
    assert {kind for swarm in swarms for kind in swarm} == set(FAULT_KINDS)
    assert len(set(swarms)) > 10


def test_drawn_rules_have_a_text_that_gives_the_same_rule() -> None:
    for seed in range(60):
        for rule in drawn_rules(Random(seed), list(FAULT_KINDS)):
            assert parse_fault(str(rule)) == rule


def test_a_rule_can_meet_one_message_some_all_or_each_by_chance() -> None:
    rules = [rule for seed in range(200) for rule in drawn_rules(Random(seed), list(FAULT_KINDS))]
    for kind in FAULT_KINDS:
        mine = [rule for rule in rules if rule.kind == kind]
        hows = {(rule.first > 1, rule.last > 0, rule.chance < 1) for rule in mine}
        losing = kind in ENDLESS
        assert hows == {(True, True, False), (False, True, False), (False, False, True)} | (
            set() if losing else {(False, False, False)}
        ), kind
        assert len({rule.messages for rule in mine}) > 10, "each kind of message can be named"
    assert {rule.rate for rule in rules if rule.kind == "clock"} == set(RATES)


def test_samplers_differ_in_how_often_a_timer_runs_out_early() -> None:
    assert {drawn_sampler(Random(seed), UNIFORM, ()).early for seed in range(40)} == set(EARLY)
    soon, late = (
        sum(isinstance(d, Fire) for seed in range(30) for d in played(Uniform(Random(seed), early=early)).tape)
        for early in (EARLY[-1], EARLY[0])
    )
    assert soon > 2 * late
