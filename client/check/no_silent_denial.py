from __future__ import annotations

from typing import ClassVar

from client.check.monitor import Monitor
from client.check.world import World, lbr_on
from contract.trace import Access, GuestEvent, GuestMsr
from contract.x86 import IA32_DEBUGCTL, is_lbr_msr


class NoSilentDenial(Monitor):
    """A guest may not use the LBR while perf has it on for host events on that CPU, while the event that stands for the
    guest is not ACTIVE, or after no event could be made for it; where each VMX transition switches the whole LBR it
    always may. If it then touches the LBR, or turns it on in DEBUGCTL, it must be answered as denied (a #GP, or the
    zero that the design promises), not as if it were the owner. Exercised by such a touch."""

    name = "no-silent-denial"
    about = "a guest that may not use the LBR is not served as if it might"

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
