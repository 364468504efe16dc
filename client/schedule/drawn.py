"""The sampler of one run, drawn from its seed."""

from __future__ import annotations

from random import Random

from client.litmus.fault import FaultRule
from client.schedule.samplers import Priorities, Sampler, Uniform

DEPTHS = (1, 2, 3, 4)
"""Depths of ``Priorities``: most known concurrency bugs need no more than three ordering constraints."""
LENGTHS = (30, 60, 120, 240)
"""Lengths that it expects of a run, in decisions."""
EARLY = (0.02, 0.1, 0.4)
"""Shares of the decisions at which a timer may run out early. Leases run out in the middle of a run only if time passes
while threads can step; most other bugs want time to stand still."""
UNIFORM, PCT = "uniform", "pct"
STRATEGIES = (UNIFORM, PCT)


def drawn_sampler(rng: Random, strategy: str, faults: tuple[FaultRule, ...]) -> Sampler:
    early = rng.choice(EARLY)
    if strategy == UNIFORM:
        return Uniform(rng, faults, early=early)
    return Priorities(rng, faults, early=early, depth=rng.choice(DEPTHS), length=rng.choice(LENGTHS))
