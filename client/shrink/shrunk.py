"""The result of shrinking a run."""

from __future__ import annotations

from dataclasses import dataclass

from client.litmus import format_scenario, parse
from client.run.inputs import Inputs
from client.run.run import Run, run_or_failure
from client.run.verdict import FAILED
from client.schedule.schedule import replay
from client.shrink.budget import Budget
from client.shrink.candidate import Candidate
from client.shrink.nearest import Nearest, nearest
from client.shrink.shrink import Shrinker
from client.shrink.tapes import without_faults
from client.shrink.target import Target, target_of


@dataclass(frozen=True, slots=True)
class Shrunk:
    target: Target
    before: Candidate
    """The replay of the run that was given."""
    after: Candidate
    run: Run
    """The shrunk run, as its file has it."""
    faults: dict[str, list[str]]
    """Each fault that is left, as in the tape, with the invariants that are violated without it; FAILED is among them
    if the run fails then."""
    nearest: Nearest | None
    """The nearest schedule that holds; None if none of those that were tried does."""
    schedules: int
    """How many schedules were tried for it."""
    runs: int
    """How many runs were played for the rest."""
    complete: bool
    """Whether nothing more can be taken away. Otherwise the shrinking took as many runs as it may."""


def file_of(case: Candidate) -> Run:
    """The run of a case, whose statements have the lines of the scenario's new text."""
    text = format_scenario(case.scenario)
    run = run_or_failure(Inputs(parse(text, "scenario"), case.run.design, replay(case.run.tape)))
    return run.finished() if run.interrupted or case.run.failure is None else run


def conclude(shrinker: Shrinker, before: Candidate) -> Shrunk:
    """Find the faults that a shrunk run needs, and the nearest schedule that holds."""
    after, target, player = shrinker.best, shrinker.target, shrinker.player
    faults: dict[str, list[str]] = {}
    for number in after.faults:
        player.budget = Budget()
        less = player.play(after.scenario, without_faults(after, [number]))
        faults[str(after.tape[number])] = _broken(less.run) if less is not None else []
    runs, player.budget = player.runs, Budget()
    found, tried = nearest(after, target, player)
    return Shrunk(target, before, after, file_of(after), faults, found, tried, runs, shrinker.complete)


def _broken(run: Run) -> list[str]:
    return run.broken() + ([FAILED] if run.failure is not None else [])


def shrink(run: Run, invariant: str | None = None) -> Shrunk:
    """Shrink a run that violates something: ``invariant``, or by default all that it violates; or a run that fails.
    Raises InputError where there is nothing to shrink."""
    shrinker = Shrinker(run, target_of(run, invariant))
    before = shrinker.best
    shrinker.shrink()
    return conclude(shrinker, before)
