from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Self

from client.check.definition import Definition
from client.check.legality import DEBUGCTL_ALWAYS, DEBUGCTL_RESERVED, faults, in_lbr_space, is_register
from client.check.promises import PromiseKeeper
from client.check.world import World
from contract.trace import Access, ClaimChange, Crash, EventChange, EventClose, Granted, GuestMsr, UserMsr, VcpuMoved
from contract.x86 import IA32_DEBUGCTL, IA32_PERF_CAPABILITIES

_FAULTING = ("gp", "fail-entry")
"""Values of the axis ``denial`` under which a denial is a #GP."""


class MsrLegality(PromiseKeeper):
    __slots__ = ("whole",)

    name = "msr-legality"
    definition = Definition(
        text=(
            "An access of a guest to DEBUGCTL, PERF_CAPABILITIES or the LBR gives #GP if, and only if, the "
            "SDM says so, whether it is passed through or intercepted. A #GP that denies is not a fault of "
            "the access. It is legal if the design denies with #GP and the guest has lost something since it "
            "was last served: its event was not ACTIVE or is gone, its grant is over, or user space has "
            "stopped it."
        ),
        broken_by=(
            "A legal access that gives #GP; a write of reserved bits or of an address that is not canonical, a write "
            "of PERF_CAPABILITIES, or an access to a register that the LBR does not have, or that was promised not to "
            "be there (LBR_FMT 0), that does not; a denial by #GP in a design that denies otherwise; a denial without "
            "a loss."
        ),
        evidence="An access to DEBUGCTL or the LBR, or a write of PERF_CAPABILITIES.",
        reads={
            Access: "accesses that KVM answered, their operation and their result",
            GuestMsr: "accesses that the hardware served to the guest",
            UserMsr: "PERF_CAPABILITIES that KVM took from user space",
            EventChange: "that a guest's event went off",
            EventClose: "that the event is gone",
            Granted: "that a grant is over",
            ClaimChange: "that user space stopped the guest's use",
            VcpuMoved: "that KVM has forgotten the vCPU",
            Crash: "guests that have lost the LBR with their KVM or host",
        },
        unseen=(
            "Counters and other PMU registers; user space's own accesses. DEBUGCTL bits that the SDM defines and KVM "
            "does not support may fault or not. Whether an LBR that was promised answers is the subject of "
            "capability-kept."
        ),
        excuses=(
            ("crash kvm", "A guest of that KVM may be denied once, because its event ended with the old process."),
            (
                "crash perfcore",
                "A guest on that host may be denied once: its event and the contents of the LBR are gone, and "
                "the denial tells it so.",
            ),
        ),
    )

    whole: set[str]
    """Vcpus that were served and have lost nothing since."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.whole = set()

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.whole = self.whole.copy()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        return *super().key(), frozenset(self.whole)

    def _guest_msr(self, r: GuestMsr) -> None:
        self.exercised = True
        legal = not (r.write and faults(self.world.model, r.msr, r.value))
        if r.fault == legal:
            self._say(r, "#GP" if r.fault else "no #GP", legal)
        if not r.fault:
            self._served(r.vcpu, r.cpu, r.seq)

    def judge_access(self, r: Access) -> None:
        if r.denied:
            self._denied(r)
            return
        legal = self._legal(r)
        if legal is None:
            return
        self.exercised = True
        if legal == (r.result == "gp"):
            self._say(r, "#GP" if r.result == "gp" else f"no #GP (it is {r.result})", legal)
        if r.result == "done" and in_lbr_space(r.msr):
            self._served(r.vcpu, r.cpu, r.seq)

    def _legal(self, r: Access) -> bool | None:
        """Whether the access is legal; None if it may fault or not."""
        if r.msr == IA32_PERF_CAPABILITIES:
            return False if r.write else None
        if r.msr == IA32_DEBUGCTL:
            if r.write and r.written & DEBUGCTL_RESERVED:
                return False
            return None if r.write and r.written & ~DEBUGCTL_ALWAYS else True
        if not in_lbr_space(r.msr):
            return None
        if self.lbr_format(r.vcpu) == 0 or not is_register(self.world.model, r.msr):
            return False
        if r.write and faults(self.world.model, r.msr, r.written):
            return False
        # Whether the guest has an LBR is either unknown here, or the subject of capability-kept.
        return True if r.result != "gp" else None

    def _denied(self, r: Access) -> None:
        self.exercised = True
        if r.result == "gp" and self.world.axes["denial"] not in _FAULTING:
            how = self.world.axes["denial"]
            self.violated(r.seq, f"{r.vcpu} is denied the LBR by #GP, the design denies by {how}")
        if r.vcpu in self.whole:
            text = f"{r.vcpu} is denied the LBR, and has lost nothing since it was served"
            self.violated(r.seq, text, self.noted("served", r.vcpu))

    def _served(self, vcpu: str, cpu: int, seq: int) -> None:
        event = self.world.guest_event(vcpu, cpu)
        if event is None or event.state == "ACTIVE":
            self.whole.add(vcpu)
            self.note(seq, "served", vcpu)

    def _say(self, r: GuestMsr | Access, got: str, legal: bool) -> None:
        asked = r.written if isinstance(r, Access) else r.value
        what = f"write of {asked:#x} to" if r.write else "read of"
        is_ = "is" if legal else "is not"
        self.violated(r.seq, f"{r.vcpu}: the {what} MSR {r.msr:#x} {is_} legal, and gives {got}")

    # Losses of a guest

    def _event(self, r: EventChange) -> None:
        if r.new != "ACTIVE":
            self.whole.discard(self.world.events[r.event].opened.guest)

    def _close(self, r: EventClose) -> None:
        self.whole.discard(r.name.removeprefix("vlbr:"))

    def _grant(self, r: Granted) -> None:
        if not r.grant:
            self.whole.discard(r.vcpu)

    def _stopped(self, r: ClaimChange) -> None:
        if r.new == "stopped":
            self.whole.discard(r.vcpu)

    def _moved(self, r: VcpuMoved) -> None:
        self.whole.discard(r.vcpu)

    def _crash(self, r: Crash) -> None:
        self.whole.difference_update(r.vcpus)
        self.crashed(r)

    HANDLERS: ClassVar = PromiseKeeper.HANDLERS | {
        Crash: _crash,
        GuestMsr: _guest_msr,
        EventChange: _event,
        EventClose: _close,
        Granted: _grant,
        ClaimChange: _stopped,
        VcpuMoved: _moved,
    }
