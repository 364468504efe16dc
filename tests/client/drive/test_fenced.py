"""A notifier alone breaks what fenced keeps, in the same random stories (``tests.stories``)."""

from __future__ import annotations

from random import Random

from client.check.judge import judge
from client.drive.play import Player
from client.drive.sim import SimWire
from client.schedule.strategies import Reckless
from contract.design import Condition
from tests.designs import REVOKE_GP
from tests.stories.played import story_of

SEEDS = 200


def test_a_notifier_alone_breaks_what_fenced_claims() -> None:
    found: set[str] = set()
    for seed in range(SEEDS):
        run = Player(SimWire(), story_of(seed), REVOKE_GP, Reckless(Random(~seed), Condition.ANY)).play()
        found |= {finding.invariant for finding in judge(run.records) if finding.violations}
    assert found >= {"one-owner", "no-loss", "agreement", "no-starvation", "no-silent-denial"}
