"""The guest's counters: their registers, the host events that count for them, and the PMI."""

from __future__ import annotations

from contract.control import MachineSpec, VmSpec
from contract.machine import Branch
from contract.messages import CreateCounter, PauseCounter, ReleaseEvent, ResumeCounter
from contract.trace import CounterEvent, GuestPmi
from contract.x86 import (
    DEBUGCTL_FREEZE_LBRS_ON_PMI,
    DEBUGCTL_LBR,
    EVENTSEL_EN,
    EVENTSEL_INT,
    EVENTSEL_OS,
    EVENTSEL_USR,
    IA32_DEBUGCTL,
    MSR_EVENTSEL,
    MSR_GLOBAL_CTRL,
    MSR_GLOBAL_OVF_CTRL,
    MSR_GLOBAL_STATUS,
    MSR_LBR_TOS,
    MSR_PMC,
    MSR_PMC_FULL,
)
from tests.cases import cases
from tests.designs import MERGED
from tests.kvm_svc.rig import Rig

BRANCHES = 0xC4
BOTH = EVENTSEL_USR | EVENTSEL_OS
ON = BRANCHES | BOTH | EVENTSEL_EN
FREEZE = DEBUGCTL_LBR | DEBUGCTL_FREEZE_LBRS_ON_PMI


def rig(pmu: int = 2, *, lbr: bool = True, apic: bool = True) -> Rig:
    return Rig(MERGED, machine=MachineSpec(), vms=[VmSpec("vm0", lbr=lbr, pmu=pmu, apic=apic)])


def armed(
    distance: int,
    *,
    eventsel: int = ON | EVENTSEL_INT,
    debugctl: int = 0,
    pmu: int = 2,
    lbr: bool = True,
    apic: bool = True,
) -> Rig:
    it = rig(pmu, lbr=lbr, apic=apic)
    if pmu > 1:
        assert it.wrmsr(MSR_GLOBAL_CTRL, 1)
    assert it.wrmsr(MSR_PMC, -distance & 0xFFFF_FFFF)
    assert it.wrmsr(MSR_EVENTSEL, eventsel)
    assert it.debugctl(debugctl)
    return it


@cases(
    ("msr", "value", "taken", "reads"),
    [
        (MSR_EVENTSEL, BRANCHES, True, BRANCHES),
        (MSR_EVENTSEL, 1 << 21, False, 0),
        (MSR_EVENTSEL, 1 << 32, False, 0),
        (MSR_PMC, 0x7FFF_FFFF, True, 0x7FFF_FFFF),
        (MSR_PMC, 0x8000_0000, True, 0xFFFF_8000_0000),
        (MSR_GLOBAL_CTRL, 0b11, True, 0b11),
        (MSR_GLOBAL_CTRL, 1 << 40, False, 0x7_0000_000F),
        (MSR_GLOBAL_STATUS, 0, False, 0),
        (MSR_GLOBAL_OVF_CTRL, 1, True, 0),
        (MSR_GLOBAL_OVF_CTRL, 1 << 58, False, 0),
    ],
)
def test_what_a_register_takes(msr: int, value: int, taken: bool, reads: int) -> None:
    it = rig()

    assert it.wrmsr(msr, value) == taken
    assert it.rdmsr(msr).value == reads


@cases("msr", [MSR_EVENTSEL + 2, MSR_PMC + 2, MSR_PMC_FULL, MSR_GLOBAL_CTRL, MSR_GLOBAL_STATUS])
def test_none_without_a_pmu(msr: int) -> None:
    assert rig(0, lbr=False).rdmsr(msr).fault


@cases("msr", [MSR_GLOBAL_CTRL, MSR_GLOBAL_STATUS, MSR_GLOBAL_OVF_CTRL])
def test_version_one_has_no_global_registers(msr: int) -> None:
    it = rig(1, lbr=False)

    assert it.rdmsr(msr).fault
    assert not it.rdmsr(MSR_EVENTSEL).fault


@cases(
    ("levels", "expected"), [(0, 0), (EVENTSEL_USR, 3), (EVENTSEL_OS, 5), (BOTH, 8)], ids=["none", "usr", "os", "both"]
)
def test_counts_at_its_levels(levels: int, expected: int) -> None:
    it = armed(0, eventsel=BRANCHES | EVENTSEL_EN | levels)
    it.guest(Branch(3, privilege="user"), Branch(5, privilege="kernel"))

    assert it.rdmsr(MSR_PMC).value == expected


