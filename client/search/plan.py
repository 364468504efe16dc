"""The plan of a campaign: everything that decides which runs it plays.

A plan is cut into chunks. A chunk is a scenario under a design with RUNS schedules. Plan and number give the same runs
on each machine, so a chunk that was lost is played again, and a run is known by its number alone.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from random import Random

import msgspec

from client.litmus import Scenario, library_path, load, parse
from client.run.inputs import Inputs
from client.schedule.drawn import STRATEGIES, drawn_sampler
from client.schedule.schedule import Schedule
from client.schedule.swarm import drawn_kinds, drawn_rules
from client.stories import random_story
from contract.design import Condition, Design, Notifier

RUNS = 25
"""Runs of a chunk."""
CANARY_EVERY = 40
"""One chunk of so many is the canary's, the first one included."""
CANARY_SCENARIO = "central-story"
SCENARIOS_LIMIT = 512
"""Scenarios that a process keeps parsed: those of the library, with as many random ones in between. They take 4 MB. To
parse a scenario takes 1.2 ms, as long as half a short run."""


class Source(msgspec.Struct, frozen=True):
    """A scenario: ``text`` of a file, or "" for the scenario of the library with this name."""

    name: str
    text: str = ""


class Plan(msgspec.Struct, frozen=True):
    """``kinds``: the kinds of faults that runs draw from. ``all_kinds``: each run has all of them; otherwise it draws
    some, as in swarm testing. ``stories``: each second chunk plays a random scenario; without ``scenarios`` each one
    does. ``canary``: a design that must break its ``canary_breaks``; None: there is none. ``runs``: of a chunk.
    ``one_witness``: few suspects of each design are shrunk, in search of a witness that needs a fault."""

    seed: int
    designs: tuple[Design, ...]
    scenarios: tuple[Source, ...]
    kinds: tuple[str, ...]
    strategies: tuple[str, ...] = STRATEGIES
    stories: bool = True
    all_kinds: bool = False
    canary: Design | None = None
    canary_breaks: str = "one-owner"
    runs: int = RUNS
    one_witness: bool = False

    @property
    def condition(self) -> Condition:
        """The demand on the contract stream that each run meets."""
        return Condition.ANY if self.kinds else Condition.COMPLETE

    def digest(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:12]


class Chunk(msgspec.Struct, frozen=True):
    """``turn``: each design plays one chunk in a turn, and all of them the same scenario with the same draws.
    ``story``: the seed of a random scenario; -1: it is ``source``."""

    number: int
    turn: int
    design: Design
    source: Source
    story: int
    canary: bool

    @property
    def scenario(self) -> str:
        return f"random {self.story}" if self.story >= 0 else self.source.name


def chunk_of(plan: Plan, number: int) -> Chunk:
    """The chunk with this number, from 0.

    Designs come in turn, so an interrupted campaign has played each equally often, and their numbers can be
    compared."""
    if plan.canary is not None:
        if number % CANARY_EVERY == 0:
            return Chunk(number, number, plan.canary, Source(CANARY_SCENARIO), -1, True)
        number -= number // CANARY_EVERY + 1
    turn, which = divmod(number, len(plan.designs))
    rng = Random(f"{plan.seed} chunk {turn}")
    design = plan.designs[which]
    if plan.stories and (turn % 2 or not plan.scenarios):
        return Chunk(number, turn, design, Source(""), rng.randrange(1 << 40), False)
    return Chunk(number, turn, design, rng.choice(plan.scenarios), -1, False)


@lru_cache(maxsize=SCENARIOS_LIMIT)
def scenario_of(source: Source, story: int = -1, leases: bool = False) -> Scenario:
    """``story``: as of a chunk. ``leases``: as of ``random_story``."""
    if story >= 0:
        return random_story(Random(story), leases=leases)
    return parse(source.text, source.name) if source.text else load(library_path(source.name))


def inputs_of(plan: Plan, chunk: Chunk, number: int) -> Inputs:
    """The inputs of run ``number`` of a chunk."""
    scenario = scenario_of(chunk.source, chunk.story, chunk.design.notifier is Notifier.ACKNOWLEDGED)
    rng = Random(f"{plan.seed} run {chunk.turn} {chunk.canary} {number}")
    kinds = list(plan.kinds) if plan.all_kinds else drawn_kinds(rng, plan.kinds)
    faults = (*scenario.faults, *drawn_rules(rng, kinds))
    strategy = plan.strategies[number % len(plan.strategies)]
    sampler = drawn_sampler(rng, strategy, faults)
    return Inputs(scenario, chunk.design, Schedule(faults, other=lambda: sampler))
