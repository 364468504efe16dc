"""The base of automata: a state that decides, and separate evidence that explains.

The world and the monitors are automata: each folds the records of a trace into a small state. The state holds no record
and no record number; so a verdict depends on the state alone. ``Evidence`` holds the numbers of the records that
explain a verdict. It decides nothing: an exploration runs without it, and replays a witness with it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, ClassVar

import msgspec

Handler = Callable[[Any, Any], None]


class Violation(msgspec.Struct):
    """``seq`` is the record that breaks the invariant, ``because`` earlier records that make it so."""

    seq: int
    text: str
    because: list[int] = []


class Evidence:
    __slots__ = ("notes", "violations")

    notes: dict[tuple[Hashable, ...], int]
    """A fact that may be a cause, such as ``("opened", 3)``, to the number of the record that shows it."""
    violations: list[Violation]

    def __init__(self) -> None:
        self.notes = {}
        self.violations = []

    def clone(self) -> Evidence:
        twin = Evidence()
        twin.notes, twin.violations = self.notes.copy(), self.violations.copy()
        return twin


class Automaton:
    """``HANDLERS``: the types of records that change its state. A subclass extends ``clone`` and ``key`` by its own
    slots. ``CONFIGURATION``: slots that are not state, each with the reason: they are constant throughout a trace, or
    are used only while one record is handled."""

    __slots__ = ("evidence",)

    HANDLERS: ClassVar[Mapping[type, Handler]]
    CONFIGURATION: ClassVar[dict[str, str]] = {"evidence": "explains, and does not decide"}

    evidence: Evidence | None
    """The evidence of this trace; None: it is not kept."""

    def note(self, seq: int, *fact: Hashable) -> None:
        """Note that record ``seq`` shows this fact."""
        if self.evidence is not None:
            self.evidence.notes[fact] = seq

    def noted(self, *fact: Hashable) -> int | None:
        """The last record that showed this fact; None if there is no evidence, or if no record showed it."""
        return None if self.evidence is None else self.evidence.notes.get(fact)
