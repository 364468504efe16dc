"""KVM_GET_MSRS and KVM_SET_MSRS of LBR MSRs: the guest's path, in the context of the thread that makes the ioctl."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contract.control import GetMsr, MachineSpec, PerfSnapshot, Retire, SetMsr, StopLbr, VmSpec
from contract.design import DebugctlWrite, Denial, Design, Event, FirstAccess, OtherThreads
from contract.errors import RefusedError
from contract.machine import Branch, Cpuid, Nop
from contract.messages import CreateEvent
from contract.results import IN_PROGRESS, AnyResult, Done, PerfView
from contract.trace import Access, EventOpen, HostMsr, UserMsr, VcpuWait, VcpuWake, VmEntry, VmExit
from contract.x86 import IA32_DEBUGCTL, MSR_LBR_INFO, MSR_LBR_SELECT, MSR_LBR_TOS
from kvm_svc.hypervisor.claim import ClaimPhase
from tests.cases import cases
from tests.designs import DESIGNS, KVM_SWITCH, MERGED, REVOKE_GP
from tests.kvm_svc.rig import FROM0, VCPU, Rig

TWO = MachineSpec(cpus=2, depth=8)
every_design = cases("design", DESIGNS.values(), ids=DESIGNS)
WITH_EVENT = [design for design in DESIGNS.values() if design.event is not Event.NONE]
with_event = cases("design", WITH_EVENT, ids=lambda d: d.name)


def ioctl(rig: Rig, command: GetMsr | SetMsr) -> AnyResult:
    """The ioctl to its end."""
    while (result := rig.kvm(command)) == IN_PROGRESS:
        rig.settle()
    rig.settle()
    return result


def refusal(rig: Rig, command: GetMsr | SetMsr) -> str:
    with pytest.raises(RefusedError) as refused:
        rig.kvm(command)
    return refused.value.errno


def opened_for(rig: Rig) -> list[str]:
    return [r.task for r in rig.records(EventOpen) if r.guest]


@every_design
def test_from_the_thread_of_the_vcpu(design: Design) -> None:
    rig = Rig(design)

    assert ioctl(rig, SetMsr(VCPU, MSR_LBR_TOS, 5)) == Done(1)
    assert ioctl(rig, GetMsr(VCPU, MSR_LBR_TOS)) == Done(5)
    assert rig.rdmsr(MSR_LBR_TOS).value == 5
    assert opened_for(rig) == ([] if design.event is Event.NONE else [VCPU])
    reads = [(r.read, r.value, r.processed, r.task, r.touches_lbr) for r in rig.records(UserMsr)]
    assert reads == [(False, 5, True, "", True), (True, 5, True, "", True)]
    assert not [r for r in rig.records(Access) if r.write]


@with_event
def test_it_waits_for_the_host_and_goes_on(design: Design) -> None:
    rig = Rig(design)
    command = GetMsr(VCPU, MSR_LBR_TOS)

    assert rig.kvm(command) == IN_PROGRESS
    assert refusal(rig, command) == "EAGAIN"
    rig.settle()
    assert [r.message for r in rig.records(VcpuWait)] == ["EventCreated", "the end of an ioctl"]
    with pytest.raises(RefusedError, match="end of an ioctl"):
        rig.step(Nop())
    assert refusal(rig, GetMsr(VCPU, MSR_LBR_SELECT)) == "EAGAIN"
    assert rig.kvm(command) == Done(0)

    assert len(rig.records(VcpuWake)) == 2
    assert rig.sent(CreateEvent) == 1
    assert rig.guest(Nop())


SERVES_OTHERS = [
    design
    for design in WITH_EVENT
    if design.other_threads is OtherThreads.SERVED and design.first_access is FirstAccess.CREATE_THEN_ACCESS
]


@cases("design", SERVES_OTHERS, ids=lambda d: d.name)
def test_from_another_thread_the_event_is_that_thread_s(design: Design) -> None:
    """``current`` is the thread that makes the ioctl, so the guest's event follows the wrong task (facts/kvm 2.5)."""
    rig = Rig(design, machine=TWO)
    rig.place("t0", 1)

    assert ioctl(rig, SetMsr(VCPU, MSR_LBR_TOS, 5, "t0")) == Done(1)

    assert opened_for(rig) == ["t0"]
    touched = [(r.cpu, r.on_behalf) for r in rig.records(HostMsr) if r.msr == MSR_LBR_TOS]
    assert touched == [(1, VCPU)]
    assert [cpu.lbr.tos for cpu in rig.wire.host.machine.cpus] == [0, 5]


