"""A notifier alone breaks what fenced keeps, in the same random stories (``tests.stories``)."""

from __future__ import annotations

from functools import partial
from random import Random

from client.check.judge import judge
from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.schedule import Schedule
from contract.design import Condition
from tests.designs import REVOKE_GP
from tests.schedules import Reckless
from tests.stories.played import story_of

SEEDS = 200


def test_a_notifier_alone_breaks_what_fenced_claims() -> None:
    found: set[str] = set()
    for seed in range(SEEDS):
        played = run(Inputs(story_of(seed), REVOKE_GP, Schedule(other=partial(Reckless, Random(~seed), Condition.ANY))))
        found |= {finding.invariant for finding in judge(played.records) if finding.violations}
    assert found >= {"one-owner", "no-loss", "agreement", "no-starvation", "no-silent-denial"}