def test_does_not_count_the_host_or_while_off_its_cpu() -> None:
    it = armed(0)
    it.guest(Branch(3))
    it.slice()
    it.guest(Branch(4))

    assert it.rdmsr(MSR_PMC).value == 7


@cases(("msr", "off", "on"), [(MSR_GLOBAL_CTRL, 0, 1), (MSR_EVENTSEL, BRANCHES | BOTH, ON)])
def test_the_same_event_is_resumed(msr: int, off: int, on: int) -> None:
    it = armed(0, eventsel=ON)
    it.guest(Branch(3))
    it.wrmsr(msr, off)
    it.guest(Branch(10))
    it.wrmsr(msr, on)
    it.guest(Branch(2))

    assert it.rdmsr(MSR_PMC).value == 5
    assert [it.sent(kind) for kind in (CreateCounter, PauseCounter, ResumeCounter)] == [1, 1, 1]


def test_another_event_is_created_anew() -> None:
    it = armed(0, eventsel=ON)
    it.wrmsr(MSR_EVENTSEL, ON & ~EVENTSEL_OS)
    it.guest(Branch(1))

    assert [it.sent(kind) for kind in (CreateCounter, ReleaseEvent)] == [2, 1]


def test_a_counter_that_a_slice_did_not_touch_goes() -> None:
    it = armed(0, eventsel=ON)
    it.wrmsr(MSR_EVENTSEL, BRANCHES)
    for _ in range(3):
        it.slice()
        it.guest(Branch(1))

    assert [r.change for r in it.records(CounterEvent)] == ["created", "paused", "released"]


@cases(
    ("pmu", "debugctl", "after", "tos"),
    [
        (2, FREEZE, DEBUGCTL_FREEZE_LBRS_ON_PMI, 16),
        (3, FREEZE, DEBUGCTL_FREEZE_LBRS_ON_PMI, 16),
        (4, FREEZE, FREEZE, 20),
        (2, DEBUGCTL_LBR, DEBUGCTL_LBR, 20),
        (2, DEBUGCTL_FREEZE_LBRS_ON_PMI, DEBUGCTL_FREEZE_LBRS_ON_PMI, 0),
    ],
)
def test_pmi_freezes_lbr(pmu: int, debugctl: int, after: int, tos: int) -> None:
    """Legacy freeze only: version 4 is left as it is."""
    it = armed(16, debugctl=debugctl, pmu=pmu)
    it.guest(Branch(20))

    assert [(r.status, r.frozen) for r in it.records(GuestPmi)] == [(1, after != debugctl)]
    assert it.rdmsr(IA32_DEBUGCTL).value == after
    assert it.rdmsr(MSR_LBR_TOS).value == tos


@cases("apic", [True, False])
def test_neither_pmi_nor_freeze_without_a_local_apic_in_the_kernel(apic: bool) -> None:
    it = armed(16, debugctl=FREEZE, apic=apic)
    it.guest(Branch(20))

    assert it.rdmsr(MSR_GLOBAL_STATUS).value == 1
    assert len(it.records(GuestPmi)) == apic
    assert it.rdmsr(IA32_DEBUGCTL).value == (DEBUGCTL_FREEZE_LBRS_ON_PMI if apic else FREEZE)
    assert it.rdmsr(MSR_LBR_TOS).value == (16 if apic else 20)


def test_no_pmi_unless_asked_for() -> None:
    it = armed(16, eventsel=ON)
    it.guest(Branch(20))

    assert it.rdmsr(MSR_GLOBAL_STATUS).value == 1
    assert not it.records(GuestPmi)


def test_status_goes_when_cleared() -> None:
    it = armed(16)
    it.guest(Branch(20))
    it.wrmsr(MSR_GLOBAL_OVF_CTRL, 1)

    assert it.rdmsr(MSR_GLOBAL_STATUS).value == 0


def test_an_overflow_is_a_full_range_from_the_next() -> None:
    it = armed(16)
    it.guest(Branch(100))

    assert len(it.records(GuestPmi)) == 1
    assert it.rdmsr(MSR_PMC).value == 84
