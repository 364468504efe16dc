from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Self

from client.check.definition import Definition
from client.check.monitor import Liveness, Obligation
from client.check.world import World
from contract.canonical import EventName
from contract.messages import Revoke
from contract.trace import Crash, Granted, HostWait, HostWake, Rest, Send


class RevokeCompletes(Liveness):
    __slots__ = ("due", "revoked", "waits")

    name = "revoke-completes"
    definition = Definition(
        rules=("R14", "R18"),
        text=(
            "In the end KVM gives up a grant that was revoked. This is judged at rest, after the last fault: "
            "KVM holds no grant that the host has revoked, and no host task waits for the end of a grant."
        ),
        broken_by=(
            "A grant that was revoked, or an older one of the same vCPU, that KVM holds at rest; or a host task that "
            "still waits at rest."
        ),
        evidence="A Revoke that was sent, in a trace that comes to rest.",
        open_while="A Revoke was sent, or a host task waits, and the trace ends before it comes to rest.",
        reads={
            Send: "Revokes",
            Granted: "the grant that KVM holds now, during the run",
            HostWait: "who on the host begins to wait",
            HostWake: "who no longer waits",
            Rest: "the grants that KVM holds",
            Crash: "grants that ended with their KVM or host; waits that ended with their host",
        },
        unseen="How long it takes. Designs that tell KVM of no grant have no Revoke.",
        excuses=(
            (
                "crash kvm",
                "The new process need not give up a grant of the old one: the host has ended it with the "
                "session (R22).",
            ),
            (
                "crash perfcore",
                "A host task that waited for the end of a grant ended with its host, and so did the grant.",
            ),
        ),
    )

    revoked: dict[tuple[str, str], int]
    """Session and vCPU to the highest grant that was revoked. The host gives an event one grant at a time, in ascending
    order, so all lower grants have ended, too."""
    due: dict[str, tuple[str, int]]
    """Vcpu to the session and the grant that was revoked last, until KVM holds another grant or none."""
    waits: dict[str, None]
    """Names of events whose openers wait for the end of a grant."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.revoked = {}
        self.due = {}
        self.waits = {}

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.revoked, twin.due, twin.waits = self.revoked.copy(), self.due.copy(), self.waits.copy()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        revoked = [(at, self.world.grant_key(at[0], grant)) for at, grant in self.revoked.items()]
        due = [(vcpu, session, self.world.grant_key(session, grant)) for vcpu, (session, grant) in self.due.items()]
        return *super().key(), frozenset(revoked), frozenset(due), frozenset(map(EventName, self.waits))

    def _send(self, r: Send) -> None:
        if not isinstance(r.body, Revoke):
            return
        self.exercised = True
        grant = r.body.grant
        self.note(r.seq, "revoked", r.session, grant)
        if event := self.world.events.get(r.body.event):
            vcpu = event.opened.guest
            self.revoked[r.session, vcpu] = max(grant, self.revoked.get((r.session, vcpu), 0))
            self.due[vcpu] = r.session, grant
            self.note(r.seq, "due", vcpu)

    def _granted(self, r: Granted) -> None:
        if r.vcpu in self.due and self.due[r.vcpu][1] != r.grant:
            del self.due[r.vcpu]

    def _wait(self, r: HostWait) -> None:
        self.waits[r.name] = None
        self.note(r.seq, "waits", r.name)

    def _wake(self, r: HostWake) -> None:
        self.waits.pop(r.name, None)

    def _rest(self, r: Rest) -> None:
        for session, kvm in zip(self.world.kvms, r.kvm, strict=False):
            for view in kvm.vcpus:
                if 0 < view.grant <= self.revoked.get((session, view.vcpu), 0):
                    text = f"{view.vcpu} has grant {view.grant} still, which was revoked"
                    self.violated(r.seq, text, self.noted("revoked", session, view.grant))
        for name in self.waits:
            self.violated(r.seq, f"{name} waits still for the LBR", self.noted("waits", name))

    def pending(self) -> list[Obligation]:
        if self.world.at_rest:
            return []
        held = [
            Obligation(self.noted("due", vcpu) or 0, f"{vcpu} has yet to give up grant {grant}")
            for vcpu, (_, grant) in self.due.items()
        ]
        return held + [Obligation(self.noted("waits", name) or 0, f"{name} waits for the LBR") for name in self.waits]

    def _crash(self, r: Crash) -> None:
        """A KVM that is gone holds no grant. A restarted host numbers its grants from 1 again."""
        self.due = {vcpu: due for vcpu, due in self.due.items() if vcpu not in r.vcpus}
        if r.host >= 0:
            self.revoked = {at: grant for at, grant in self.revoked.items() if at[0] not in r.sessions}
            there = {event.opened.name for event in self.world.events.values()}
            self.waits = {name: None for name in self.waits if name in there}

    HANDLERS: ClassVar = {Send: _send, Granted: _granted, HostWait: _wait, HostWake: _wake, Rest: _rest, Crash: _crash}
