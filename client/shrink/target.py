"""The property of a run that shrinking keeps: invariants that it violates, or its final condition."""

from __future__ import annotations

from dataclasses import dataclass

from client.litmus.spelling import unknown
from client.run.run import Run
from contract.errors import InputError
from contract.invariants import ABOUT, VIOLATED


@dataclass(frozen=True, slots=True)
class Target:
    invariants: tuple[str, ...]
    """Every one of these is violated. If there are none, the final condition is."""

    def kept_by(self, run: Run) -> bool:
        """Whether a run violates the same."""
        return set(self.invariants) <= set(run.broken()) if self.invariants else _condition_fails(run)

    def broken_by(self, run: Run) -> bool:
        """Whether a run violates any of it."""
        return bool(set(self.invariants) & set(run.broken())) if self.invariants else _condition_fails(run)

    def __str__(self) -> str:
        return ", ".join(self.invariants) or "the final condition"


def _condition_fails(run: Run) -> bool:
    return run.verdict.final is not None and run.verdict.final.result == VIOLATED


def target_of(run: Run, invariant: str | None = None) -> Target:
    """``invariant``; or all that a run violates; or its final condition. Raises InputError where it violates nothing,
    or not that invariant."""
    if run.failure is not None:
        raise InputError(f"the run did not come to its end: {run.failure}", "run")
    broken = run.broken()
    if invariant is not None and invariant not in ABOUT:
        raise InputError(unknown("invariant", invariant, list(ABOUT)), "invariant")
    if invariant is not None and invariant not in broken:
        raise InputError(f"the run does not violate {invariant}: it is {run.verdict_of(invariant)}", "invariant")
    target = Target((invariant,) if invariant is not None else tuple(broken))
    if not target.broken_by(run):
        raise InputError("the run violates nothing", "run")
    return target
