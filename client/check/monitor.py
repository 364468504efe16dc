"""What every invariant's monitor is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec

from client.check.definition import Definition
from client.check.world import World
from contract.invariants import ABOUT, HELD, LIVENESS, NOT_EXERCISED, OPEN, VIOLATED

Handler = Callable[[Any, Any], None]


class Violation(msgspec.Struct):
    """``seq`` is the record that breaks the invariant, ``because`` earlier records that make it so."""

    seq: int
    text: str
    because: list[int] = []


class Obligation(msgspec.Struct):
    """A thing that a liveness invariant still waits for at the end. ``seq``: the record from which it was due."""

    seq: int
    text: str


class Monitor:
    """One invariant over one trace. ``name``: that of the invariant in ``contract.invariants``. ``HANDLERS``: which
    records it looks at. ``exercised`` stays False while the trace has nothing that could have broken it."""

    name: ClassVar[str]
    about: ClassVar[str]
    liveness: ClassVar[bool]
    definition: ClassVar[Definition]
    HANDLERS: ClassVar[dict[type, Handler]]

    def __init_subclass__(cls) -> None:
        """``about`` and ``liveness`` are those of the contract."""
        if (name := cls.__dict__.get("name")) is not None:
            cls.about, cls.liveness = ABOUT[name], name in LIVENESS

    def __init__(self, world: World) -> None:
        self.world = world
        self.exercised = False
        self.violations: list[Violation] = []

    def violated(self, seq: int, text: str, *because: int | None) -> None:
        self.exercised = True
        self.violations.append(Violation(seq, text, sorted({b for b in because if b is not None and b != seq})))

    def pending(self) -> list[Obligation]:
        """The things that are due and have not happened; none for a safety invariant."""
        return []

    @property
    def verdict(self) -> str:
        if self.violations:
            return VIOLATED
        return HELD if self.exercised else NOT_EXERCISED


class Liveness(Monitor):
    """An invariant of the form: what is due happens in the end. A trace shows that only at rest, where nothing more can
    happen by itself; before, and while something is still due, the result is open."""

    @property
    def verdict(self) -> str:
        if not self.violations and (self.pending() or (self.exercised and not self.world.at_rest)):
            return OPEN
        return super().verdict
