"""The check before a VM-entry, and its effect on passthrough (``vmx_passthrough_lbr_msrs``)."""

from __future__ import annotations

from contract.control import Enable, MachineSpec, Open, ResetVcpu, StopLbr
from contract.design import Design, EntryCheck
from contract.machine import Cpuid, Enter, Exit, GuestValue, MsrDone, Nop, Ran, Rdmsr
from contract.messages import EventCreated, SchedIn
from contract.results import Done
from contract.trace import Access, GuestMsr, VmEntry, Warn
from contract.x86 import IA32_DEBUGCTL, MSR_LBR_TOS
from tests.cases import cases
from tests.designs import DESIGNS, MERGED, V8
from tests.kvm_svc.rig import FROM0, VCPU, Rig, Script
from tests.kvm_svc.test_lbr_access import lost_to_the_door


def entry(rig: Rig) -> tuple[bool, int]:
    """One more entry: is the LBR passed through, and how often does KVM warn?"""
    warned = len(rig.records(Warn))
    rig.guest(Cpuid(), Nop())
    assert rig.records(VmEntry)[-1].passthrough == rig.vcpu().lbr_desc.passthrough
    return rig.vcpu().lbr_desc.passthrough, len(rig.records(Warn)) - warned


def test_no_event_lbr_off() -> None:
    assert entry(Rig(MERGED)) == (False, 0)


def test_no_event_lbr_on() -> None:
    """The creation failed, but DEBUGCTL was written."""
    rig = Rig(MERGED, machine=MachineSpec(lbr="nehalem"))
    rig.debugctl(1)

    passthrough, warnings = entry(rig)

    assert not passthrough
    assert warnings >= 1
    assert {r.text for r in rig.records(Warn)} == {"fail to passthrough LBR"}


def test_no_event_but_in_use() -> None:
    rig = Rig(MERGED)
    rig.rdmsr(FROM0)
    assert rig.kvm(ResetVcpu(VCPU)) == Done()
    rig.settle()
    assert (rig.vcpu().lbr_desc.in_use, rig.vcpu().debugctl, rig.vcpu().lbr_desc.event) == (True, 0, 0)

    passthrough, warnings = entry(rig)

    assert not passthrough
    assert warnings >= 1


def test_a_guest_that_user_space_stopped_is_no_failure() -> None:
    rig = Rig(MERGED)
    rig.rdmsr(FROM0)
    rig.kvm(StopLbr(VCPU))
    rig.settle()

    assert entry(rig) == (False, 0)


def test_event_not_active() -> None:
    rig = lost_to_the_door("v5.12")
    assert rig.vcpu().lbr_desc.event

    passthrough, warnings = entry(rig)

    assert not passthrough
    assert warnings >= 1
    assert not rig.vcpu().lbr_desc.in_use


def test_event_active() -> None:
    rig = Rig(MERGED)
    rig.debugctl(1)

    assert entry(rig) == (True, 0)


def test_lost_for_good_while_the_event_exists() -> None:
    """A pinned event in ERROR stays there: never re-armed by itself, even with the resource free again."""
    rig = lost_to_the_door("v5.12")
    rig.perf(Enable("c0"))

    assert [entry(rig)[0] for _ in range(3)] == [False] * 3


@cases(("active", "passthrough", "warnings"), [(True, True, 0), (False, False, 1)])
def test_judged_on_the_cpu(active: bool, passthrough: bool, warnings: int) -> None:
    """KVM asks with the entry; what the silicon found there and then decides, not what KVM believed."""
    script = Script(MERGED)
    script.tell(SchedIn(VCPU, 0, 0))
    script.step([Rdmsr(FROM0)], Exit("msr-read", [], 0, FROM0))
    script.step([])
    script.tell(EventCreated(VCPU, 1, 7))
    script.step([], MsrDone(met=True))

    script.step([Nop()], Ran([GuestValue()], event_active=active))

    (enter,) = script.asked
    assert isinstance(enter, Enter)
    check = enter.controls.check
    assert check is not None
    assert (check.event, check.when_active, check.otherwise) == (7, True, False)
    assert script.vcpu().lbr_desc.passthrough is passthrough
    assert len(script.records(Warn)) == warnings


def test_every_exit_is_followed_by_a_check() -> None:
    rig = Rig(MERGED)
    rig.rdmsr(FROM0)
    rig.guest(*[Cpuid()] * 3, Nop())

    assert [r.passthrough for r in rig.records(VmEntry)] == [False, True, True, True, True]


def test_v8_is_inverted() -> None:
    """While the event owns the LBR everything exits; results look right, exits give it away."""
    rig = Rig(V8)
    rig.debugctl(1)

    assert [rig.rdmsr(MSR_LBR_TOS).fault for _ in range(3)] == [False] * 3
    assert not any(r.passthrough for r in rig.records(VmEntry))
    assert len([r for r in rig.records(Access) if r.msr == MSR_LBR_TOS]) == 3
    assert not rig.records(GuestMsr)


def test_v8_passes_through_what_it_lost() -> None:
    """Used in this slice, lost, and not yet entered since: the check turns passthrough on."""
    rig = Rig(V8)
    rig.step(Rdmsr(FROM0))
    rig.step()
    rig.settle()
    assert rig.step().finished
    assert rig.vcpu().lbr_desc.passthrough
    rig.perf(Open("h0", 0, pinned=True, branch=["any"]))

    rig.guest(Nop())

    assert rig.records(VmEntry)[-1].passthrough


@cases("design", [d for d in DESIGNS.values() if d.entry_check is EntryCheck.NONE], ids=lambda d: d.name)
def test_no_check(design: Design) -> None:
    """Nothing is asked at entry: passthrough is what access or grant made it."""
    rig = Rig(design)
    rig.debugctl(1)

    assert entry(rig) == (True, 0)
    assert not rig.records(Warn)


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_no_passthrough_without_lbr(design: Design) -> None:
    rig = Rig(design, lbr=False)
    rig.rdmsr(FROM0)
    rig.debugctl(1)
    rig.rdmsr(IA32_DEBUGCTL)

    assert entry(rig) == (False, 0)
    assert not any(r.passthrough for r in rig.records(VmEntry))
