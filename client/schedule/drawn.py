"""The sampler of one run, drawn from its seed."""

from __future__ import annotations

from random import Random

from client.litmus.fault import FaultRule
from client.schedule.samplers import Priorities, Sampler, Uniform

DEPTHS = (1, 2, 3, 4)
"""Depths of ``Priorities``: most known concurrency bugs need no more than three ordering constraints."""
LENGTHS = (30, 60, 120, 240)
"""Lengths that it expects of a run, in decisions."""
UNIFORM, PCT = "uniform", "pct"
STRATEGIES = (UNIFORM, PCT)


def drawn_sampler(rng: Random, strategy: str, faults: tuple[FaultRule, ...]) -> Sampler:
    if strategy == UNIFORM:
        return Uniform(rng, faults)
    return Priorities(rng, faults, depth=rng.choice(DEPTHS), length=rng.choice(LENGTHS))
