from __future__ import annotations

from typing import ClassVar

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.world import World, lbr_on
from contract.trace import Access, GuestEvent, GuestMsr
from contract.x86 import IA32_DEBUGCTL, is_lbr_msr


class NoSilentDenial(Monitor):
    name = "no-silent-denial"
    definition = Definition(
        text=(
            "A guest that may not use the LBR is not served as if it might. It may not while perf has the LBR on for "
            "host events on that CPU, while the event that stands for the guest is not ACTIVE, or after no event could"
            " be made for it. Where each VMX transition switches the whole LBR, it always may. If a guest that may not"
            " use the LBR touches it, or turns it on in DEBUGCTL, it is answered as denied (a #GP, or the zero that "
            "the design promises)."
        ),
        broken_by="Such a touch that the hardware serves, or that KVM answers as done.",
        evidence="Such a touch, or an access that KVM denied.",
        reads={
            GuestEvent: "whether an event could be made for the guest",
            GuestMsr: "accesses that the hardware served to the guest",
            Access: "accesses that KVM answered",
        },
        unseen="Whether a denial was needed: precedence and recovers judge that.",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.without: dict[str, GuestEvent] = {}

    def _guest_event(self, r: GuestEvent) -> None:
        if r.what == "failed":
            self.without[r.vcpu] = r
        elif r.what == "created":
            self.without.pop(r.vcpu, None)

    def _guest_msr(self, r: GuestMsr) -> None:
        if why := self._no_right(r.vcpu, r.cpu):
            self.violated(r.seq, f"{r.vcpu} reaches the LBR itself although {why}", self._because(r.vcpu))

    def _access(self, r: Access) -> None:
        if r.denied:
            self.exercised = True
        elif r.result == "done" and self._is_use(r) and (why := self._no_right(r.vcpu, r.cpu)):
            self.violated(r.seq, f"{r.vcpu} is told that its access succeeded although {why}", self._because(r.vcpu))

    def _because(self, vcpu: str) -> int | None:
        return self.without[vcpu].seq if vcpu in self.without else None

    def _is_use(self, r: Access) -> bool:
        return is_lbr_msr(self.world.model, r.msr) or (r.msr == IA32_DEBUGCTL and r.write and lbr_on(r.value))

    def _no_right(self, vcpu: str, cpu: int) -> str:
        if self.world.own_lbr:
            return ""
        if self.world.cpus[cpu].host_on:
            return f"the host has the LBR of cpu{cpu} on"
        if failed := self.without.get(vcpu):
            return f"no event could be made for it ({failed.why})"
        event = self.world.guest_event(vcpu, cpu)
        return f"its event is {event.state}" if event is not None and event.state != "ACTIVE" else ""

    HANDLERS: ClassVar = {GuestEvent: _guest_event, GuestMsr: _guest_msr, Access: _access}