@cases("design", [d for d in DESIGNS.values() if d.other_threads is OtherThreads.REJECTED], ids=lambda d: d.name)
def test_another_thread_can_be_rejected(design: Design) -> None:
    rig = Rig(design, machine=TWO)
    rig.place("t0", 1)

    assert ioctl(rig, SetMsr(VCPU, MSR_LBR_TOS, 5, "t0")) == Done(0)
    assert ioctl(rig, GetMsr(VCPU, MSR_LBR_TOS, "t0")) == Done(errno="ENOENT")

    assert opened_for(rig) == []
    assert rig.records(HostMsr) == []


def test_the_wrong_task_s_event_opens_passthrough_for_the_guest() -> None:
    """Under merged KVM looks at the event's state only, not at where it is on."""
    rig = Rig(MERGED, machine=TWO)
    rig.place("t0", 1)
    rig.perf(Retire(0, 1))
    ioctl(rig, GetMsr(VCPU, FROM0, "t0"))

    rig.guest(Nop())

    assert rig.records(VmEntry)[-1].passthrough
    view = rig.perf(PerfSnapshot())
    assert isinstance(view, PerfView)
    assert [(e.state, e.cpu) for e in view.guest_events] == [("ACTIVE", 1)]


def test_naming_the_vcpu_s_own_thread_is_naming_none() -> None:
    rig = Rig(MERGED)
    ioctl(rig, GetMsr(VCPU, FROM0, VCPU))

    assert opened_for(rig) == [VCPU]
    assert [r.task for r in rig.records(UserMsr)] == [""]


def test_where_the_thread_is_not_on_a_cpu() -> None:
    rig = Rig(MERGED, place=False)
    assert refusal(rig, GetMsr(VCPU, FROM0)) == "EAGAIN"

    assert rig.kvm(GetMsr(VCPU, FROM0, "t0")) == IN_PROGRESS
    rig.settle()
    assert refusal(rig, GetMsr(VCPU, FROM0, "t0")) == "EAGAIN"
    assert rig.records(HostMsr) == []
    rig.place("t0")
    assert rig.kvm(GetMsr(VCPU, FROM0, "t0")) == Done(0)
    lone = Rig(KVM_SWITCH, place=False)
    assert refusal(lone, GetMsr(VCPU, FROM0, "t0")) == "EAGAIN"


def test_an_unknown_thread() -> None:
    rig = Rig(MERGED)
    assert ioctl(rig, GetMsr(VCPU, FROM0, "nobody")) == Done(0)
    assert rig.vcpu().lbr_desc.event == 0


def test_the_guest_leaves_guest_mode_first() -> None:
    rig = Rig(MERGED)
    rig.debugctl(1)
    rig.guest(Branch(3))
    exits = len(rig.records(VmExit))

    assert ioctl(rig, GetMsr(VCPU, MSR_LBR_TOS)) == Done(3)

    assert len(rig.records(VmExit)) == exits + 1
    assert not rig.vcpu().guest_mode


def test_not_while_guest_code_is_under_way() -> None:
    rig = Rig(MERGED)
    assert not rig.step(Cpuid(), Nop()).finished
    assert refusal(rig, GetMsr(VCPU, FROM0)) == "EAGAIN"

    assert rig.step().finished or rig.step().finished
    assert ioctl(rig, GetMsr(VCPU, FROM0)) == Done(0)


@every_design
def test_what_is_no_lbr_msr_of_this_guest_is_rejected(design: Design) -> None:
    rig = Rig(design, lbr=False)
    for msr in (MSR_LBR_TOS, MSR_LBR_SELECT, FROM0, MSR_LBR_INFO):
        assert rig.kvm(GetMsr(VCPU, msr)) == Done(errno="ENOENT")
        assert rig.kvm(SetMsr(VCPU, msr, 0)) == Done(0)
    assert rig.sent(CreateEvent) == 0


