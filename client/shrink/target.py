"""The property of a run that shrinking keeps: invariants that it violates, its final condition, or its failure."""

from __future__ import annotations

from dataclasses import dataclass, field

from client.litmus.spelling import unknown
from client.run.failure import failure_form, form_of
from client.run.run import Run
from contract.errors import InputError
from contract.invariants import ABOUT, VIOLATED


@dataclass(frozen=True, slots=True)
class Target:
    """Violations of a run that came to its end."""

    invariants: tuple[str, ...]
    """Every one of these is violated. If there are none, the final condition is."""
    forms: dict[str, str] = field(default_factory=dict)
    """Invariant to the text of its first violation without the numbers. One that is not here may be violated in any
    way: another bug may take the place of the first one."""

    def kept_by(self, run: Run) -> bool:
        """Whether a run violates the same, in the same way."""
        if run.failure is not None:
            return False
        if not self.invariants:
            return _condition_fails(run)
        texts = self.violations(run)
        return all(
            name in texts and self.forms.get(name, form_of(texts[name])) == form_of(texts[name])
            for name in self.invariants
        )

    def violations(self, run: Run) -> dict[str, str]:
        """Each invariant that a run violates, to the text of its first violation."""
        return first_violations(run)

    def avoided_by(self, run: Run) -> bool:
        """Whether a run comes to its end, and violates nothing of it."""
        if run.failure is not None:
            return False
        return not set(self.invariants) & set(run.broken()) if self.invariants else not _condition_fails(run)

    def __str__(self) -> str:
        return ", ".join(self.invariants) or "the final condition"


@dataclass(frozen=True, slots=True)
class Failing(Target):
    """The failure of a run: an unforeseen error of a core, or a rule of the contract that a core broke."""

    form: str = ""

    def kept_by(self, run: Run) -> bool:
        """Whether a run fails alike: with an error of the same class in the same function, or for the same reason."""
        return run.failure is not None and failure_form(run.failure) == self.form

    def avoided_by(self, run: Run) -> bool:
        return run.failure is None

    def __str__(self) -> str:
        return self.form


def first_violations(run: Run) -> dict[str, str]:
    """Each invariant that a run violates, to the text of its first violation."""
    return {f.invariant: f.violations[0].text for f in run.findings if f.verdict == VIOLATED}


def _condition_fails(run: Run) -> bool:
    return run.verdict.final is not None and run.verdict.final.result == VIOLATED


def target_of(run: Run, invariant: str | None = None, place: str = "invariant") -> Target:
    """``invariant``; or the failure of a run, or all that it violates, or its final condition. Raises InputError where
    it violates nothing, or not that invariant. ``place``: the name of the argument ``invariant``."""
    if invariant is not None and invariant not in ABOUT:
        raise InputError(unknown("invariant", invariant, list(ABOUT)), place)
    if run.failure is not None:
        if invariant is not None:
            raise InputError(f"the run did not come to its end: {run.failure}", place)
        return Failing((), form=failure_form(run.failure))
    texts = first_violations(run)
    if invariant is not None and invariant not in texts:
        raise InputError(f"the run does not violate {invariant}: it is {run.verdict_of(invariant)}", place)
    names = (invariant,) if invariant is not None else tuple(texts)
    if not names and not _condition_fails(run):
        path = str(run.path or "")
        raise InputError("the run violates nothing, so there is nothing to shrink", path)
    return Target(names, {name: form_of(texts[name]) for name in names})
