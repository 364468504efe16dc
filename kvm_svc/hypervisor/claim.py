"""The guest's claim to the LBR in KVM's view: a state machine that messages, checks and user space move.

KVM can see whether the guest's event is on only by a check on the vCPU's CPU. Between two checks it uses this state. In
designs that tell KVM nothing, the claim stays in HELD while there is an event, and each check finds the real state
again.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum

from contract.transitions import TransitionTable


class ClaimPhase(StrEnum):
    NONE = "none"
    """No event."""
    ASKED = "asked"
    """CreateEvent is out; the thread sleeps."""
    HELD = "held"
    """There is an event, and as far as KVM knows it is on."""
    OFF = "off"
    """There is an event that is not on, but no other user took the LBR."""
    LOST = "lost"
    """Another user took the LBR; the guest does not know this yet."""
    DENIED = "denied"
    """The guest has been told."""
    STOPPED = "stopped"
    """User space stopped the vCPU's use for the rest of the run."""


class ClaimInput(StrEnum):
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


P, IN = ClaimPhase, ClaimInput

TRANSITIONS: dict[tuple[ClaimPhase, ClaimInput], ClaimPhase] = {
    (P.NONE, IN.ASK): P.ASKED,
    # The guest's LBR is on, and the guest is entered without it.
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
"""The inputs that move a claim, and the new phase."""

UNMOVED: frozenset[tuple[ClaimPhase, ClaimInput]] = frozenset(
    {
        # A repeated input, or one without meaning in that phase.
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
        # The guest does not know its loss yet, with or without an event.
        (P.LOST, IN.RELEASED),
        *((P.STOPPED, given) for given in ClaimInput),
    }
)
"""The inputs that leave a claim as it is. No other pair can occur."""

_SHUT_OFF = (P.LOST, P.DENIED, P.STOPPED)
CLAIM = TransitionTable("a claim", TRANSITIONS, UNMOVED)


@dataclass(slots=True)
class GuestClaim:
    """The state of one vCPU's claim."""

    phase: ClaimPhase = ClaimPhase.NONE
    """Where the claim stands."""
    state: str = ""
    """The state of the event that the host last reported; "": none."""

    def clone(self) -> GuestClaim:
        return GuestClaim(self.phase, self.state)

    def key(self) -> tuple[Hashable, ...]:
        return self.phase, self.state

    @property
    def shut_off(self) -> bool:
        """Whether KVM knows that this guest may not use the LBR."""
        return self.phase in _SHUT_OFF

    def move(self, given: ClaimInput) -> bool:
        """True if it moved."""
        old, self.phase = self.phase, CLAIM.after(self.phase, given)
        return self.phase is not old
