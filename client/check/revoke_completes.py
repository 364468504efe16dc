from __future__ import annotations

from typing import ClassVar

from client.check.definition import Definition
from client.check.monitor import Liveness, Obligation
from client.check.world import World
from contract.messages import Revoke
from contract.trace import Granted, HostWait, HostWake, Rest, Send


class RevokeCompletes(Liveness):
    name = "revoke-completes"
    definition = Definition(
        text=(
            "In the end a grant that was revoked is given up. Judged at rest, which comes after the last fault: KVM "
            "holds no grant that the host has revoked, and nobody on the host waits for the end of one."
        ),
        broken_by="A grant that was revoked and that KVM holds at rest, or a host task that still waits at rest.",
        evidence="A Revoke that was sent, in a trace that comes to rest.",
        open_while="A Revoke was sent, or somebody on the host waits, and the trace ends before it comes to rest.",
        reads={
            Send: "Revokes",
            Granted: "the grant that KVM holds now, while the run goes on",
            HostWait: "who on the host begins to wait",
            HostWake: "who waits no more",
            Rest: "the grants that KVM holds",
        },
        unseen="How long it takes. Designs that tell KVM of no grant have no Revoke.",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.revoked: dict[tuple[str, int], int] = {}
        # Vcpu of a revoked grant to the grant and its Revoke, until KVM holds another one or none.
        self.due: dict[str, tuple[int, int]] = {}
        self.waits: dict[str, int] = {}

    def _send(self, r: Send) -> None:
        if isinstance(r.body, Revoke):
            self.exercised = True
            self.revoked[r.session, r.body.grant] = r.seq
            if event := self.world.events.get(r.body.event):
                self.due[event.opened.guest] = r.body.grant, r.seq

    def _granted(self, r: Granted) -> None:
        if r.vcpu in self.due and self.due[r.vcpu][0] != r.grant:
            del self.due[r.vcpu]

    def _wait(self, r: HostWait) -> None:
        self.waits[r.name] = r.seq

    def _wake(self, r: HostWake) -> None:
        self.waits.pop(r.name, None)

    def _rest(self, r: Rest) -> None:
        for session, kvm in zip(self.world.kvms, r.kvm, strict=False):
            for view in kvm.vcpus:
                sent = self.revoked.get((session, view.grant))
                if sent is not None:
                    self.violated(r.seq, f"{view.vcpu} has grant {view.grant} still, which was revoked", sent)
        for name, since in self.waits.items():
            self.violated(r.seq, f"{name} waits still for the LBR", since)

    def pending(self) -> list[Obligation]:
        if self.world.at_rest:
            return []
        held = [Obligation(seq, f"{vcpu} has yet to give up grant {grant}") for vcpu, (grant, seq) in self.due.items()]
        return held + [Obligation(seq, f"{name} waits for the LBR") for name, seq in self.waits.items()]

    HANDLERS: ClassVar = {Send: _send, Granted: _granted, HostWait: _wait, HostWake: _wake, Rest: _rest}
