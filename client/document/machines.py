"""The state machines, from the tables that the code goes by."""

from __future__ import annotations

import msgspec

from contract.session import phases
from kvm_svc.hypervisor import claim
from perfcore_svc.perf import event


class Arrow(msgspec.Struct, frozen=True):
    old: str
    new: str
    by: str


class StateMachine(msgspec.Struct, frozen=True):
    """``start``: the state that it begins in."""

    name: str
    about: str
    start: str
    arrows: list[Arrow]

    def mermaid(self) -> str:
        """As a Mermaid state diagram; arrows between the same two states are one."""
        lines = ["stateDiagram-v2", f"    [*] --> {_id(self.start)}"]
        merged: dict[tuple[str, str], list[str]] = {}
        for arrow in self.arrows:
            merged.setdefault((arrow.old, arrow.new), []).append(arrow.by)
        lines += [f"    {_id(old)} --> {_id(new)}: {' / '.join(by)}" for (old, new), by in merged.items()]
        return "\n".join(lines)

    def text(self) -> str:
        """An arrow a line, in columns."""
        wide = max(len(arrow.old) for arrow in self.arrows)
        to = max(len(arrow.new) for arrow in self.arrows)
        return "\n".join(f"{a.old:<{wide}} --> {a.new:<{to}}  {a.by}" for a in self.arrows)


def _id(state: str) -> str:
    return state.replace("-", "_")


def machines() -> list[StateMachine]:
    events = [Arrow(old.name, new.name, by) for (old, new), by in event.TRANSITIONS.items()]
    sessions = [Arrow(str(old), str(new), str(given)) for (old, given), new in phases.TRANSITIONS.items()]
    claims = [Arrow(str(old), str(new), str(given)) for (old, given), new in claim.TRANSITIONS.items()]
    return [
        StateMachine(
            "event",
            "An event in host perf, the guest's among them. Only ACTIVE has the LBR; ERROR is left by an enable alone. "
            "The log has what an operation comes to: ACTIVE -> ERROR is off first, and then it does not fit.",
            event.State.INACTIVE.name,
            events,
        ),
        StateMachine(
            "claim",
            "A guest's claim to the LBR as KVM sees it. Not every design uses every state.",
            str(claim.Phase.NONE),
            claims,
        ),
        StateMachine(
            "session",
            "A contract session, at either of its ends. A lost link ends nothing: KVM resumes the epoch.",
            str(phases.Phase.CLOSED),
            sessions,
        ),
    ]
