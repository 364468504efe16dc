"""Shrink a run: take away faults, statements, threads, machines and decisions as long as the violation stays.

The result is 1-minimal: it no longer violates the same if any single one of these is taken away. Candidates are played
on the simulated wire, each with the tape of the run so far, replayed leniently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from client.litmus import Scenario
from client.run.inputs import Inputs
from client.run.run import Run
from client.run.run import run as play
from client.schedule.decisions import Decision, Step, is_fault, without_fault
from client.schedule.lenient import WatchedReplay
from client.schedule.schedule import Schedule
from client.shrink import edits
from client.shrink.target import Target
from contract.errors import InputError, RefusedError

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
        """Shrinking makes this smaller; a number counts more than all numbers behind it."""
        weight, unusual = edits.weight(self.scenario), edits.unusual_settings(self.scenario)
        return len(self.faults), *weight, len(self.unusual), self.steps, unusual


class CandidatePlayer:
    """Plays candidates on the simulated wire. ``runs`` counts them. ``told`` is called after each."""

    def __init__(self, run: Run, told: Callable[[], None]) -> None:
        self.design = run.design
        self.told = told
        self.runs = 0

    def play(self, scenario: Scenario, tape: Tape) -> Candidate | None:
        """The case of a scenario and a tape; None if there is no such run, or it does not come to its end. Raises
        KeyboardInterrupt where Ctrl-C ended it."""
        watched = WatchedReplay(tape)
        self.runs += 1
        try:
            run = play(Inputs(scenario, self.design, Schedule(other=lambda: watched)))
        except (InputError, RefusedError):
            return None
        if run.interrupted:
            raise KeyboardInterrupt
        self.told()
        if run.failure is not None:
            return None
        return Candidate(tape if all(map(is_fault, tape)) else run.tape, run, watched.unusual)


class Shrinker:
    """``best`` is the smallest case so far."""

    def __init__(self, run: Run, target: Target, told: Callable[[Shrinker], None] = lambda _: None) -> None:
        """``told`` is called after each run. Raises InputError if a replay of the run does not violate the target."""
        self.target = target
        self.player = CandidatePlayer(run, lambda: told(self) if hasattr(self, "best") else None)
        again = self.player.play(replace(run.scenario, faults=[]), run.tape)
        if again is None or not target.kept_by(again.run):
            raise InputError(f"its replay does not violate {target}", "run")
        self.best = again

    def shrink(self) -> Candidate:
        """Shrink until nothing can be taken away. ``best`` is valid at any time, so Ctrl-C loses nothing."""
        self._conditions()
        self._schedule()
        before = None
        while before is not self.best:
            before = self.best
            self._faults()
            self._statements()
            while any(map(self._edit, edits.simpler(self.best.scenario))):
                pass
            while any(map(self._shorter, edits.shorter(self.best.scenario))):
                pass
            self._schedule()
            while any(self._try(self.best.scenario, tape) for tape in _more_usual(self.best)):
                pass
        return self.best

    def _try(self, scenario: Scenario, tape: Tape) -> bool:
        """Whether a candidate violates the same and is smaller than the best case. It is the best case then."""
        case = self.player.play(scenario, tape)
        if case is None or not self.target.kept_by(case.run) or case.size >= self.best.size:
            return False
        self.best = case
        return True

    def _edit(self, scenario: Scenario) -> bool:
        """Try a smaller scenario, without the parts that are not valid in it."""
        mended = edits.repaired(scenario)
        return mended is not None and self._try(mended, renamed(self.best.tape, mended))

    def _shorter(self, less: tuple[Scenario, str, int]) -> bool:
        """Try a scenario in which a thread takes fewer steps, with a tape without these steps. With the same tape, what
        the thread does behind them comes too early for the other threads."""
        scenario, thread, steps = less
        mended = edits.repaired(scenario)
        tapes = _fewer_steps(self.best.tape, thread, steps)
        return mended is not None and any(self._try(mended, renamed(tape, mended)) for tape in tapes)

    def _conditions(self) -> None:
        """Without the expectations and the final condition: they are about the statements of the whole scenario."""
        bare = replace(self.best.scenario, expects=[], purpose="Shrunk.")
        if self.target.invariants:
            bare = replace(bare, final=None)
        case = self.player.play(bare, self.best.tape)
        if case is not None and self.target.kept_by(case.run):
            self.best = case

    def _schedule(self) -> None:
        """The shortest beginning of the tape behind which the default strategy decides all but the faults."""
        tape = self.best.tape
        for at in (0, *(number for number, _ in self.best.unusual)):
            if self._try(self.best.scenario, [*tape[:at], *filter(is_fault, tape[at:])]):
                return

    def _faults(self) -> None:
        for number in reversed(self.best.faults):
            self._try(self.best.scenario, without_one(self.best, number))

    def _statements(self) -> None:
        """Without a half of the statements, a quarter and so on, down to one."""
        size = len(edits.places(self.best.scenario))
        while size:
            at = len(edits.places(self.best.scenario))
            while at > 0:
                places = edits.places(self.best.scenario)
                at = min(at, len(places))
                self._edit(edits.without(self.best.scenario, set(places[max(at - size, 0) : at])))
                at -= size
            size //= 2


def without_one(case: Candidate, number: int) -> Tape:
    """The tape of a case without the fault in decision ``number``."""
    tape = case.tape
    instead = [] if all(map(is_fault, tape)) else without_fault(tape[number])
    return [*tape[:number], *instead, *tape[number + 1 :]]


def _more_usual(case: Candidate) -> Iterator[Tape]:
    """The tape with one decision taken first that the default strategy would take there."""
    tape = list(case.run.tape)
    for number, usual in case.unusual:
        if usual is not None and not is_fault(tape[number]):
            rest = tape[number:]
            if usual in rest:
                rest.remove(usual)
            yield [*tape[:number], usual, *rest]


def _fewer_steps(tape: Tape, thread: str, fewer: int) -> Iterator[Tape]:
    """Each tape without so many successive steps of a thread."""
    mine = [i for i, decision in enumerate(tape) if isinstance(decision, Step) and decision.thread == thread]
    tried: set[tuple[Decision, ...]] = set()
    for first in range(len(mine) - fewer + 1):
        gone = set(mine[first : first + fewer])
        left = tuple(decision for i, decision in enumerate(tape) if i not in gone)
        if left not in tried:
            tried.add(left)
            yield left


def renamed(tape: Tape, scenario: Scenario) -> Tape:
    """The tape with the names of the threads in a scenario from which actors were taken away."""
    names = {actor: block.name for block in scenario.blocks for actor in block.actors}
    known = {name: next((names[a] for a in name.split("+") if a in names), name) for name in _threads(tape)}
    return [replace(d, thread=known[d.thread]) if isinstance(d, Step) else d for d in tape]


def _threads(tape: Tape) -> set[str]:
    return {decision.thread for decision in tape if isinstance(decision, Step)}
