from __future__ import annotations

from typing import ClassVar

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.world import World
from contract.messages import Revoke
from contract.trace import HostWait, HostWake, Rest, Send


class RevokeCompletes(Monitor):
    name = "revoke-completes"
    about = "in the end a grant that was revoked is given up"
    liveness = True
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
            HostWait: "who on the host begins to wait",
            HostWake: "who waits no more",
            Rest: "the grants that KVM holds",
        },
        unseen="How long it takes. Designs that tell KVM of no grant have no Revoke.",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.revoked: dict[tuple[str, int], int] = {}
        self.waits: dict[str, int] = {}

    def _send(self, r: Send) -> None:
        if isinstance(r.body, Revoke):
            self.exercised = True
            self.revoked[r.session, r.body.grant] = r.seq

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

    HANDLERS: ClassVar = {Send: _send, HostWait: _wait, HostWake: _wake, Rest: _rest}
