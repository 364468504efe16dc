"""Random scenarios: hosts and guests that want the LBR at the same time. A seed gives the same scenario each time."""

from __future__ import annotations

from random import Random

from client.litmus import Scenario
from client.stories.handover import handed_over
from client.stories.story import contended


def random_story(rng: Random) -> Scenario:
    """One of the two kinds of stories."""
    return rng.choice((contended, handed_over))(rng)
