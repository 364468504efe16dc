"""A smaller run that may take the place of the run so far, and the player of such runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from client.litmus import Scenario
from client.run.inputs import Inputs
from client.run.run import Run, run_or_failure
from client.schedule.decisions import Decision, Step, is_fault
from client.schedule.lenient import WatchedReplay
from client.schedule.schedule import Schedule
from client.shrink import edits
from client.shrink.budget import Budget
from contract.design import Design
from contract.errors import InputError, RefusedError
from contract.trace import Statement

Tape = Sequence[Decision]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run, and the tape that gives it when it is replayed leniently. On the default schedule, that tape holds the
    faults alone."""

    tape: Tape
    run: Run
    unusual: list[tuple[int, Decision | None]]
    """The decisions of the run that the default strategy would not have taken, by number from 0, each with the one that
    it would have taken."""
    records: list[int]
    """For each decision of the run, how many records there were before it."""

    @property
    def scenario(self) -> Scenario:
        return self.run.scenario

    @property
    def steps(self) -> int:
        return sum(isinstance(decision, Step) for decision in self.run.tape)

    @property
    def faults(self) -> list[int]:
        """The numbers of the faults among the decisions of the tape, from 0."""
        return [i for i, decision in enumerate(self.tape) if is_fault(decision)]

    @property
    def size(self) -> tuple[int, ...]:
        """Shrinking makes this smaller; a number counts more than all numbers behind it. The statements that are
        carried out come before those of the text: a short loop may become the statements of its turns."""
        weight, unusual = edits.weight(self.scenario), edits.unusual_settings(self.scenario)
        done = sum(isinstance(record, Statement) for record in self.run.records)
        return len(self.faults), done, *weight, len(self.unusual), self.steps, unusual, len(self.tape)

    def carried_out(self) -> dict[int, list[list[int]]]:
        """For each statement, by its line in the text that was shrunk, and for each time that it was carried out: the
        decisions of the run that are its steps, by number from 0."""
        found: dict[int, list[list[int]]] = {}
        current: dict[str, list[int]] = {}
        for number, (decision, at) in enumerate(zip(self.run.tape, self.records, strict=False)):
            if not isinstance(decision, Step):
                continue
            begun = self.run.records[at] if at < len(self.run.records) else None
            if isinstance(begun, Statement) and begun.thread == decision.thread:
                current[decision.thread] = []
                found.setdefault(begun.line, []).append(current[decision.thread])
            if decision.thread in current:
                current[decision.thread].append(number)
        return found


class CandidatePlayer:
    """Plays candidates on the simulated wire. ``runs`` counts them. ``told`` is called after each."""

    def __init__(self, design: Design, told: Callable[[], None], budget: Budget) -> None:
        self.design = design
        self.told = told
        self.budget = budget
        self.runs = 0

    def play(self, scenario: Scenario, tape: Tape, *, kinds: bool = False) -> Candidate | None:
        """The case of a scenario and a tape, also of one that fails; None if there is no such run. ``kinds``: as of
        ``LenientStrategy``. Raises EnoughError, and KeyboardInterrupt where Ctrl-C ended it."""
        self.budget.begin()
        watched = WatchedReplay(tape, kinds=kinds)
        self.runs += 1
        try:
            run = run_or_failure(Inputs(scenario, self.design, Schedule(other=lambda: watched)))
        except (InputError, RefusedError):
            return None
        if run.interrupted:
            raise KeyboardInterrupt
        self.budget.end(len(run.tape))
        self.told()
        return Candidate(tape if all(map(is_fault, tape)) else run.tape, run, watched.unusual, watched.records)
