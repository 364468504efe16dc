"""Shrink a run: take away faults, statements, threads, machines and decisions as long as the violation stays.

The result is 1-minimal: it no longer violates the same if any single one of these is taken away. Candidates are played
on the simulated wire, each with the tape of the run so far, replayed leniently.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from client.litmus import Scenario, format_scenario, parse
from client.run.failure import failure_form
from client.run.run import Run
from client.schedule.decisions import is_fault
from client.shrink import edits
from client.shrink.budget import Budget, EnoughError
from client.shrink.candidate import Candidate, CandidatePlayer, Tape
from client.shrink.tapes import more_usual, renamed, unnamed, without_faults, without_steps
from client.shrink.target import Failing, Target
from contract.errors import InputError


class Shrinker:
    """``best`` is the smallest case so far. ``longest``: the steps that it may take. ``complete``: nothing more can be
    taken away from it."""

    def __init__(
        self,
        run: Run,
        target: Target,
        told: Callable[[Shrinker], None] = lambda _: None,
        budget: Budget | None = None,
    ) -> None:
        """``told`` is called after each run. Raises InputError if a replay of the run does not do the same."""
        self.player = CandidatePlayer(
            run.design, lambda: told(self) if hasattr(self, "best") else None, budget or Budget()
        )
        self.complete = False
        # Each statement gets the line of this text. Edits keep it, so that the records tell what is carried out.
        scenario = parse(format_scenario(replace(run.scenario, faults=[])), run.scenario.name)
        again = self.player.play(scenario, list(map(unnamed, run.tape)))
        if isinstance(target, Failing) and run.wire != "sim" and again is not None and again.run.failure is not None:
            # A service tells less of its error than a core in this process does.
            target = Failing((), form=failure_form(again.run.failure))
        self.target = target
        if again is None or not target.kept_by(again.run):
            verb = "fail alike" if isinstance(target, Failing) else f"violate {target}"
            raise InputError(f"its replay does not {verb}", "run")
        self.best = again
        self.longest = again.steps

    def shrink(self) -> Candidate:
        """Shrink until nothing can be taken away, or the budget is used up. ``best`` is valid at any time, so Ctrl-C
        loses nothing."""
        try:
            self._to_the_end()
        except EnoughError:
            return self.best
        self.complete = True
        return self.best

    def _to_the_end(self) -> None:
        self._conditions()
        self._schedule()
        before = None
        while before is not self.best:
            before = self.best
            self._faults()
            self._statements()
            while any(map(self._edit, edits.simpler(self.best.scenario))):
                pass
            self._schedule()
            self._decisions()
            while any(self._try(self.best.scenario, tape) for tape in more_usual(self.best)):
                pass

    def _try(self, scenario: Scenario, tape: Tape, *, kinds: bool = False) -> bool:
        """Whether a candidate violates the same and is smaller than the best case. It is the best case then."""
        return self._take(self.player.play(scenario, tape, kinds=kinds))

    def _take(self, case: Candidate | None) -> bool:
        if case is None or not self.target.kept_by(case.run) or case.size >= self.best.size:
            return False
        if case.steps > self.longest:
            return False
        self.best = case
        return True

    def _edit(self, scenario: Scenario) -> bool:
        """Try a smaller scenario, without the parts that are not valid in it; first with the tape so far, then without
        the steps that it no longer takes."""
        mended = edits.repaired(scenario)
        if mended is None:
            return False
        case = self.player.play(mended, renamed(self.best.tape, mended))
        if case is None or self._take(case):
            return case is not None
        tapes = [self.best.tape, *without_steps(self.best, case)]
        return any(self._try(mended, renamed(tape, mended)) for tape in tapes[1:]) or (
            not all(map(is_fault, self.best.tape))
            and any(self._try(mended, renamed(tape, mended), kinds=True) for tape in tapes)
        )

    def _conditions(self) -> None:
        """Without the expectations and the final condition: they are about the statements of the whole scenario."""
        bare = replace(self.best.scenario, expects=[], purpose="Shrunk.")
        if self.target.invariants or isinstance(self.target, Failing):
            bare = replace(bare, final=None)
        case = self.player.play(bare, self.best.tape)
        if case is not None and self.target.kept_by(case.run):
            self.best = case

    def _schedule(self) -> None:
        """A short beginning of the tape behind which the default strategy decides all but the faults: the shortest, if
        each longer one does, too."""
        tape, places = self.best.tape, [0, *(number for number, _ in self.best.unusual)]
        low, high = 0, len(places)
        while low < high:
            middle = (low + high) // 2 if low else 0
            at = places[middle]
            if self._try(self.best.scenario, [*tape[:at], *filter(is_fault, tape[at:])]):
                high = middle
            else:
                low = middle + 1

    def _decisions(self) -> None:
        """Without a half of the decisions that are no faults, a quarter and so on."""
        if all(map(is_fault, self.best.tape)):
            return
        size = len(self.best.tape) // 2
        while size > len(self.best.tape) // 64:
            at = len(self.best.tape)
            while at > 0:
                tape = self.best.tape
                at = min(at, len(tape))
                first = max(at - size, 0)
                self._try(self.best.scenario, [*tape[:first], *filter(is_fault, tape[first:at]), *tape[at:]])
                at -= size
            size //= 2

    def _faults(self) -> None:
        """Without all faults, a half of them, a quarter and so on, down to one."""
        size = len(self.best.faults)
        while size:
            at = len(self.best.faults)
            while at > 0:
                faults = self.best.faults
                at = min(at, len(faults))
                tape = without_faults(self.best, faults[max(at - size, 0) : at])
                if not self._try(self.best.scenario, tape) and not all(map(is_fault, tape)):
                    self._try(self.best.scenario, tape, kinds=True)
                at -= size
            size //= 2

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