@cases(
    ("design", "read", "written"),
    [(MERGED, Done(0), Done(1)), (REVOKE_GP, Done(errno="ENOENT"), Done(0)), (KVM_SWITCH, Done(0), Done(1))],
    ids=lambda d: getattr(d, "name", ""),
)
def test_a_guest_that_may_not(design: Design, read: Done, written: Done) -> None:
    """The design's denial."""
    rig = Rig(design)
    rig.rdmsr(MSR_LBR_TOS)
    rig.kvm(StopLbr(VCPU))
    rig.settle()

    assert ioctl(rig, GetMsr(VCPU, MSR_LBR_TOS)) == read
    assert ioctl(rig, SetMsr(VCPU, MSR_LBR_TOS, 1)) == written
    assert rig.vcpu().claim.phase is ClaimPhase.STOPPED
    assert [r.touches_lbr for r in rig.records(UserMsr)] == [False, False]


def test_a_denial_of_user_space_does_not_tell_the_guest() -> None:
    rig = Rig(REVOKE_GP)
    rig.rdmsr(MSR_LBR_TOS)
    rig.host_event()
    assert ioctl(rig, GetMsr(VCPU, MSR_LBR_TOS)) == Done(errno="ENOENT")
    assert rig.vcpu().claim.phase is ClaimPhase.LOST
    assert rig.rdmsr(MSR_LBR_TOS).fault
    assert rig.vcpu().claim.phase is ClaimPhase.DENIED


def test_a_reserved_value_faults_in_the_host_and_is_dropped() -> None:
    rig = Rig(MERGED)

    assert ioctl(rig, SetMsr(VCPU, MSR_LBR_SELECT, 1 << 10)) == Done(1)
    assert ioctl(rig, GetMsr(VCPU, MSR_LBR_SELECT)) == Done(0)


# DEBUGCTL --------------------------------------------------------------------------------------------------


TABLE = [design for design in WITH_EVENT if design.debugctl_write is DebugctlWrite.TABLE]


@cases("design", TABLE, ids=lambda d: d.name)
def test_debugctl_with_lbr_creates_the_event_too(design: Design) -> None:
    rig = Rig(design)

    assert rig.kvm(SetMsr(VCPU, IA32_DEBUGCTL, 1)) == Done(1)
    with pytest.raises(RefusedError, match="EventCreated"):
        rig.step(Nop())
    rig.settle()

    assert opened_for(rig) == [VCPU]
    assert rig.kvm(SetMsr(VCPU, IA32_DEBUGCTL, 1)) == Done(1)
    assert rig.sent(CreateEvent) == 1


def test_debugctl_from_another_thread() -> None:
    rig = Rig(MERGED, machine=TWO)
    rig.place("t0", 1)
    rig.kvm(SetMsr(VCPU, IA32_DEBUGCTL, 1, "t0"))
    rig.settle()

    assert opened_for(rig) == ["t0"]
    assert [r.task for r in rig.records(UserMsr)] == ["t0"]


MASK = [design for design in DESIGNS.values() if design.debugctl_write is DebugctlWrite.MASK]
by_mask = cases("design", MASK, ids=lambda d: d.name)
LOOK_FIRST = [design for design in MASK if design.first_access is FirstAccess.CREATE_THEN_ACCESS]
looking_first = cases("design", LOOK_FIRST, ids=lambda d: d.name)


