"""Designs in which only the vCPU's thread accesses LBR MSRs: the guest's event follows it for any caller."""

from __future__ import annotations

from msgspec.structs import replace

from contract.control import GetMsr, MachineSpec, SetMsr
from contract.design import OtherThreads
from contract.machine import GuestValue, MsrDone
from contract.messages import CreateEvent, EventCreated
from contract.results import AnyResult, Done
from contract.trace import EventOpen, HostMsr, UserMsr
from contract.x86 import IA32_DEBUGCTL, IA32_PERF_CAPABILITIES, MSR_LBR_INFO, MSR_LBR_SELECT, MSR_LBR_TOS
from tests.cases import cases
from tests.designs import MERGED, VMX_TRANSITION
from tests.kvm_svc.rig import FROM0, VCPU, Rig
from tests.kvm_svc.told import EVENT, READ, loaded

REJECTED = replace(MERGED, other_threads=OtherThreads.REJECTED)
TWO = MachineSpec(cpus=2, depth=8)
LBR_MSRS = (MSR_LBR_SELECT, MSR_LBR_TOS, FROM0, MSR_LBR_INFO)


def beside() -> Rig:
    """Task t0 is on cpu1, the vCPU's thread on cpu0."""
    rig = Rig(REJECTED, machine=TWO)
    rig.place("t0", 1)
    return rig


def ioctl(rig: Rig, command: GetMsr | SetMsr) -> AnyResult:
    while (result := rig.kvm(command)) == Done(errno="EINPROGRESS"):
        rig.settle()
    return result


@cases("msr", LBR_MSRS)
def test_an_access_by_another_thread_is_rejected_and_touches_nothing(msr: int) -> None:
    rig = beside()

    assert rig.kvm(GetMsr(VCPU, msr, "t0")) == Done(errno="ENOENT")
    assert rig.kvm(SetMsr(VCPU, msr, 1, "t0")) == Done(0)
    assert (rig.records(HostMsr), rig.sent(CreateEvent)) == ([], 0)
    told = [(r.task, r.read, r.processed, r.touches_lbr) for r in rig.records(UserMsr)]
    assert told == [("t0", True, False, False), ("t0", False, False, False)]


@cases("thread", ["", VCPU])
def test_an_access_by_the_vcpu_s_own_thread_is_served(thread: str) -> None:
    rig = beside()
    assert ioctl(rig, SetMsr(VCPU, MSR_LBR_TOS, 5, thread)) == Done(1)
    assert ioctl(rig, GetMsr(VCPU, MSR_LBR_TOS, thread)) == Done(5)


def test_it_is_rejected_where_the_guest_has_an_event_too() -> None:
    rig = beside()
    rig.debugctl(1)
    assert rig.kvm(GetMsr(VCPU, FROM0, "t0")) == Done(errno="ENOENT")


def test_it_is_rejected_where_no_event_is_needed() -> None:
    told = loaded(replace(VMX_TRANSITION, other_threads=OtherThreads.REJECTED))
    assert told.command(SetMsr(VCPU, MSR_LBR_TOS, 5, "t0")) == Done(0)
    assert not told.vcpu().saved.active


def test_other_registers_are_for_any_thread() -> None:
    rig = beside()
    assert rig.kvm(GetMsr(VCPU, IA32_PERF_CAPABILITIES, "t0")) == Done(0x2005)
    assert rig.kvm(SetMsr(VCPU, IA32_DEBUGCTL, 0x800, "t0")) == Done(1)


def test_an_event_that_another_thread_asks_for_follows_the_vcpu_s() -> None:
    rig = beside()
    rig.kvm(SetMsr(VCPU, IA32_DEBUGCTL, 1, "t0"))
    rig.settle()
    assert [r.task for r in rig.records(EventOpen) if r.guest] == [VCPU]


def test_kvm_names_no_other_thread_to_the_host() -> None:
    told = loaded(REJECTED)
    told.command(SetMsr(VCPU, IA32_DEBUGCTL, 1, "t0"))
    assert told.heard() == [CreateEvent(VCPU, 1)]


def test_where_others_are_served_kvm_names_them() -> None:
    told = loaded(MERGED)
    told.command(SetMsr(VCPU, IA32_DEBUGCTL, 1, "t0"))
    assert told.heard() == [CreateEvent(VCPU, 1, "t0")]


def test_a_guest_that_is_being_served_is_not_disturbed() -> None:
    told = loaded(REJECTED)
    told.access(READ)
    assert told.command(GetMsr(VCPU, FROM0, "t0")) == Done(errno="ENOENT")
    told.tell(EventCreated(VCPU, 1, EVENT))
    assert told.go_on(MsrDone(met=True, value=4)) == [GuestValue(4)]
