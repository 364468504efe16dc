"""Designs in which KVM saves by itself: every transition switches the whole LBR, or every thread switch saves it."""

from __future__ import annotations

from msgspec.structs import replace

from contract.control import GetMsr, LoadVcpu, MachineSpec, Open, Retire, SaveVcpu, SetMsr, StopLbr, VcpuImage, VmSpec
from contract.design import Activation, Design
from contract.machine import (
    Branch,
    Continue,
    Controls,
    Cpuid,
    Enter,
    Exit,
    GuestValue,
    LbrLoaded,
    LoadLbr,
    Nop,
    Ran,
    Rdmsr,
    Wrmsr,
)
from contract.messages import CreateEvent, LbrImage, SchedIn, SchedOut
from contract.results import Done, VcpuSaved
from contract.trace import Access, HostMsr, UserMsr, VmEntry
from contract.x86 import IA32_DEBUGCTL, MSR_LBR_INFO, MSR_LBR_SELECT, MSR_LBR_TOS
from tests.cases import cases
from tests.designs import KVM_SWITCH, MEDIATED, VMX_TRANSITION
from tests.kvm_svc.rig import FROM0, VCPU, Rig
from tests.kvm_svc.told import READ, TURN_ON, WRITE, Told, loaded, results

EMPTY = LbrImage()
IMAGE = LbrImage(1, 2, [0x10 * i for i in range(8)], [5] * 8, [1] * 8)
NONCANONICAL = 1 << 47
switched = cases("design", [VMX_TRANSITION, MEDIATED], ids=lambda d: d.name)


def runs(told: Told) -> Controls:
    """The guest is entered and runs on; the controls of that."""
    return told.enter().controls


def leaves(told: Told, image: LbrImage) -> Told:
    """The guest leaves guest mode with this LBR."""
    told.step([Cpuid()], Exit("cpuid", [], 0, lbr=image))
    told.step([])
    return told


def active() -> Told:
    """The guest of ``vmx-transition`` uses its LBR, which is IMAGE."""
    told = loaded(VMX_TRANSITION)
    told.access(TURN_ON)
    return leaves(told, IMAGE)


# The first access ----------------------------------------------------------------------------------------------


def test_a_guest_that_does_not_use_its_lbr_has_nothing_switched() -> None:
    controls = runs(loaded(VMX_TRANSITION))
    assert (controls.lbr, controls.passthrough) == (None, False)


@cases("op", [READ, WRITE])
def test_the_first_access_is_left_to_the_guest_with_its_lbr_switched(op: Rdmsr | Wrmsr) -> None:
    told = loaded(VMX_TRANSITION)
    assert told.access(op) is None
    assert (told.asked, told.heard(), results(told)) == ([], [], [])

    assert told.go_on(Ran([GuestValue(3)])) == [GuestValue(3)]
    assert told.asked == [Enter(VCPU, 0, Controls(0, True, lbr=EMPTY), [op])]


def test_what_came_before_the_first_access_is_not_done_twice() -> None:
    told = loaded(VMX_TRANSITION)
    told.step([Branch(3), READ], Exit("msr-read", [GuestValue()], 0, FROM0))
    told.step([])

    assert told.go_on(Ran([GuestValue(3)])) == [GuestValue(), GuestValue(3)]
    (enter,) = told.asked
    assert isinstance(enter, Enter)
    assert enter.ops == [READ]


def test_a_debugctl_write_with_lbr_is_carried_out_by_kvm() -> None:
    told = loaded(VMX_TRANSITION)
    assert told.access(TURN_ON) == [GuestValue()]
    assert told.asked == []
    assert runs(told) == Controls(1, True, lbr=EMPTY)


def test_where_the_guest_owns_the_lbr_it_is_switched_from_the_first_entry_on() -> None:
    assert runs(loaded(MEDIATED)) == Controls(0, True, lbr=EMPTY)


def test_a_guest_without_an_lbr_has_nothing_switched() -> None:
    told = Told(MEDIATED, VmSpec("vm0", lbr=False))
    told.tell(SchedIn(VCPU, 0, 0))
    assert runs(told) == Controls(0, False)


# The reply to an exit --------------------------------------------------------------------------------------------


