from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Self

from client.check.definition import Definition
from client.check.legality import faults, is_register
from client.check.promises import PromiseKeeper
from client.check.world import World, lbr_on
from contract.trace import Access, Crash, EventFailed, GuestEvent, GuestMsr, UserMsr
from contract.x86 import DEBUGCTL_FREEZE_LBRS_ON_PMI, DEBUGCTL_LBR, IA32_DEBUGCTL

_LBR_BITS = DEBUGCTL_LBR | DEBUGCTL_FREEZE_LBRS_ON_PMI


class CapabilityKept(PromiseKeeper):
    __slots__ = ("impossible",)

    name = "capability-kept"
    definition = Definition(
        text=(
            "If PERF_CAPABILITIES has an LBR_FMT other than 0, the guest has the LBR registers of that "
            "format, and DEBUGCTL takes LBR and FREEZE_LBRS_ON_PMI. The promise is made when the guest reads "
            "the register, or when KVM takes the value from user space. A guest may be denied in favour of "
            "another user of the LBR, also of a mediated VM. It may not be denied because no event can be "
            "made for it on this machine."
        ),
        broken_by=(
            "A legal access to such a register that gives #GP and is no denial; a write of DEBUGCTL.LBR that "
            "succeeds and leaves the bit clear; a denial after perf has refused the guest's event with "
            "EOPNOTSUPP and not in favour of another user."
        ),
        evidence="An access to the LBR, or a write of DEBUGCTL.LBR, by a guest to which an LBR was promised.",
        reads={
            Access: "PERF_CAPABILITIES that the guest read, and accesses that KVM answered",
            UserMsr: "PERF_CAPABILITIES that KVM took from user space",
            GuestMsr: "accesses that the hardware served to the guest",
            EventFailed: "that perf cannot make an event for the guest",
            GuestEvent: "that perf can make one",
            Crash: "guests of a KVM that is gone: their promises are gone, too",
        },
        unseen=(
            "Promises that were neither read nor set in the trace; full-width counters. Whether the registers "
            "hold branches is the subject of no-loss."
        ),
        excuses=(
            (
                "crash kvm",
                "A value of PERF_CAPABILITIES that user space set goes with the process. The VMs of the new "
                "life have those of their configuration.",
            ),
        ),
    )

    impossible: set[str]
    """Vcpus for which perf could make no event on this machine."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.impossible = set()

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.impossible = self.impossible.copy()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        return *super().key(), frozenset(self.impossible)

    def _failed(self, r: EventFailed) -> None:
        if r.guest and r.errno == "EOPNOTSUPP" and not r.holder:
            self.impossible.add(r.guest)
            self.note(r.seq, "impossible", r.guest)

    def _guest_event(self, r: GuestEvent) -> None:
        if r.change == "created":
            self.impossible.discard(r.vcpu)

    def _guest_msr(self, r: GuestMsr) -> None:
        promised = self.lbr_format(r.vcpu)
        if promised:
            self.exercised = True
            if r.fault and not (r.write and faults(self.world.model, r.msr, r.value)):
                self._broken(r, promised, f"MSR {r.msr:#x} gives #GP")

    def judge_access(self, r: Access) -> None:
        promised = self.lbr_format(r.vcpu)
        model = self.world.model
        turns_on = r.msr == IA32_DEBUGCTL and r.write and lbr_on(r.written)
        if not promised or not (turns_on or is_register(model, r.msr)):
            return
        self.exercised = True
        if r.denied:
            if r.vcpu in self.impossible:
                failed = self.noted("impossible", r.vcpu)
                self._broken(r, promised, "it is denied because no event can be made", failed)
        elif r.result == "gp":
            legal = not r.written & ~_LBR_BITS if turns_on else not (r.write and faults(model, r.msr, r.written))
            if legal:
                self._broken(r, promised, f"MSR {r.msr:#x} gives #GP")
        elif turns_on and not lbr_on(r.value):
            self._broken(r, promised, "DEBUGCTL.LBR stays clear")

    def _broken(self, r: Access | GuestMsr, promised: int, what: str, *because: int | None) -> None:
        text = f"PERF_CAPABILITIES promises {r.vcpu} an LBR of format {promised}: {what}"
        self.violated(r.seq, text, self.promised_by(r.vcpu), *because)

    def _crash(self, r: Crash) -> None:
        self.impossible.difference_update(r.vcpus)
        self.crashed(r)

    HANDLERS: ClassVar = PromiseKeeper.HANDLERS | {
        Crash: _crash,
        GuestMsr: _guest_msr,
        EventFailed: _failed,
        GuestEvent: _guest_event,
    }
