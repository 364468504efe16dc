"""From a suspect to a finding: the shrunk run, its signature, and its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from client.run.failure import failure_form, form_of
from client.run.file import decoded, encoded
from client.run.inputs import Inputs
from client.run.run import Run, run_or_failure
from client.run.verdict import FAILED
from client.schedule.decisions import Deliver, is_fault
from client.schedule.incidents import NORMAL_RATE, Incident, SetClock
from client.schedule.lenient import LenientStrategy
from client.schedule.schedule import Schedule
from client.search.chunk import RunNumber, Suspect, against, play_run
from client.search.counted import counted
from client.search.plan import Plan
from client.shrink.candidate import Candidate
from client.shrink.edits import places
from client.shrink.shrink import Shrinker
from client.shrink.shrunk import file_of
from client.shrink.target import Failing, Target
from contract.design import Condition, Design
from contract.errors import InputError


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


@dataclass(frozen=True, slots=True)
class CountedViolation(Target):
    """The target of shrinking: a violation that counts against the design."""

    condition: Condition = Condition.ANY

    def violations(self, run: Run) -> dict[str, str]:
        return {name: violation.text for name, violation in counted(run, self.condition).items()}


def witness(plan: Plan, suspect: Suspect) -> Witness:
    """Play the run of a suspect again and shrink it."""
    run = play_run(plan, suspect.run)
    return _witness(run, suspect, plan.condition)


def _witness(run: Run, suspect: Suspect, condition: Condition) -> Witness:
    name, target = suspect.invariant, target_of_suspect(run, suspect, condition)
    try:
        shrinker = Shrinker(run, target)
    except InputError:
        return _told(suspect, run, suspect.text, shrunk=False)
    shrinker.shrink()
    small = file_of_case(shrinker.best)
    text = str(small.failure) if name == FAILED else target.violations(small).get(name, suspect.text)
    return _told(suspect, small, text, shrunk=shrinker.complete)


def target_of_suspect(run: Run, suspect: Suspect, condition: Condition) -> Target:
    if suspect.invariant == FAILED:
        return Failing((), form=failure_form(run.failure) if run.failure is not None else "")
    return CountedViolation((suspect.invariant,), {suspect.invariant: suspect.form}, condition)


def file_of_case(case: Candidate) -> Run:
    """The run of a case as its file has it; as it was played if the file would not replay strictly."""
    try:
        return file_of(case)
    except InputError:
        return case.run


def _told(suspect: Suspect, run: Run, text: str, *, shrunk: bool) -> Witness:
    taken: list[Deliver | Incident] = [d for d in run.tape if isinstance(d, Deliver) and is_fault(d)]
    taken += [d for d in run.tape if isinstance(d, Incident) and is_fault(d)]
    in_tape = [f"{d.fate} {d.message}" if isinstance(d, Deliver) else str(d) for d in taken]
    form = failure_form(run.failure) if run.failure is not None else form_of(text)
    parts = [suspect.design, suspect.invariant, form, *sorted(map(form_of, in_tape))]
    steps = sum(type(d).__name__ == "Step" for d in run.tape)
    return Witness(
        "; ".join(parts),
        suspect.design,
        suspect.invariant,
        text,
        [as_rule(d) for d in taken],
        steps,
        len(places(run.scenario)),
        shrunk,
        suspect.run,
        encoded(run),
    )


def as_rule(fault: Deliver | Incident) -> str:
    """Kind and target of a fault in the words of ``--fault``, without the numbers of messages and faults."""
    match fault:
        case Deliver():
            return f"{fault.fate} {fault.message}"
        case SetClock():
            return f"clock {fault.service} rate {fault.rate / NORMAL_RATE:g}"
        case _:
            return str(replace(fault, fault=""))


def run_file(plan: Plan, number: RunNumber) -> bytes:
    """The content of the file of one run of a plan."""
    return encoded(play_run(plan, number))


def replay(plan: Plan, content: bytes, name: str, number: int, design: Design) -> list[Witness]:
    """Replay the schedule of a run file leniently under a design. Gives a witness for each thing that counts.
    ``number``: of the file in the corpus, from 0."""
    kept = decoded(content, Path(name))
    strategy = LenientStrategy(kept.tape)
    run = run_or_failure(Inputs(kept.scenario, design, Schedule(kept.faults, other=lambda: strategy)))
    suspects = [
        Suspect(design.name, invariant, form_of(text), text, RunNumber(-1, number))
        for invariant, text in against(plan, run).items()
    ]
    return [_witness(run, suspect, plan.condition) for suspect in suspects]