def test_the_next_entry_has_what_the_last_exit_brought() -> None:
    assert runs(active()).lbr == IMAGE


def test_a_forced_exit_brings_it_too() -> None:
    told = active()
    runs(told)
    other = replace(IMAGE, tos=5)
    told.step([Nop()], Exit("external-interrupt", [], 1, lbr=other), Ran([GuestValue()]))

    enter = told.asked[1]
    assert isinstance(enter, Enter)
    assert enter.controls.lbr == other


def test_an_ioctl_that_takes_the_guest_out_of_guest_mode_gets_what_it_had() -> None:
    told = active()
    runs(told)
    other = replace(IMAGE, tos=5)

    assert told.command(GetMsr(VCPU, MSR_LBR_TOS), Exit("external-interrupt", [], 1, lbr=other)) == Done(5)
    assert told.asked == [Continue(VCPU, 0, [], kick=True)]


def test_a_thread_switch_leaves_it_alone() -> None:
    told = active()
    told.tell(SchedOut(VCPU, 0))
    told.tell(SchedIn(VCPU, 1, 0))
    assert runs(told).lbr == IMAGE


@switched
def test_on_the_silicon_nothing_of_it_is_lost(design: Design) -> None:
    """Exits, forced ones, a host that records, and other tasks in between."""
    rig = Rig(design)
    rig.debugctl(1)
    rig.guest(Branch(3), Cpuid(), Branch(1))
    rig.perf(Retire(0, 2))
    rig.slice()
    rig.perf(Open("h0", 0, branch=["any"], exclude_guest=True))
    rig.perf(Retire(0, 6))

    assert rig.rdmsr(MSR_LBR_TOS).value == 4
    assert [rig.rdmsr(FROM0 + i).value != 0 for i in range(8)] == [False, *[True] * 4, *[False] * 3]
    assert all(entry.switched for entry in rig.records(VmEntry)[1:])


# User space ------------------------------------------------------------------------------------------------------


def test_user_space_reads_the_image() -> None:
    told = active()
    assert [told.command(GetMsr(VCPU, msr)) for msr in (MSR_LBR_SELECT, MSR_LBR_TOS, FROM0 + 3, MSR_LBR_INFO)] == [
        Done(value) for value in (1, 2, 0x30, 1)
    ]
    assert told.asked == []


@switched
def test_the_guest_finds_what_user_space_wrote(design: Design) -> None:
    rig = Rig(design)
    assert rig.kvm(SetMsr(VCPU, MSR_LBR_TOS, 13)) == Done(1)
    assert rig.kvm(SetMsr(VCPU, FROM0 + 5, 0x10)) == Done(1)

    assert (rig.rdmsr(MSR_LBR_TOS).value, rig.rdmsr(FROM0 + 5).value) == (5, 0x10)
    assert rig.records(HostMsr) == []
    assert [(r.processed, r.touches_lbr, r.value) for r in rig.records(UserMsr)] == [
        (True, True, 13),
        (True, True, 0x10),
    ]


@cases(("msr", "value"), [(FROM0, NONCANONICAL), (MSR_LBR_SELECT, 1 << 10), (MSR_LBR_INFO, 1 << 20)])
def test_a_value_that_the_hardware_refuses_is_rejected(msr: int, value: int) -> None:
    told = active()
    assert told.command(SetMsr(VCPU, msr, value)) == Done(0)
    assert (told.vcpu().saved.snapshot, told.records(UserMsr)[-1].processed) == (IMAGE, False)
    assert runs(told).lbr == IMAGE


def test_a_register_that_the_part_lacks_is_rejected() -> None:
    told = Told(VMX_TRANSITION, machine=MachineSpec(lbr="core2"))
    told.tell(SchedIn(VCPU, 0, 0))
    assert told.command(GetMsr(VCPU, MSR_LBR_SELECT)) == Done(errno="ENOENT")
    assert told.command(SetMsr(VCPU, MSR_LBR_SELECT, 0)) == Done(0)


def test_the_image_is_there_for_threads_that_are_on_no_cpu() -> None:
    told = active()
    assert told.command(SetMsr(VCPU, MSR_LBR_TOS, 3, "t0")) == Done(1)
    assert runs(told).lbr == replace(IMAGE, tos=3)


