"""A guest on a machine without an LBR, or with an architectural one, under each kernel."""

from __future__ import annotations

from contract.control import GetMsr, MachineSpec, SetMsr, VmSpec
from contract.machine import Branch
from contract.trace import Retired
from contract.x86 import (
    DEBUGCTL_FREEZE_LBRS_ON_PMI,
    DEBUGCTL_LBR,
    IA32_DEBUGCTL,
    IA32_PERF_CAPABILITIES,
    LBR_FMT_MASK,
    MSR_ARCH_LBR_FROM,
    MSR_ARCH_LBR_INFO,
    MSR_ARCH_LBR_TO,
    MSR_LBR_FROM,
    MSR_LBR_SELECT,
    MSR_LBR_TOS,
)
from kvm_svc.hypervisor.capabilities import advertised
from tests.cases import cases
from tests.designs import FENCED, MERGED
from tests.kvm_svc.rig import VCPU, Rig

OLD, NEW = ("v5.3", "v5.12"), ("v6.16", "v7.1")
ABSENT = [("none", kernel) for kernel in OLD + NEW]
HIDDEN = [*ABSENT, *(("arch", kernel) for kernel in NEW)]
hidden = cases(("lbr", "kernel"), HIDDEN)


def rig(lbr: str, kernel: str = "v5.12") -> Rig:
    return Rig(MERGED, machine=MachineSpec(lbr=lbr, kernel=kernel), vms=[VmSpec("vm0")])


@hidden
def test_no_lbr_format_is_offered_or_taken(lbr: str, kernel: str) -> None:
    it = rig(lbr, kernel)
    assert it.rdmsr(IA32_PERF_CAPABILITIES).value & LBR_FMT_MASK == 0
    for fmt in (5, 0x3F):
        assert it.kvm(SetMsr(VCPU, IA32_PERF_CAPABILITIES, fmt)).value == 0  # type: ignore[union-attr]


@hidden
def test_the_lbr_msrs_fault(lbr: str, kernel: str) -> None:
    it = rig(lbr, kernel)
    msrs = [MSR_LBR_SELECT, MSR_LBR_TOS, MSR_LBR_FROM, MSR_ARCH_LBR_FROM, MSR_ARCH_LBR_TO, MSR_ARCH_LBR_INFO, 0]
    assert [hex(msr) for msr in msrs if not it.rdmsr(msr).fault or it.wrmsr(msr, 0)] == []


@hidden
def test_debugctl_drops_lbr_and_faults_for_freeze(lbr: str, kernel: str) -> None:
    it = rig(lbr, kernel)
    assert it.wrmsr(IA32_DEBUGCTL, DEBUGCTL_LBR)
    assert not it.wrmsr(IA32_DEBUGCTL, DEBUGCTL_FREEZE_LBRS_ON_PMI)
    assert it.rdmsr(IA32_DEBUGCTL).value == 0
    assert it.kvm(SetMsr(VCPU, IA32_DEBUGCTL, DEBUGCTL_LBR)).value == 1  # type: ignore[union-attr]
    assert it.kvm(SetMsr(VCPU, IA32_DEBUGCTL, DEBUGCTL_FREEZE_LBRS_ON_PMI)).value == 0  # type: ignore[union-attr]
    assert it.kvm(GetMsr(VCPU, IA32_DEBUGCTL)).value == 0  # type: ignore[union-attr]


@cases("kernel", OLD)
def test_before_v6_4_an_architectural_lbr_is_offered_as_a_legacy_one(kernel: str) -> None:
    assert rig("arch", kernel).rdmsr(IA32_PERF_CAPABILITIES).value & LBR_FMT_MASK == 0x3F
    there = [MSR_LBR_TOS, MSR_LBR_SELECT, MSR_ARCH_LBR_FROM, MSR_ARCH_LBR_TO + 31]
    assert [rig("arch", kernel).rdmsr(msr).fault for msr in there] == [False] * 4
    assert rig("arch", kernel).rdmsr(MSR_ARCH_LBR_INFO).fault


def test_a_register_that_an_architectural_lbr_lacks_faults_once_it_is_passed_through() -> None:
    it = rig("arch")
    assert [it.rdmsr(MSR_LBR_TOS).fault for _ in range(2)] == [False, True]


def test_debugctl_records_nothing_on_an_architectural_lbr() -> None:
    it = rig("arch")
    assert it.debugctl(DEBUGCTL_LBR)
    it.guest(Branch(5))
    assert [r.recorded for r in it.records(Retired)] == [False]
    assert it.rdmsr(MSR_ARCH_LBR_FROM).value == 0


def test_fenced_offers_no_lbr_that_it_does_not_know() -> None:
    it = Rig(FENCED, machine=MachineSpec(lbr="arch"))
    assert advertised(it.core.hv) & LBR_FMT_MASK == 0


def test_an_entry_leaves_the_hosts_architectural_lbr_on() -> None:
    """No kernel sets the VMCS controls for IA32_LBR_CTL: a host event samples branches of the guest."""
    it = rig("arch", "v6.16")
    it.host_event()
    it.guest(Branch(5))
    assert [r.recorded for r in it.records(Retired) if r.guest] == [True]
