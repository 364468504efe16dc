"""Tell two designs apart: the smallest scenario and schedule whose outcome differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from client.litmus import Scenario
from client.run.inputs import Inputs
from client.run.run import Run
from client.run.run import run as play
from client.schedule.drawn import STRATEGIES, drawn_sampler
from client.schedule.lenient import LenientStrategy
from client.schedule.schedule import Schedule
from client.schedule.swarm import drawn_kinds, drawn_rules
from client.search.witness import file_of_case
from client.shrink.budget import Budget
from client.shrink.edits import places
from client.shrink.shrink import Shrinker
from client.shrink.target import Target
from contract.design import Design
from contract.errors import LbrlabError

CANDIDATES = 4
"""Differing runs of the default schedule that are shrunk. The smallest of them is the answer."""
OUTCOME = "outcome"

Outcome = dict[str, str]


@dataclass(frozen=True, slots=True)
class Apart:
    """The same scenario and tape under both designs. ``differing``: a register or ``invariant NAME``, to its values
    under each. ``usual``: the schedule is the default one. ``played``: runs until the difference was found."""

    one: Run
    other: Run
    differing: dict[str, tuple[str, str]]
    usual: bool
    played: int

    @property
    def size(self) -> tuple[int, int]:
        return len(places(self.one.scenario)), len(self.one.tape)


def outcome_of(run: Run) -> Outcome:
    """Registers, violated invariants, and threads that never finished."""
    verdict = run.verdict
    found = {name: str(value) for name, value in verdict.outcome.items()}
    found |= {f"invariant {name}": "violated" for name in run.broken()}
    return found | {f"unfinished {thread}": "yes" for thread in verdict.unfinished}


def differing(one: Run, other: Run) -> dict[str, tuple[str, str]]:
    first, second = outcome_of(one), outcome_of(other)
    names = dict.fromkeys([*first, *second])
    pairs = {name: (first.get(name, "-"), second.get(name, "-")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def under(run: Run, design: Design) -> Run:
    """The scenario and the tape of a run under another design."""
    tape = run.tape
    return play(Inputs(run.scenario, design, Schedule(run.faults, other=lambda: LenientStrategy(tape)))).finished()


@dataclass(frozen=True, slots=True)
class _Differs(Target):
    """The target of shrinking: the outcome under ``other`` is another one. ``budget`` counts the runs under it, too."""

    other: Design = field(kw_only=True)
    budget: Budget | None = None

    def kept_by(self, run: Run) -> bool:
        if run.failure is not None:
            return False
        if self.budget is not None:
            self.budget.begin()
            self.budget.end(len(run.tape))
        try:
            return bool(differing(run, under(run, self.other)))
        except LbrlabError:
            return False


def differ(
    one: Design,
    other: Design,
    scenarios: Sequence[Scenario],
    kinds: Sequence[str],
    runs: int,
    seed: int,
    told: Callable[[int], None] = lambda tried: None,
) -> Apart | None:
    """The smallest difference that was found. First each scenario is played on its default schedule, then ``runs``
    sampled runs are, with faults of ``kinds``. None if all outcomes are equal."""
    by_size = sorted(scenarios, key=lambda scenario: len(places(scenario)))
    tried = 0
    found: list[Run] = []
    for run in _usual(one, by_size):
        tried += 1
        told(tried)
        if _Differs((OUTCOME,), other=other).kept_by(run):
            found.append(run)
            if len(found) == CANDIDATES:
                break
    if not found:
        for run in _sampled(one, by_size, kinds, runs, seed):
            tried += 1
            told(tried)
            if _Differs((OUTCOME,), other=other).kept_by(run):
                found.append(run)
                break
    shrunk = [_shrunk(run, other, tried) for run in found]
    return min(shrunk, key=lambda apart: apart.size, default=None)


def _usual(design: Design, scenarios: Sequence[Scenario]) -> Iterator[Run]:
    for scenario in scenarios:
        try:
            yield play(Inputs(scenario, design)).finished()
        except LbrlabError:
            continue


def _sampled(
    design: Design, scenarios: Sequence[Scenario], kinds: Sequence[str], runs: int, seed: int
) -> Iterator[Run]:
    for number in range(runs):
        rng = Random(f"{seed} {number}")
        scenario = rng.choice(scenarios)
        faults = (*scenario.faults, *drawn_rules(rng, drawn_kinds(rng, kinds)))
        sampler = partial(drawn_sampler, rng, STRATEGIES[number % len(STRATEGIES)], faults)
        try:
            yield play(Inputs(scenario, design, Schedule(faults, other=sampler))).finished()
        except LbrlabError:
            continue


def _shrunk(run: Run, other: Design, tried: int) -> Apart:
    budget = Budget()
    shrinker = Shrinker(run, _Differs((OUTCOME,), other=other, budget=budget), budget=budget)
    shrinker.shrink()
    small = file_of_case(shrinker.best)
    again = under(small, other)
    return Apart(small, again, differing(small, again), not shrinker.best.unusual, tried)
