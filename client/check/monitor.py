"""The base of every invariant's monitor."""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Self

import msgspec

from client.check.automaton import Automaton, Evidence, Violation
from client.check.definition import Definition
from client.check.world import World
from contract.invariants import ABOUT, HELD, LIVENESS, NOT_EXERCISED, OPEN, VIOLATED


class Obligation(msgspec.Struct):
    """Something that a liveness invariant still waits for at the end. ``seq``: the record from which it is due, 0
    without evidence."""

    seq: int
    text: str


class Monitor(Automaton):
    """One invariant over one trace. ``name`` is its name in ``contract.invariants``."""

    __slots__ = ("broken", "exercised", "world")

    name: ClassVar[str]
    about: ClassVar[str]
    liveness: ClassVar[bool]
    definition: ClassVar[Definition]
    CONFIGURATION: ClassVar = Automaton.CONFIGURATION | {"world": "shared by all monitors, with a key of its own"}

    world: World
    """The world of this trace."""
    exercised: bool
    """The trace contains something that could have violated the invariant."""
    broken: bool
    """The invariant is violated. It stays so."""

    def __init_subclass__(cls) -> None:
        """Take ``about`` and ``liveness`` from the contract."""
        if (name := cls.__dict__.get("name")) is not None:
            cls.about, cls.liveness = ABOUT[name], name in LIVENESS

    def __init__(self, world: World) -> None:
        self.world = world
        self.exercised = self.broken = False
        self.evidence = None if world.evidence is None else Evidence()

    def clone(self, world: World) -> Self:
        """A copy that follows ``world``."""
        twin = object.__new__(type(self))
        twin.world = world
        twin.exercised, twin.broken = self.exercised, self.broken
        twin.evidence = None if self.evidence is None else self.evidence.clone()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        """See ``contract.canonical``."""
        return self.exercised, self.broken

    def violated(self, seq: int, text: str, *because: int | None) -> None:
        self.exercised = self.broken = True
        if self.evidence is not None:
            causes = sorted({b for b in because if b is not None and b != seq})
            self.evidence.violations.append(Violation(seq, text, causes))

    def pending(self) -> list[Obligation]:
        """Everything that is due and has not happened; none for a safety invariant."""
        return []

    @property
    def violations(self) -> list[Violation]:
        """The violations in the evidence; none without evidence."""
        return [] if self.evidence is None else self.evidence.violations

    @property
    def verdict(self) -> str:
        if self.broken:
            return VIOLATED
        return HELD if self.exercised else NOT_EXERCISED


class Liveness(Monitor):
    """An invariant of the form: a due event happens in the end. A trace decides this only at rest, when nothing more
    can happen by itself. Before that, and while something is still due, the result is open."""

    __slots__ = ()

    @property
    def verdict(self) -> str:
        if not self.broken and (self.pending() or (self.exercised and not self.world.at_rest)):
            return OPEN
        return super().verdict
