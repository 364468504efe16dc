"""From a suspect to a finding: the shrunk run, its signature, and its file."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from client.run.file import decoded, encoded
from client.run.inputs import Inputs
from client.run.run import Run
from client.run.run import run as play
from client.run.verdict import FAILED
from client.schedule.decisions import Deliver, is_fault
from client.schedule.lenient import LenientStrategy
from client.schedule.schedule import Schedule
from client.search.chunk import RunNumber, Suspect, against, form_of, play_run
from client.search.counted import counted
from client.search.plan import Plan
from client.shrink.edits import places
from client.shrink.shrink import Candidate, Shrinker
from client.shrink.shrunk import file_of
from client.shrink.target import Target
from contract.design import Condition, Design
from contract.errors import InputError

RUNS_LIMIT = 3000
"""Runs that shrinking may take. The smallest run until then is the witness."""
WORK_LIMIT = 150_000
"""Decisions of these runs together. Runs that only repeat themselves are long."""
SECONDS_LIMIT = 60.0
"""Seconds of a shrinking. Only runs that fail after thousands of decisions take so long."""


class Witness(msgspec.Struct):
    """A run that shows a finding, as small as it could be made. ``signature``: findings with the same signature are the
    same. ``text``: the violation in this run. ``faults``: those that are left, as kind and message. ``steps``: of
    threads; ``statements``: of the scenario; ``shrunk``: whether nothing more can be taken away. ``file``: the content
    of the run file."""

    signature: str
    design: str
    invariant: str
    text: str
    faults: list[str]
    steps: int
    statements: int
    shrunk: bool
    run: RunNumber
    file: bytes = b""


class EnoughError(Exception):
    """Shrinking has taken as much work as it may."""


@dataclass(slots=True)
class Budget:
    """The work that one shrinking may take."""

    runs: int = RUNS_LIMIT
    decisions: int = WORK_LIMIT
    deadline: float = field(default_factory=lambda: time.monotonic() + SECONDS_LIMIT)

    def spend(self, run: Run) -> None:
        """Raises EnoughError when it is used up."""
        self.decisions -= len(run.tape)
        if self.decisions < 0:
            raise EnoughError

    def watch(self, shrinker: Shrinker) -> None:
        """Called after each run, also of one that fails. Raises EnoughError."""
        if shrinker.player.runs > self.runs or time.monotonic() > self.deadline:
            raise EnoughError


@dataclass(frozen=True, slots=True)
class CountedViolation(Target):
    """The target of shrinking: a violation that counts against the design."""

    condition: Condition
    budget: Budget

    def kept_by(self, run: Run) -> bool:
        self.budget.spend(run)
        return set(self.invariants) <= counted(run, self.condition).keys()


def witness(plan: Plan, suspect: Suspect) -> Witness:
    """Play the run of a suspect again and shrink it."""
    run = play_run(plan, suspect.run)
    return _witness(run, suspect, plan.condition)


def _witness(run: Run, suspect: Suspect, condition: Condition) -> Witness:
    if suspect.invariant == FAILED:
        return _told(suspect, run, suspect.text, shrunk=False)

    budget = Budget()
    try:
        shrinker = Shrinker(run, CountedViolation((suspect.invariant,), condition, budget), budget.watch)
    except InputError:
        return _told(suspect, run, suspect.text, shrunk=False)
    shrunk = True
    try:
        shrinker.shrink()
    except EnoughError:
        shrunk = False
    small = file_of_case(shrinker.best)
    violation = counted(small, condition).get(suspect.invariant)
    return _told(suspect, small, violation.text if violation else suspect.text, shrunk=shrunk)


def file_of_case(case: Candidate) -> Run:
    """The run of a case as its file has it; as it was played if the file would not replay strictly."""
    try:
        return file_of(case)
    except InputError:
        return case.run


def _told(suspect: Suspect, run: Run, text: str, *, shrunk: bool) -> Witness:
    faults = [f"{d.fate} {d.message}" for d in run.tape if isinstance(d, Deliver) and is_fault(d)]
    faults += [str(d) for d in run.tape if not isinstance(d, Deliver) and is_fault(d)]
    parts = [suspect.design, suspect.invariant, form_of(text), *sorted(map(form_of, faults))]
    steps = sum(type(d).__name__ == "Step" for d in run.tape)
    return Witness(
        "; ".join(parts),
        suspect.design,
        suspect.invariant,
        text,
        faults,
        steps,
        len(places(run.scenario)),
        shrunk,
        suspect.run,
        encoded(run),
    )


def run_file(plan: Plan, number: RunNumber) -> bytes:
    """The content of the file of one run of a plan."""
    return encoded(play_run(plan, number))


def replay(plan: Plan, content: bytes, name: str, design: Design) -> list[Witness]:
    """Replay the schedule of a run file leniently under a design. Gives a witness for each thing that counts."""
    kept = decoded(content, Path(name))
    strategy = LenientStrategy(kept.tape)
    run = play(Inputs(kept.scenario, design, Schedule(kept.faults, other=lambda: strategy)))
    number = RunNumber(-1, 0)
    suspects = [
        Suspect(design.name, invariant, form_of(text), text, number) for invariant, text in against(plan, run).items()
    ]
    return [_witness(run, suspect, plan.condition) for suspect in suspects]
