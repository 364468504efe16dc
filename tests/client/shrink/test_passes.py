"""Each pass over the decisions takes something away that the others leave."""

from __future__ import annotations

from random import Random

from client.litmus.fault_kinds import FAULT_KINDS
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.drawn import STRATEGIES, drawn_sampler
from client.schedule.schedule import Schedule
from client.schedule.swarm import drawn_kinds, drawn_rules
from client.shrink.candidate import Candidate
from client.shrink.shrink import Shrinker
from client.shrink.tapes import more_usual
from client.shrink.target import target_of
from client.stories import random_story
from tests.designs import DESIGNS


def story(seed: int, design: str) -> Run:
    """A random story with random faults and a random schedule."""
    rng = Random(seed)
    scenario = random_story(rng)
    faults = drawn_rules(rng, drawn_kinds(rng, tuple(FAULT_KINDS)))
    sampler = drawn_sampler(rng, STRATEGIES[seed % len(STRATEGIES)], faults)
    return run(Inputs(scenario, DESIGNS[design], Schedule(faults, other=lambda: sampler)))


def shrunk(first: Run) -> tuple[Shrinker, Candidate]:
    shrinker = Shrinker(first, target_of(first))
    return shrinker, shrinker.shrink()


def test_no_single_decision_of_a_shrunk_run_can_be_the_usual_one() -> None:
    shrinker, best = shrunk(story(10, "revoke-ack"))
    assert len(best.unusual) > 1
    assert not any(shrinker._try(best.scenario, tape) for tape in more_usual(best))


def test_decisions_that_only_go_together_are_taken_away_together() -> None:
    _, best = shrunk(story(11, "merged-2023"))
    assert len(best.unusual) == 1


def test_messages_that_got_another_number_are_taken_by_their_kind() -> None:
    """Without it two statements more are left."""
    _, best = shrunk(story(56, "revoke-gp"))
    assert len(list(best.scenario.steps())) == 4
