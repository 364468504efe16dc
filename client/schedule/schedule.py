"""The schedule of a run as a value: it names who decides, before anything is decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from client.litmus.fault import FaultRule
from client.schedule.decisions import Decision
from client.schedule.incidents import Crash, Shutdown
from client.schedule.lenient import LenientStrategy
from client.schedule.strategies import DefaultStrategy, ReplayStrategy, Strategy

ENDS_A_SERVICE = (Crash, Shutdown)
KINDS_THAT_END = tuple(kind.WORD for kind in ENDS_A_SERVICE)
"""The kinds of faults that end the process of a service."""


@dataclass(frozen=True, slots=True)
class Tape:
    """Decisions to replay."""

    decisions: list[Decision]
    path: str = "<tape>"
    """The name of the file in error messages."""
    lines: tuple[int, ...] = ()
    """The line of each decision in that file, from 1. Empty for a run file: there, errors count decisions."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A ``tape`` decides if there is one; else a strategy that ``other`` makes; else the default strategy."""

    faults: tuple[FaultRule, ...] = ()
    """Faults of the default strategy. In a replay: the faults that the recorded run asked for; its tape contains
    them."""
    tape: Tape | None = None
    then_default: bool = False
    """The default strategy decides after the end of the tape. Otherwise the run ends with its tape."""
    lenient: bool = False
    """The tape is replayed as ``LenientStrategy`` does, so that a tape for another scenario can be played."""
    other: Callable[[], Strategy] | None = None
    """Makes the strategy of one run. A strategy keeps state, so each run has its own."""

    def behind(self, faults: Sequence[FaultRule]) -> Schedule:
        """This schedule, with the faults of a scenario before its own. A tape contains them already, and another
        strategy decides itself what breaks."""
        if not faults or self.tape is not None or self.other is not None:
            return self
        return replace(self, faults=(*faults, *self.faults))

    def end_of_a_service(self) -> str:
        """The first rule or decision that ends the process of a service; "" if there is none."""
        if self.tape is not None:
            return next((f"'{d}'" for d in self.tape.decisions if isinstance(d, ENDS_A_SERVICE)), "")
        return next((f"fault '{rule}'" for rule in self.faults if rule.kind in KINDS_THAT_END), "")

    def strategy(self) -> Strategy:
        if self.tape is not None and self.lenient:
            return LenientStrategy(self.tape.decisions)
        if self.tape is not None:
            then = DefaultStrategy() if self.then_default else None
            return ReplayStrategy(self.tape.decisions, self.tape.path, lines=self.tape.lines, then=then)
        return DefaultStrategy(self.faults) if self.other is None else self.other()


def replay(decisions: list[Decision], faults: tuple[FaultRule, ...] = ()) -> Schedule:
    """The schedule that takes these decisions strictly."""
    return Schedule(faults, Tape(decisions))
