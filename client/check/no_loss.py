from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar, Self

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.world import World, lbr_on
from contract.lbr_ring import LbrRing
from contract.provenance import branch_base, sign_extended
from contract.trace import Access, GuestMsr, GuestPmi, LbrReset, Retired, UserMsr, VcpuReset
from contract.x86 import DEBUGCTL_LBR, IA32_DEBUGCTL, MSR_LBR_SELECT, MSR_LBR_TOS


@dataclass(slots=True)
class Reference:
    """The LBR this guest would have on a machine of its own."""

    lbr: LbrRing
    """The reference LBR."""
    debugctl: int = 0
    """The guest's DEBUGCTL."""
    aligned: bool = False
    """Its TOS has been set to the real one."""
    denied: bool = False
    """The guest was told that the LBR is lost, and has not turned it on again."""

    def clone(self) -> Reference:
        return Reference(self.lbr.clone(), self.debugctl, self.aligned, self.denied)

    def key(self) -> tuple[Hashable, ...]:
        return self.lbr.key(), self.debugctl, self.aligned, self.denied


class NoLoss(Monitor):
    __slots__ = ("references",)

    name = "no-loss"
    definition = Definition(
        text=(
            "A guest that is not denied reads its last branches, across switches and exits. Each guest has a "
            "reference LBR beside the real one, which takes in what the guest and its user space do. The "
            "reference begins again when a denied guest is next allowed to turn its LBR on, and when a guest "
            "is reset."
        ),
        broken_by="A read whose value differs from the entry of the reference LBR.",
        evidence="A read of an entry that the reference LBR has.",
        reads={
            LbrReset: "the record to name as the cause",
            Retired: "branches of the guest",
            Access: "writes of DEBUGCTL, denials, emulated accesses to the LBR",
            GuestMsr: "accesses that the hardware served to the guest",
            UserMsr: "writes of user space",
            GuestPmi: "DEBUGCTL.LBR cleared by a freeze",
            VcpuReset: "the reference begins again",
        },
        unseen="Entries that the guest does not read.",
    )

    references: dict[str, Reference]
    """By vCPU."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.references = {vcpu: Reference(LbrRing(world.model)) for vcpu in world.vcpus}

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.references = {vcpu: reference.clone() for vcpu, reference in self.references.items()}
        return twin

    def key(self) -> tuple[Hashable, ...]:
        return *super().key(), frozenset([(vcpu, reference.key()) for vcpu, reference in self.references.items()])

    def _reset(self, r: LbrReset) -> None:
        self.note(r.seq, "reset", r.cpu)

    def _retired(self, r: Retired) -> None:
        if not r.guest:
            return
        reference = self.references[self.world.actors[r.actor]]
        if not lbr_on(reference.debugctl):
            return
        if not reference.aligned:
            reference.lbr.tos = self.world.tos_before
            reference.aligned = True
        address = branch_base(r.actor, True, r.branch, r.privilege) + 2 * r.first
        reference.lbr.retire(address, r.count, r.branch, r.privilege)

    def _access(self, r: Access) -> None:
        reference = self.references[r.vcpu]
        if r.denied:
            self.references[r.vcpu] = Reference(LbrRing(self.world.model), denied=True)
        elif r.msr == IA32_DEBUGCTL:
            if r.write and r.result == "done":
                reference.debugctl = r.value
                reference.denied = reference.denied and not lbr_on(r.value)
        elif r.result == "done" and r.msr in self.world.lbr_msrs:
            self._reached(r, reference)

    def _guest_msr(self, r: GuestMsr) -> None:
        if not r.fault:
            self._reached(r, self.references[r.vcpu])

    def _reached(self, r: Access | GuestMsr, reference: Reference) -> None:
        if r.write:
            self._put(r.msr, r.value, reference)
            return
        if reference.denied or (r.msr == MSR_LBR_TOS and not reference.aligned):
            return
        expected = reference.lbr.get(r.msr)
        if not expected and r.msr != MSR_LBR_TOS:
            return
        self.exercised = True
        if not self._same(r.msr, r.value, expected or 0):
            found, meant = self._say(r.msr, r.value), self._say(r.msr, expected or 0)
            self.violated(r.seq, f"{r.vcpu} reads {found} where it left {meant}", self.noted("reset", r.cpu))

    def _same(self, msr: int, value: int, expected: int) -> bool:
        """Whether two values are equal. The flag bits above a FROM address may come back as its sign extension
        (``lbr_from_signext_quirk_wr``)."""
        model = self.world.model
        if model.lbr_fmt == 4 and model.from_base <= msr < model.from_base + model.depth:
            return sign_extended(value) == sign_extended(expected)
        return value == expected

    def _user_msr(self, r: UserMsr) -> None:
        if r.taken and not r.read and r.msr == IA32_DEBUGCTL:
            self.references[r.vcpu].debugctl = r.value
        elif r.reached and not r.read and (not r.task or self.world.own_lbr):
            self._put(r.msr, r.value, self.references[r.vcpu])

    def _put(self, msr: int, value: int, reference: Reference) -> None:
        reference.lbr.put(msr, value)
        reference.aligned = reference.aligned or msr == MSR_LBR_TOS

    def _vcpu_reset(self, r: VcpuReset) -> None:
        self.references[r.vcpu] = Reference(LbrRing(self.world.model))

    def _pmi(self, r: GuestPmi) -> None:
        if r.frozen:
            self.references[r.vcpu].debugctl &= ~DEBUGCTL_LBR

    def _say(self, msr: int, value: int) -> str:
        if msr == MSR_LBR_TOS:
            return f"TOS {value}"
        if msr == MSR_LBR_SELECT:
            return f"LBR_SELECT {value:#x}"
        return self.world.who(value) if value else "0"

    HANDLERS: ClassVar = {
        LbrReset: _reset,
        Retired: _retired,
        Access: _access,
        GuestMsr: _guest_msr,
        UserMsr: _user_msr,
        GuestPmi: _pmi,
        VcpuReset: _vcpu_reset,
    }
