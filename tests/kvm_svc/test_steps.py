"""Granularity: a step ends where interrupts are on again, and the host may act between any two."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contract.control import MachineSpec, Retire
from contract.design import Design, HostDebugctl
from contract.errors import LocalContractError
from contract.machine import (
    AnyOp,
    AnyReply,
    Branch,
    Continue,
    Controls,
    Cpuid,
    Enter,
    EntryRefused,
    Exit,
    GuestValue,
    LbrLoaded,
    LoadLbr,
    MsrDone,
    Nop,
    Ran,
    Rdmsr,
    ReadMsr,
    WriteMsr,
    Wrmsr,
)
from contract.messages import CreateEvent, EventCreated, LbrImage, SchedIn, SchedOut
from contract.trace import VmEntry, VmExit
from contract.x86 import IA32_DEBUGCTL, MSR_LBR_SELECT
from tests.cases import cases
from tests.designs import KVM_SWITCH, MERGED, V7
from tests.kvm_svc.rig import FROM0, VCPU, Rig, Script


def loaded(design: Design = MERGED, kernel: str = "v5.12") -> Script:
    script = Script(design, machine=MachineSpec(depth=8, kernel=kernel))
    script.tell(SchedIn(VCPU, 0, 0x801))
    return script


def test_enter_until_exit_then_handle_it() -> None:
    script = loaded()
    ops: list[AnyOp] = [Nop(), Cpuid(), Branch(3)]

    assert not script.step(ops, Exit("cpuid", [GuestValue()], 0)).finished
    (enter,) = script.asked
    assert enter == Enter(VCPU, 0, Controls(0, False, 0x801), ops)

    assert not script.step([]).finished
    assert script.asked == []

    done = script.step([], Ran([GuestValue()]))
    assert done.finished
    assert done.values == [GuestValue()] * 3
    assert script.asked == [Enter(VCPU, 0, Controls(0, False, 0x801), [Branch(3)])]


def test_goes_on_without_entry_while_in_guest_mode() -> None:
    script = loaded()
    script.step([Nop()], Ran([GuestValue()]))

    script.step([Branch(2)], Ran([GuestValue()]))

    assert script.asked == [Continue(VCPU, 0, [Branch(2)], False)]


def test_wait_for_event_created() -> None:
    """Three steps and an answer: run into the exit, ask, access."""
    script = loaded()
    assert not script.step([Rdmsr(FROM0)], Exit("msr-read", [], 0, FROM0)).finished
    assert script.heard() == []
    assert not script.step([]).finished
    assert script.heard() == [CreateEvent(VCPU, 1)]
    assert script.vcpu().waiting

    script.tell(EventCreated(VCPU, 1, 7))
    done = script.step([], MsrDone(met=True, value=9))

    assert script.asked == [ReadMsr(VCPU, 0, FROM0, 7)]
    assert (done.finished, done.values) == (True, [GuestValue(9)])


def test_v7_accesses_before_it_asks() -> None:
    script = loaded(V7)
    script.step([Wrmsr(FROM0, 5)], Exit("msr-write", [], 0, FROM0, True, 5))

    assert not script.step([], MsrDone(met=True, value=5)).finished
    assert script.asked == [WriteMsr(VCPU, 0, FROM0, 5, 0)]
    assert script.heard() == [CreateEvent(VCPU, 1)]

    script.tell(EventCreated(VCPU, 1, 7))
    assert script.step([]).finished
    assert script.asked == []


def test_forced_exit_is_taken_up_at_the_next_step() -> None:
    rig = Rig(MERGED)
    rig.guest(Nop())
    rig.perf(Retire(0, 3))

    assert [r.reason for r in rig.records(VmExit)] == ["external-interrupt"]
    assert rig.vcpu().guest_mode

    assert rig.step(Branch(2)).finished
    assert len(rig.records(VmEntry)) == 2
    assert rig.vcpu().guest_mode


def test_forced_exit_needs_no_step_of_its_own() -> None:
    script = loaded()
    script.step([Nop()], Ran([GuestValue()]))

    replies: list[AnyReply] = [Exit("external-interrupt", [], 0), Ran([GuestValue()])]
    assert script.step([Branch(2)], *replies).finished
    assert [type(request) for request in script.asked] == [Continue, Enter]


def test_forced_exit_after_the_thread_moved() -> None:
    """Preempted in guest mode, back on another CPU: the old exit first, then an entry there."""
    script = loaded()
    script.step([Nop()], Ran([GuestValue()]))
    script.tell(SchedOut(VCPU, 0))
    script.tell(SchedIn(VCPU, 1, 0))

    script.step([Nop()], Exit("external-interrupt", [], 0), Ran([GuestValue()]))

    assert [request.cpu for request in script.asked] == [1, 1]
    assert isinstance(script.asked[1], Enter)


def test_a_fault_ends_the_code() -> None:
    script = loaded()
    script.step([Rdmsr(0x10), Branch(3)], Exit("msr-read", [], 0, 0x10))

    done = script.step([])

    assert (done.finished, done.values) == (True, [GuestValue(fault=True)])
    assert script.vcpu().ops == []


def test_passed_through_fault_ends_the_code() -> None:
    script = loaded()

    assert script.step([Nop(), Nop()], Ran([GuestValue(fault=True)])).finished


def test_entry_refused_by_the_silicon_is_our_bug() -> None:
    script = loaded()

    with pytest.raises(LocalContractError, match="VM-entry refused"):
        script.step([Nop()], EntryRefused("msr-load"))


def test_restore_before_the_entry() -> None:
    script = loaded(KVM_SWITCH)
    script.step([Wrmsr(IA32_DEBUGCTL, 1)], Exit("msr-write", [], 0, IA32_DEBUGCTL, True, 1))
    script.step([], LbrLoaded())
    image = LbrImage(tos=2, from_ip=[1] * 8, to_ip=[2] * 8, info=[3] * 8)
    script.tell(SchedOut(VCPU, 0, image))
    script.tell(SchedIn(VCPU, 0, 0))

    script.step([Nop()], LbrLoaded(), Ran([GuestValue()]))
    load, enter = script.asked
    assert load == LoadLbr(VCPU, 0, image, True)
    assert isinstance(enter, Enter)

    script.step([Cpuid()], Exit("cpuid", [], 0))
    script.step([])
    script.step([Nop()], Ran([GuestValue()]))
    assert [type(request) for request in script.asked] == [Enter]


@cases(
    ("when", "kernel", "remembered"),
    [
        (HostDebugctl.AT_LOAD, "v6.16", 0x801),
        (HostDebugctl.AT_ENTRY, "v5.12", None),
        (HostDebugctl.AT_ENTRY_SINCE_V6_14, "v5.12", 0x801),
        (HostDebugctl.AT_ENTRY_SINCE_V6_14, "v6.16", None),
    ],
)
def test_host_debugctl(when: HostDebugctl, kernel: str, remembered: int | None) -> None:
    script = loaded(replace(MERGED, host_debugctl=when), kernel=kernel)
    script.step([Nop()], Ran([GuestValue()]))

    (enter,) = script.asked
    assert isinstance(enter, Enter)
    assert enter.controls.host_debugctl == remembered
    assert not enter.controls.keep_debugctl


def test_a_host_debugctl_that_nobody_switches() -> None:
    script = loaded(replace(MERGED, host_debugctl=HostDebugctl.NOT_SWITCHED))
    script.step([Nop()], Ran([GuestValue()]))

    (enter,) = script.asked
    assert isinstance(enter, Enter)
    assert enter.controls.keep_debugctl


def test_select_is_an_lbr_register() -> None:
    rig = Rig(MERGED)
    assert rig.wrmsr(MSR_LBR_SELECT, 0x1)

    assert rig.rdmsr(MSR_LBR_SELECT).value == 1
