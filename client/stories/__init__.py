"""Random scenarios: hosts and guests that want the LBR at the same time. A seed gives the same scenario each time."""

from __future__ import annotations

from random import Random

from client.litmus import Scenario
from client.stories.handover import handed_over
from client.stories.story import contended

HAND_OVERS, OF_LEASES = 0.35, 0.6
"""The share of hand-overs among stories, and among those for a design with leases. Only there a lease can end."""


def random_story(rng: Random, *, leases: bool = False) -> Scenario:
    """One of the two kinds of stories. ``leases``: the design that the story is for has leases."""
    return (handed_over if rng.random() < (OF_LEASES if leases else HAND_OVERS) else contended)(rng)
