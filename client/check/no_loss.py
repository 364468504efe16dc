from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import ClassVar, Self

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.world import World, lbr_on
from contract.canonical import addresses
from contract.lbr_ring import LbrRing
from contract.provenance import branch_base, sign_extended
from contract.trace import Access, Crash, GuestMsr, GuestPmi, LbrReset, Retired, UserMsr, VcpuReset
from contract.x86 import DEBUGCTL_LBR, IA32_DEBUGCTL, MSR_LBR_SELECT, MSR_LBR_TOS, LbrModel


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
    stale: bool = False
    """The guest has reached no LBR since it was denied."""
    gone: frozenset[int] = frozenset()
    """Values of FROM and TO that the guest must not find any more, because a crash has taken all of them."""

    def begin_again(self, model: LbrModel) -> None:
        """The guest reaches an LBR. If it was denied before, this is a fresh one: what user space did since, such as to
        turn the LBR on, is not in it."""
        if self.stale:
            self.lbr, self.aligned, self.stale = LbrRing(model), False, False

    def clone(self) -> Reference:
        return Reference(self.lbr.clone(), self.debugctl, self.aligned, self.denied, self.stale, self.gone)

    def key(self) -> tuple[Hashable, ...]:
        return self.lbr.key(), self.debugctl, self.aligned, self.denied, self.stale, frozenset(addresses(self.gone))


