"""A KVM under any design, whose host says what a test says, and guests in the positions that tests begin from."""

from __future__ import annotations

from contract.design import Denial, Design, EntryCheck
from contract.machine import AnyReply, Enter, Exit, GuestValue, MsrDone, Nop, Ran, Rdmsr, Wrmsr
from contract.messages import CreateEvent, EventCreated, SchedIn
from contract.trace import Access
from contract.x86 import IA32_DEBUGCTL
from kvm_svc.hypervisor.claim import GuestClaim
from kvm_svc.hypervisor.grant import KnownGrant
from tests.kvm_svc.rig import FROM0, VCPU, Rig, Script

EVENT = 7
READ = Rdmsr(FROM0)
WRITE = Wrmsr(FROM0, 5)
TURN_ON = Wrmsr(IA32_DEBUGCTL, 1)
HELD = MsrDone(met=True)
GONE = MsrDone(met=False)


class Told(Script):
    """A Script that speaks of what a guest does."""

    @property
    def claim(self) -> GuestClaim:
        return self.vcpu().claim

    @property
    def grant(self) -> KnownGrant:
        return self.vcpu().grant

    def access(self, op: Rdmsr | Wrmsr, *replies: AnyReply) -> list[GuestValue] | None:
        """The guest's access exits and is handled, the silicon giving these replies; None while the thread sleeps."""
        self.step([op], exit_of(op))
        return self.go_on(*replies)

    def go_on(self, *replies: AnyReply) -> list[GuestValue] | None:
        done = self.step([], *replies)
        return done.values if done.finished else None

    def enter(self, *, active: bool | None = None) -> Enter:
        """The guest is entered and stays there; ``active``: what the entry check found."""
        self.step([Nop()], Ran([GuestValue()], active))
        (request,) = self.asked
        assert isinstance(request, Enter)
        return request


def exit_of(op: Rdmsr | Wrmsr) -> Exit:
    if isinstance(op, Wrmsr):
        return Exit("msr-write", [], 0, op.msr, True, op.value)
    return Exit("msr-read", [], 0, op.msr)


def loaded(design: Design) -> Told:
    """The vCPU's thread is on cpu0."""
    told = Told(design)
    told.tell(SchedIn(VCPU, 0, 0))
    return told


def asked(design: Design) -> Told:
    """The guest turns its LBR on, KVM has asked for an event."""
    told = loaded(design)
    assert told.access(TURN_ON) is None
    assert told.heard() == [CreateEvent(VCPU, 1)]
    return told


def held(design: Design, grant: int = 3, until: int = 0) -> Told:
    """The guest has its LBR, under ``grant``, and has turned it on."""
    told = asked(design)
    told.tell(EventCreated(VCPU, 1, EVENT, state="ACTIVE", grant=grant, expires=until))
    looks = design.entry_check is EntryCheck.FENCE or design.denial is Denial.FAIL_ENTRY
    assert told.go_on(*[HELD] * looks) == [GuestValue()]
    return told


def results(of: Rig | Script) -> list[tuple[str, bool]]:
    """The guest's result of each intercepted access, and whether that was a denial."""
    return [(r.result, r.denied) for r in of.records(Access)]
