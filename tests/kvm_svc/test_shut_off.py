"""A guest that may not use the LBR: StopLbr, a failed creation, a release, an early Revoke, and being told once."""

from __future__ import annotations

from msgspec.structs import replace

from contract.control import MachineSpec, SetMsr, StopLbr, VmSpec
from contract.design import DebugctlWrite, Denial, Design, Release
from contract.machine import Branch, Continue, Controls, Enter, Exit, GuestValue, Nop, Ran, Rdmsr
from contract.messages import Available, CreateEvent, EventCreated, EventState, ReleaseEvent, Revoke, SchedIn
from contract.trace import Access, VmEntry, Warn
from contract.x86 import IA32_DEBUGCTL, MSR_LBR_TOS
from kvm_svc.hypervisor.claim import ClaimPhase
from tests.cases import cases
from tests.designs import DESIGNS, KVM_SWITCH, MERGED, REVOKE_GP, V7, V8
from tests.kvm_svc.rig import FROM0, VCPU, Rig, Script
from tests.kvm_svc.test_notifications import EVENT, granted, waiting

NEHALEM = MachineSpec(lbr="nehalem", depth=8)
by_mask = cases("design", [d for d in DESIGNS.values() if d.debugctl_write is DebugctlWrite.MASK], ids=lambda d: d.name)


def accesses(rig: Rig | Script) -> list[tuple[str, bool]]:
    return [(r.result, r.denied) for r in rig.records(Access)]


# Stopped by user space -------------------------------------------------------------------------------------


def test_a_guest_in_guest_mode_is_kicked_though_nothing_was_passed_through() -> None:
    """User space turned DEBUGCTL.LBR on and the event could not be created: no passthrough, and yet the register must
    go out."""
    script = Script(MERGED)
    script.tell(SchedIn(VCPU, 0, 0))
    script.command(SetMsr(VCPU, IA32_DEBUGCTL, 1))
    script.tell(EventCreated(VCPU, 1, 0, "ENOMEM"))
    script.step([Nop()], Ran([GuestValue()]))
    script.command(StopLbr(VCPU))
    script.step([Nop()], Exit("external-interrupt", [], 1), Ran([GuestValue()]))
    assert script.asked == [
        Continue(VCPU, 0, [Nop()], kick=True),
        Enter(VCPU, 0, Controls(0, False, 0), [Nop()]),
    ]


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_stopped_is_for_good(design: Design) -> None:
    rig = Rig(design)
    rig.rdmsr(MSR_LBR_TOS)
    rig.kvm(StopLbr(VCPU))
    rig.settle()
    asked = rig.sent(CreateEvent)
    before = len(accesses(rig))
    for _ in range(3):
        assert rig.rdmsr(MSR_LBR_TOS).value == 0
        rig.slice()
    assert [denied for _, denied in accesses(rig)[before:]] == [design.denial is not Denial.SILENT] * 3
    assert rig.vcpu().claim.phase is ClaimPhase.STOPPED
    assert (rig.sent(CreateEvent), rig.vcpu().lbr_desc.event, rig.vcpu().lbr_desc.passthrough) == (asked, 0, False)


def test_an_event_that_is_made_after_the_stop_is_given_back_at_once() -> None:
    script = waiting()
    script.command(StopLbr(VCPU))
    assert script.tell(EventCreated(VCPU, 1, EVENT, state="ACTIVE", grant=3)) == [ReleaseEvent(EVENT)]
    vcpu = script.vcpu()
    assert (vcpu.claim.phase, vcpu.grant.number, vcpu.lbr_desc.event) == (ClaimPhase.STOPPED, 0, 0)
    assert script.step([]).values == [GuestValue(fault=True)]


@by_mask
def test_a_masked_debugctl_access_opens_nothing_while_shut_off(design: Design) -> None:
    rig = Rig(design)
    rig.kvm(StopLbr(VCPU))
    assert rig.rdmsr(IA32_DEBUGCTL) == GuestValue(0)
    assert rig.debugctl(0)
    rig.guest(Nop())
    assert (rig.vcpu().lbr_desc.passthrough, rig.sent(CreateEvent)) == (False, 0)


# Creation fails --------------------------------------------------------------------------------------------


def test_a_masked_debugctl_access_opens_nothing_when_creation_failed() -> None:
    rig = Rig(V8, machine=NEHALEM)
    assert not rig.debugctl(1)
    rig.guest(Nop())
    assert not rig.vcpu().lbr_desc.passthrough
    assert not any(r.passthrough for r in rig.records(VmEntry))