class NoLoss(Monitor):
    __slots__ = ("references", "resets")

    name = "no-loss"
    definition = Definition(
        rules=("R13", "R15"),
        text=(
            "A guest that is not denied reads its last branches, across switches and exits. Each guest has a "
            "reference LBR beside the real one, which takes in what the guest and its user space do. The "
            "reference begins again when a denied guest is next allowed to turn its LBR on, and when a guest "
            "is reset. After its host was without power, a guest that is not denied finds its LBR either as it was, or "
            "reset as a whole."
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
            Crash: "guests that are at RESET with their KVM, or whose host was without power",
        },
        unseen="Entries that the guest does not read.",
        excuses=(
            ("crash kvm", "The VMs of the new life begin at RESET, with an empty LBR."),
            (
                "crash perfcore",
                "The LBR is at reset with its host, and KVM can give back only what it had saved. A guest that is not "
                "denied may find it empty, with DEBUGCTL.LBR on or off, but no part of what it held before: so it can "
                "tell.",
            ),
        ),
    )

    references: dict[str, Reference]
    """By vCPU."""
    resets: dict[str, tuple[Reference, ...]]
    """Vcpu whose host was without power to the references that it may have instead, until its reads decide."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.references = {vcpu: Reference(LbrRing(world.model)) for vcpu in world.vcpus}
        self.resets = {}

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.references = {vcpu: reference.clone() for vcpu, reference in self.references.items()}
        twin.resets = {vcpu: tuple([each.clone() for each in resets]) for vcpu, resets in self.resets.items()}
        return twin

    def key(self) -> tuple[Hashable, ...]:
        references = frozenset([(vcpu, reference.key()) for vcpu, reference in self.references.items()])
        resets = [(vcpu, tuple([each.key() for each in resets])) for vcpu, resets in self.resets.items()]
        return *super().key(), references, frozenset(resets)

    def _all(self, vcpu: str) -> tuple[Reference, ...]:
        """Every reference that the guest may have."""
        return self.references[vcpu], *self.resets.get(vcpu, ())

    def _crash(self, r: Crash) -> None:
        for vcpu in r.vcpus:
            before = self.references[vcpu]
            self.note(r.seq, "crash", vcpu)
            if r.host < 0:
                self.references[vcpu] = Reference(LbrRing(self.world.model))
                self.resets.pop(vcpu, None)
                continue
            held = {*before.lbr.from_ip, *before.lbr.to_ip} - {0}
            gone = before.gone.union(held, *[each.gone for each in self._all(vcpu)])
            self.resets[vcpu] = tuple(
                [
                    Reference(LbrRing(self.world.model), debugctl, denied=before.denied, stale=before.stale, gone=gone)
                    for debugctl in sorted({before.debugctl, before.debugctl & ~DEBUGCTL_LBR})
                ]
            )

    def _reset(self, r: LbrReset) -> None:
        self.note(r.seq, "reset", r.cpu)

    def _retired(self, r: Retired) -> None:
        if not r.guest:
            return
        vcpu = self.world.actors[r.actor]
        for reference in self._all(vcpu):
            if not lbr_on(reference.debugctl):
                continue
            if not reference.aligned:
                reference.lbr.tos = self.world.tos_before
                reference.aligned = True
            address = branch_base(r.actor, True, r.branch, r.privilege) + 2 * r.first
            reference.lbr.retire(address, r.count, r.branch, r.privilege)

    def _access(self, r: Access) -> None:
        if r.denied:
            self.references[r.vcpu] = Reference(LbrRing(self.world.model), denied=True, stale=True)
            self.resets.pop(r.vcpu, None)
        elif r.msr == IA32_DEBUGCTL:
            if r.write and r.result == "done":
                for reference in self._all(r.vcpu):
                    reference.debugctl = r.value
                    if lbr_on(r.value):
                        reference.begin_again(self.world.model)
                        reference.denied = False
        elif r.result == "done" and r.msr in self.world.lbr_msrs:
            self._reached(r)

    def _guest_msr(self, r: GuestMsr) -> None:
        if not r.fault:
            self._reached(r)

    def _reached(self, r: Access | GuestMsr) -> None:
        for reference in self._all(r.vcpu):
            reference.begin_again(self.world.model)
        if r.write:
            for reference in self._all(r.vcpu):
                self._put(r.msr, r.value, reference)
        elif r.vcpu not in self.resets:
            self._compare(r, self.references[r.vcpu])
        else:
            self._decide(r)

    def _decide(self, r: Access | GuestMsr) -> None:
        """The references that the value does not contradict are left; if none is, the first is violated."""
        left = [reference for reference in self._all(r.vcpu) if self._fits(r, reference)]
        if not left:
            self._compare(r, self.references[r.vcpu], self.noted("crash", r.vcpu))
            left = [self.references[r.vcpu]]
        elif any(map(self._tells(r), left)):
            self.exercised = True
        self.references[r.vcpu] = left[0]
        self.resets[r.vcpu] = tuple(left[1:])
        if not self.resets[r.vcpu]:
            del self.resets[r.vcpu]

    def _tells(self, r: Access | GuestMsr) -> Callable[[Reference], bool]:
        return lambda reference: bool(self._expected(r, reference))

    def _fits(self, r: Access | GuestMsr, reference: Reference) -> bool:
        expected = self._expected(r, reference)
        return r.value not in reference.gone and (expected is None or self._same(r.msr, r.value, expected))

    def _expected(self, r: Access | GuestMsr, reference: Reference) -> int | None:
        """The value that the guest has to read; None for any."""
        if reference.denied or (r.msr == MSR_LBR_TOS and not reference.aligned):
            return None
        expected = reference.lbr.get(r.msr)
        return None if not expected and r.msr != MSR_LBR_TOS else expected or 0

    def _compare(self, r: Access | GuestMsr, reference: Reference, *because: int | None) -> None:
        expected = self._expected(r, reference)
        if r.value in reference.gone:
            text = f"{r.vcpu} reads {self._say(r.msr, r.value)} of before the crash, though others are lost"
            self.violated(r.seq, text, self.noted("crash", r.vcpu))
        if expected is None:
            return
        self.exercised = True
        if not self._same(r.msr, r.value, expected):
            found, meant = self._say(r.msr, r.value), self._say(r.msr, expected)
            because = *because, self.noted("reset", r.cpu)
            self.violated(r.seq, f"{r.vcpu} reads {found} where it left {meant}", *because)

    def _same(self, msr: int, value: int, expected: int) -> bool:
        """Whether two values are equal. The flag bits above a FROM address may come back as its sign extension
        (``lbr_from_signext_quirk_wr``)."""
        model = self.world.model
        if model.lbr_fmt == 4 and model.from_base <= msr < model.from_base + model.depth:
            return sign_extended(value) == sign_extended(expected)
        return value == expected

    def _user_msr(self, r: UserMsr) -> None:
        for reference in self._all(r.vcpu):
            if r.processed and not r.read and r.msr == IA32_DEBUGCTL:
                reference.debugctl = r.value
            elif r.touches_lbr and not r.read and (not r.task or self.world.own_lbr):
                self._put(r.msr, r.value, reference)

    def _put(self, msr: int, value: int, reference: Reference) -> None:
        reference.lbr.put(msr, value)
        if value in reference.gone:
            reference.gone -= {value}
        reference.aligned = reference.aligned or msr == MSR_LBR_TOS

    def _vcpu_reset(self, r: VcpuReset) -> None:
        self.references[r.vcpu] = Reference(LbrRing(self.world.model))
        self.resets.pop(r.vcpu, None)

    def _pmi(self, r: GuestPmi) -> None:
        if r.frozen:
            for reference in self._all(r.vcpu):
                reference.debugctl &= ~DEBUGCTL_LBR

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
        Crash: _crash,
    }
