"""The guest's claim to the LBR as KVM sees it: a small machine that news, looks and user space move.

KVM cannot see whether the guest's event is on except by looking on the vCPU's CPU; between two looks it goes by this.
Designs that tell KVM nothing stay in HELD while they have an event, and find out anew at each look.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum

from contract.automaton import Automaton


class Phase(StrEnum):
    NONE = "none"
    """No event."""
    ASKED = "asked"
    """CreateEvent is out; the thread sleeps."""
    HELD = "held"
    """An event, and for all KVM knows it is on."""
    OFF = "off"
    """An event that is not on, without anybody having taken the LBR."""
    LOST = "lost"
    """Somebody took the LBR; the guest has not met that yet."""
    DENIED = "denied"
    """The guest has been told."""
    STOPPED = "stopped"
    """User space had the vCPU stop, for good."""


class Input(StrEnum):
    ASK = "asks for an event"
    FAILED = "no event could be made"
    CREATED = "the event is there"
    GRANT = "the host grants the LBR"
    OFF = "the event is off"
    LOSS = "the host took the LBR, or the lease is over"
    TOLD = "the guest is denied"
    RELEASED = "the event is given back"
    RESET = "the vCPU is reset"
    STOP = "user space stops it"


P, IN = Phase, Input

TRANSITIONS: dict[tuple[Phase, Input], Phase] = {
    (P.NONE, IN.ASK): P.ASKED,
    # Its LBR is on, and it is entered without one.
    (P.NONE, IN.LOSS): P.LOST,
    (P.ASKED, IN.CREATED): P.HELD,
    (P.ASKED, IN.FAILED): P.NONE,
    (P.HELD, IN.OFF): P.OFF,
    (P.HELD, IN.LOSS): P.LOST,
    (P.HELD, IN.RELEASED): P.NONE,
    (P.OFF, IN.GRANT): P.HELD,
    (P.OFF, IN.LOSS): P.LOST,
    (P.OFF, IN.RELEASED): P.NONE,
    (P.LOST, IN.TOLD): P.DENIED,
    (P.LOST, IN.GRANT): P.HELD,
    (P.DENIED, IN.GRANT): P.HELD,
    (P.DENIED, IN.RELEASED): P.NONE,
    (P.LOST, IN.RESET): P.NONE,
    **{(phase, IN.STOP): P.STOPPED for phase in (P.NONE, P.ASKED, P.HELD, P.OFF, P.LOST, P.DENIED)},
}
"""What moves a claim where."""

UNMOVED: frozenset[tuple[Phase, Input]] = frozenset(
    {
        # A second word of the same, or one that does not matter there.
        (P.NONE, IN.RELEASED),
        (P.NONE, IN.RESET),
        (P.NONE, IN.TOLD),
        (P.ASKED, IN.TOLD),
        (P.HELD, IN.GRANT),
        (P.HELD, IN.TOLD),
        (P.OFF, IN.OFF),
        (P.OFF, IN.TOLD),
        (P.LOST, IN.LOSS),
        (P.LOST, IN.OFF),
        (P.DENIED, IN.LOSS),
        (P.DENIED, IN.OFF),
        (P.DENIED, IN.TOLD),
        # The guest has yet to meet its loss, event or not.
        (P.LOST, IN.RELEASED),
        *((P.STOPPED, given) for given in Input),
    }
)
"""What leaves it as it is."""

CLAIM = Automaton("a claim", TRANSITIONS, UNMOVED)


@dataclass(slots=True)
class Claim:
    """The state of one vCPU's claim."""

    phase: Phase = Phase.NONE
    """Where the claim stands."""
    state: str = ""
    """The state of the event that the host last reported; "": none."""

    def clone(self) -> Claim:
        return Claim(self.phase, self.state)

    def key(self) -> tuple[Hashable, ...]:
        return self.phase, self.state

    @property
    def shut_off(self) -> bool:
        """Whether KVM knows that this guest may not use the LBR."""
        return self.phase in (Phase.LOST, Phase.DENIED, Phase.STOPPED)

    def move(self, given: Input) -> bool:
        """Whether it moved."""
        old, self.phase = self.phase, CLAIM.after(self.phase, given)
        return self.phase is not old
