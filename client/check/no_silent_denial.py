from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Self

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.world import World, lbr_on
from contract.trace import Access, Crash, GuestEvent, GuestMsr
from contract.x86 import IA32_DEBUGCTL


class NoSilentDenial(Monitor):
    __slots__ = ("without",)

    name = "no-silent-denial"
    definition = Definition(
        rules=("R12", "R15"),
        text=(
            "A guest that may not use the LBR is not served. It may not use the LBR while perf has the LBR on "
            "for host events on that CPU, while the event that stands for the guest is not ACTIVE, or after "
            "no event could be made for it. If each VMX transition switches the whole LBR, it always may use "
            "it. If a guest that may not use the LBR accesses it, or turns it on in DEBUGCTL, it is denied (a "
            "#GP, or the zero that the design promises)."
        ),
        broken_by="Such an access that the hardware serves, or that KVM reports as done.",
        evidence="Such an access, or an access that KVM denied.",
        reads={
            GuestEvent: "whether an event could be made for the guest",
            GuestMsr: "accesses that the hardware served to the guest",
            Access: "accesses that KVM answered",
            Crash: "guests of a KVM that is gone: a new life asks for its events itself",
        },
        unseen="Whether a denial was needed; this is the subject of precedence and recovers.",
    )

    without: dict[str, str]
    """Vcpu for which no event could be made, to the reason."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.without = {}

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.without = self.without.copy()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        return *super().key(), frozenset(self.without.items())

    def _guest_event(self, r: GuestEvent) -> None:
        if r.change == "failed":
            self.without[r.vcpu] = r.reason
            self.note(r.seq, "without", r.vcpu)
        elif r.change == "created":
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
        return self.noted("without", vcpu) if vcpu in self.without else None

    def _is_use(self, r: Access) -> bool:
        return r.msr in self.world.lbr_msrs or (r.msr == IA32_DEBUGCTL and r.write and lbr_on(r.value))

    def _no_right(self, vcpu: str, cpu: int) -> str:
        if self.world.own_lbr:
            return ""
        if self.world.cpus[cpu].host_on:
            return f"the host has the LBR of cpu{cpu} on"
        if vcpu in self.without:
            return f"no event could be made for it ({self.without[vcpu]})"
        event = self.world.guest_event(vcpu, cpu)
        return f"its event is {event.state}" if event is not None and event.state != "ACTIVE" else ""

    def _crash(self, r: Crash) -> None:
        if r.host < 0:
            for vcpu in r.vcpus:
                self.without.pop(vcpu, None)

    HANDLERS: ClassVar = {GuestEvent: _guest_event, GuestMsr: _guest_msr, Access: _access, Crash: _crash}