@by_mask
@cases(
    ("command", "answer", "stored"),
    [
        (GetMsr(VCPU, IA32_DEBUGCTL), Done(0), 0),
        (SetMsr(VCPU, IA32_DEBUGCTL, 0), Done(1), 0),
        (SetMsr(VCPU, IA32_DEBUGCTL, 0xFFFF), Done(1), 0x801),
    ],
    ids=["get", "set-0", "set-all"],
)
def test_debugctl_of_v7_and_v8_is_an_lbr_msr(
    design: Design, command: GetMsr | SetMsr, answer: Done, stored: int
) -> None:
    """Whatever is read or written, the event is made and the LBR MSRs are passed through."""
    rig = Rig(design)

    assert rig.kvm(command) == IN_PROGRESS
    rig.settle()
    assert ioctl(rig, command) == answer

    assert (opened_for(rig), rig.vcpu().debugctl, rig.vcpu().lbr_desc.passthrough) == ([VCPU], stored, True)
    reads = isinstance(command, GetMsr)
    assert [(r.read, r.value, r.processed, r.touches_lbr) for r in rig.records(UserMsr)] == [
        (reads, stored, True, False)
    ]


@looking_first
def test_debugctl_of_v8_while_the_host_has_the_lbr(design: Design) -> None:
    """Nothing is stored, though the guest's LBR is on: user space is told so, or it is not."""
    rig = Rig(design)
    ioctl(rig, SetMsr(VCPU, IA32_DEBUGCTL, 0x801))
    rig.host_event()
    tells = design.denial is Denial.GP

    assert ioctl(rig, SetMsr(VCPU, IA32_DEBUGCTL, 0)) == Done(0 if tells else 1)
    assert ioctl(rig, GetMsr(VCPU, IA32_DEBUGCTL)) == (Done(errno="ENOENT") if tells else Done(0))

    assert rig.vcpu().debugctl == 0x801
    found = [(r.value, r.processed) for r in rig.records(UserMsr)]
    assert found == [(0x801, True), (0x801, not tells), (0, not tells)]


@looking_first
def test_debugctl_of_v8_where_no_event_can_be_made(design: Design) -> None:
    rig = Rig(design, machine=MachineSpec(lbr="nehalem", depth=8))

    assert ioctl(rig, SetMsr(VCPU, IA32_DEBUGCTL, 1)) == Done(0 if design.denial is Denial.GP else 1)
    assert rig.vcpu().debugctl == 0


@by_mask
def test_debugctl_of_v7_and_v8_without_the_capability(design: Design) -> None:
    """Only the guest's own access needs it. The event is still created, and no LBR MSR is passed through."""
    rig = Rig(design, lbr=False)

    assert ioctl(rig, SetMsr(VCPU, IA32_DEBUGCTL, 0x803)) == Done(1)
    assert ioctl(rig, GetMsr(VCPU, IA32_DEBUGCTL)) == Done(0x801)
    rig.guest(Nop())

    assert rig.rdmsr(IA32_DEBUGCTL).fault
    assert opened_for(rig) == [VCPU]
    assert [(r.debugctl, r.passthrough) for r in rig.records(VmEntry)][:1] == [(0x801, False)]


@by_mask
@cases("version", [0, 1])
def test_debugctl_of_v7_and_v8_needs_a_pmu_of_version_2(design: Design, version: int) -> None:
    rig = Rig(design, vms=[VmSpec("vm0", pmu=version)])

    assert ioctl(rig, SetMsr(VCPU, IA32_DEBUGCTL, 0)) == Done(0)
    assert ioctl(rig, GetMsr(VCPU, IA32_DEBUGCTL)) == Done(errno="ENOENT")
    assert opened_for(rig) == []


@by_mask
def test_debugctl_of_v7_and_v8_from_another_thread(design: Design) -> None:
    """Its event is looked for where that thread runs. The vCPU's may be on no CPU."""
    rig = Rig(design, machine=TWO, place=False)
    rig.place("t0", 1)

    assert ioctl(rig, SetMsr(VCPU, IA32_DEBUGCTL, 1, "t0")) == Done(1)

    assert opened_for(rig) == ["t0"]
    assert rig.vcpu().debugctl == 1


@by_mask
def test_debugctl_of_v7_and_v8_can_be_for_the_vcpu_s_thread_only(design: Design) -> None:
    rig = Rig(replace(design, other_threads=OtherThreads.REJECTED), machine=TWO)
    rig.place("t0", 1)

    assert ioctl(rig, SetMsr(VCPU, IA32_DEBUGCTL, 1, "t0")) == Done(0)
    assert (opened_for(rig), rig.vcpu().debugctl) == ([], 0)