def test_an_access_by_user_space_activates() -> None:
    told = loaded(VMX_TRANSITION)
    assert told.command(GetMsr(VCPU, FROM0)) == Done(0)
    assert runs(told).lbr == EMPTY


@cases("design", [VMX_TRANSITION, KVM_SWITCH], ids=lambda d: d.name)
def test_a_debugctl_that_user_space_turned_on_activates_at_the_entry(design: Design) -> None:
    told = loaded(design)
    told.command(SetMsr(VCPU, IA32_DEBUGCTL, 1))
    loads = [LbrLoaded()] * (design is KVM_SWITCH)
    told.step([Nop()], *loads, Ran([GuestValue()]))

    *before, enter = told.asked
    assert before == [LoadLbr(VCPU, 0, EMPTY)] * len(loads)
    assert isinstance(enter, Enter)
    assert (enter.controls.passthrough, enter.controls.debugctl) == (True, 1)
    assert told.heard() == []


def test_a_debugctl_that_user_space_turned_on_for_a_guest_without_an_lbr_does_not() -> None:
    told = Told(KVM_SWITCH, VmSpec("vm0", lbr=False), machine=MachineSpec(depth=8, kernel="v6.16"))
    told.tell(SchedIn(VCPU, 0, 0))
    assert told.command(SetMsr(VCPU, IA32_DEBUGCTL, 1)) == Done(1)
    assert not runs(told).passthrough


@switched
def test_a_stopped_guest_has_nothing_switched_any_more(design: Design) -> None:
    told = loaded(design)
    told.access(TURN_ON) if design is VMX_TRANSITION else leaves(told, IMAGE)
    told.command(StopLbr(VCPU))

    assert told.access(READ) == [GuestValue()]
    assert told.asked == []
    assert runs(told) == Controls(0, False)


# Elsewhere -------------------------------------------------------------------------------------------------------


def test_the_image_is_what_is_carried_to_another_host() -> None:
    saved = active().command(SaveVcpu(VCPU, True))
    assert isinstance(saved, VcpuSaved)
    assert saved.image.lbr == IMAGE


@switched
def test_there_it_is_switched_in_at_the_first_entry_without_an_exit(design: Design) -> None:
    rig = Rig(design, place=False)
    assert rig.kvm(LoadVcpu(VCPU, VcpuImage(1, 0x2005, IMAGE))) == Done()
    rig.place(VCPU)

    assert rig.rdmsr(FROM0 + 3) == GuestValue(0x30)
    assert rig.records(Access) == []
    assert rig.sent(CreateEvent) == 0


@switched
def test_nothing_is_put_into_the_ring_before_that(design: Design) -> None:
    told = loaded(design)
    told.command(LoadVcpu(VCPU, VcpuImage(1, 0x2005, IMAGE)))
    assert runs(told) == Controls(1, True, lbr=IMAGE)


def test_a_guest_that_arrives_without_an_lbr_begins_empty() -> None:
    told = loaded(VMX_TRANSITION)
    told.command(LoadVcpu(VCPU, VcpuImage(0, 0x2005)))
    assert runs(told).lbr is None


# At thread switches ----------------------------------------------------------------------------------------------


def test_an_eager_guest_has_its_lbr_cleared_before_its_first_entry_and_never_again() -> None:
    told = loaded(replace(KVM_SWITCH, activation=Activation.EAGER))
    told.step([Nop()], LbrLoaded(), Ran([GuestValue()]))
    assert told.asked[0] == LoadLbr(VCPU, 0, EMPTY)

    told.step([Cpuid()], Exit("cpuid", [], 0))
    told.step([])
    assert runs(told).passthrough


def test_a_guest_whose_lbr_is_taken_away_does_not_record_into_the_hosts() -> None:
    """User space takes LBR_FMT from a guest that has DEBUGCTL.LBR set: the lists do not switch the LBR any more."""
    told = loaded(VMX_TRANSITION)
    told.vcpu().debugctl, told.vcpu().vm.lbr_enabled = 1, False
    entry = told.enter()
    assert (entry.controls.lbr, entry.controls.debugctl & 1, entry.controls.passthrough) == (None, 0, False)
