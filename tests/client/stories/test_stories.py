"""Random stories: the same for a seed, of both kinds; and hand-overs happen at the ends of leases."""

from __future__ import annotations

from collections import Counter
from functools import partial
from random import Random

from client.litmus.fault_rules import parse_fault
from client.litmus.printer import format_scenario
from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.samplers import Uniform
from client.schedule.schedule import Schedule
from client.stories import random_story
from client.stories.handover import handed_over
from contract.messages import Renew
from contract.trace import HostWake, Send, VmEntry
from tests.designs import REVOKE_ACK


def test_a_seed_gives_one_story_and_both_kinds_come() -> None:
    stories = [random_story(Random(seed)) for seed in range(30)]
    assert [format_scenario(s) for s in stories] == [format_scenario(random_story(Random(s))) for s in range(30)]
    assert Counter(story.name for story in stories).keys() == {"contended", "handover"}
    assert len(set(map(format_scenario, stories))) == 30


def test_in_hand_overs_grants_are_prolonged_and_leases_end_while_the_guest_goes_on() -> None:
    """Without such runs no search sees who relies on a lease that is over."""
    seen: Counter[str] = Counter()
    for seed in range(40):
        faults = (parse_fault("delay Revoke by 12ms"),)
        done = run(
            Inputs(
                handed_over(Random(seed)),
                REVOKE_ACK,
                Schedule(faults, other=partial(Uniform, Random(seed), faults, early=0.4)),
            )
        )
        ends = [r.seq for r in done.of(HostWake) if r.reason == "the lease is over"]
        seen["prolonged"] += any(isinstance(r.body, Renew) for r in done.of(Send))
        seen["over"] += bool(ends)
        seen["entered after that"] += bool(ends) and any(r.seq > ends[0] for r in done.of(VmEntry))
    assert min(seen[what] for what in ("prolonged", "over", "entered after that")) >= 4, seen
