"""The state machines, from the tables that the code uses."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from contract.session import phases
from kvm_svc.hypervisor import claim
from perfcore_svc.perf import event


class Arrow(msgspec.Struct, frozen=True):
    old: str
    new: str
    trigger: str


class StateMachine(msgspec.Struct, frozen=True):
    """``start``: the initial state."""

    name: str
    about: str
    start: str
    arrows: list[Arrow]

    def mermaid(self) -> str:
        """A Mermaid state diagram."""
        lines = ["stateDiagram-v2", f"    [*] --> {_id(self.start)}"]
        lines += [f"    {_id(old)} --> {_id(new)}: {by}" for (old, new), by in self._by_states().items()]
        return "\n".join(lines)

    def lines(self) -> Iterator[tuple[str, int]]:
        """A line for each two states, in columns; and the column where the reason begins."""
        wide = max(len(arrow.old) for arrow in self.arrows)
        to = max(len(arrow.new) for arrow in self.arrows)
        for (old, new), by in self._by_states().items():
            yield f"{old:<{wide}} --> {new:<{to}}  {by}", wide + to + 7

    def _by_states(self) -> dict[tuple[str, str], str]:
        """Two states to the reasons of the arrows between them."""
        merged: dict[tuple[str, str], list[str]] = {}
        for arrow in self.arrows:
            merged.setdefault((arrow.old, arrow.new), []).append(arrow.trigger)
        return {states: " / ".join(by) for states, by in merged.items()}


def _id(state: str) -> str:
    return state.replace("-", "_")


def machines() -> list[StateMachine]:
    events = [Arrow(old.name, new.name, by) for (old, new), by in event.TRANSITIONS.items()]
    sessions = [Arrow(str(old), str(new), str(given)) for (old, given), new in phases.TRANSITIONS.items()]
    claims = [Arrow(str(old), str(new), str(given)) for (old, given), new in claim.TRANSITIONS.items()]
    return [
        StateMachine(
            "event",
            "An event in host perf, also a guest's event. Only an ACTIVE event has the LBR; only an enable "
            "ends ERROR. The log shows the net effect of an operation: ACTIVE -> ERROR is a step to INACTIVE, "
            "and then the event does not fit.",
            event.State.INACTIVE.name,
            events,
        ),
        StateMachine(
            "claim",
            "A guest's claim to the LBR as KVM sees it. Not every design uses every state.",
            str(claim.ClaimPhase.NONE),
            claims,
        ),
        StateMachine(
            "session",
            "A contract session, at either of its ends. A lost link does not end it: KVM resumes the epoch.",
            str(phases.SessionPhase.CLOSED),
            sessions,
        ),
    ]