def test_without_an_event_debugctl_lbr_is_denied_with_gp() -> None:
    rig = Rig(REVOKE_GP, machine=NEHALEM)
    assert not rig.debugctl(1)
    assert accesses(rig) == [("gp", True)]
    assert rig.rdmsr(IA32_DEBUGCTL).value == 0


def test_v7_drops_a_write_that_the_hardware_refuses() -> None:
    rig = Rig(V7)
    assert rig.wrmsr(FROM0, 1 << 47)
    assert accesses(rig) == [("dropped", False)]
    assert rig.rdmsr(FROM0).value == 0


# Released --------------------------------------------------------------------------------------------------


def test_a_released_event_takes_its_grant_along() -> None:
    rig = Rig(replace(REVOKE_GP, release=Release.SCHED_IN_LBR_OFF))
    rig.debugctl(1)
    rig.debugctl(0)
    assert rig.vcpu().grant.number
    rig.slice()
    rig.guest(Nop())
    assert (rig.vcpu().lbr_desc.event, rig.vcpu().grant.number) == (0, 0)
    assert not rig.records(VmEntry)[-1].passthrough


def test_a_slice_without_lbr_use_is_forgotten_with_its_event() -> None:
    """No warning that passthrough failed where nobody wants it."""
    rig = Rig(MERGED)
    rig.rdmsr(FROM0)
    rig.slice()
    rig.guest(Nop())
    assert rig.sent(ReleaseEvent) == 1
    assert not rig.vcpu().lbr_desc.in_use
    assert not rig.records(Warn)


# News out of order -----------------------------------------------------------------------------------------


def test_an_early_revoke_outlives_older_news() -> None:
    script = waiting()
    script.tell(Revoke(EVENT, 3, ""))
    script.tell(EventCreated(VCPU, 1, EVENT, state="ACTIVE", grant=3))
    claim, grant = script.vcpu().claim, script.vcpu().grant
    assert (grant.number, grant.newest, claim.phase) == (0, 3, ClaimPhase.LOST)
    script.tell(EventState(EVENT, "ACTIVE", 0, 3))
    assert (grant.number, claim.phase) == (0, ClaimPhase.LOST)
    script.tell(EventState(EVENT, "ACTIVE", 0, 4))
    assert (grant.number, claim.phase) == (4, ClaimPhase.HELD)


def read_from(script: Script) -> bool | None:
    """Whether the guest's read faults; None: KVM asks for an event."""
    script.step([Rdmsr(FROM0)], Exit("msr-read", [], 0, FROM0))
    done = script.step([])
    return done.values[0].fault if done.finished else None


def test_a_guest_that_was_not_told_is_denied_exactly_once_after_available() -> None:
    script = granted()
    script.tell(Revoke(EVENT, 3, ""))
    assert script.tell(Available(EVENT, 0)) == [ReleaseEvent(EVENT)]
    assert read_from(script) is True
    assert script.heard() == []
    assert read_from(script) is None
    assert script.heard() == [CreateEvent(VCPU, 2)]


def test_a_guest_that_was_told_is_not_denied_again_after_available() -> None:
    script = granted()
    script.tell(Revoke(EVENT, 3, ""))
    assert [read_from(script), read_from(script)] == [True, True]
    script.tell(Available(EVENT, 0))
    assert read_from(script) is None


# KVM saves -------------------------------------------------------------------------------------------------


def test_a_slice_without_a_guest_step_keeps_the_snapshot() -> None:
    """The ring's entries at the end of such a slice belong to the other VM."""
    rig = Rig(KVM_SWITCH, vms=[VmSpec("vm0"), VmSpec("vm1")])
    for vcpu, count in ((VCPU, 3), ("vm1/0", 5)):
        rig.place(vcpu)
        rig.debugctl(1, vcpu)
        rig.guest(Branch(count), vcpu=vcpu)
    rig.place(VCPU)
    snapshot = rig.vcpu().saved.snapshot
    rig.place("vm1/0")
    assert rig.vcpu().saved.snapshot == snapshot
    rig.place(VCPU)
    values = [rig.rdmsr(FROM0 + i).value for i in range(8)]
    assert snapshot is not None
    assert values == snapshot.from_ip
    assert values.count(0) == 5
