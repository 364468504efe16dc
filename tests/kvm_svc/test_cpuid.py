"""SetCpuid: which kernels take it when, and its effect on the guest's PMU, LBR and event."""

from __future__ import annotations

import pytest

from contract.control import MachineSpec, SetCpuid, SetMsr, VmSpec
from contract.errors import RefusedError
from contract.machine import Nop
from contract.results import Done
from contract.trace import CpuidSet, UserMsr
from contract.x86 import DEBUGCTL_LBR, IA32_DEBUGCTL, IA32_PERF_CAPABILITIES, MSR_GLOBAL_CTRL, MSR_LBR_TOS, MSR_PMC
from tests.cases import cases
from tests.designs import FENCED, MERGED
from tests.kvm_svc.rig import VCPU, Rig

OLD, NEW = "v5.12", "v6.16"
LBR = DEBUGCTL_LBR


def rig(kernel: str, design: object = MERGED, **cpuid: int) -> Rig:
    machine = MachineSpec(depth=8, kernel=kernel)
    return Rig(design, machine=machine, vms=[VmSpec("vm0", vcpus=2, **cpuid)])  # type: ignore[arg-type]


def event(made: Rig) -> int:
    return made.vcpu().lbr_desc.event


@cases(
    ("kernel", "first", "errno"),
    [
        ("v5.3", True, ""),
        (OLD, True, ""),
        (NEW, True, ""),
        ("v5.3", False, ""),
        (OLD, False, ""),
        (NEW, False, "EINVAL"),
    ],
)
def test_before_and_after_the_first_run(kernel: str, first: bool, errno: str) -> None:
    made = rig(kernel)
    if not first:
        made.guest(Nop())

    assert made.kvm(SetCpuid(VCPU, pmu=1)) == Done(errno=errno)
    assert made.vcpu().vm.spec.pmu == (2 if errno else 1)
    assert [r.errno for r in made.records(CpuidSet)] == [errno]


@cases("kernel", [OLD, NEW])
def test_the_same_again_is_always_taken(kernel: str) -> None:
    made = rig(kernel)
    made.guest(Nop())

    assert made.kvm(SetCpuid(VCPU, pmu=2, pdcm=True, model="host")) == Done()
    assert made.kvm(SetCpuid(VCPU)) == Done()


@cases(("kernel", "kept"), [(OLD, True), (NEW, False)])
def test_a_refresh_resets_the_pmu_since_v6_8(kernel: str, kept: bool) -> None:
    """The guest's event goes with it, its DEBUGCTL stays."""
    made = rig(kernel)
    made.kvm(SetMsr(VCPU, IA32_DEBUGCTL, LBR))
    made.kvm(SetMsr(VCPU, MSR_PMC, 7))
    made.settle()
    assert event(made)

    assert made.kvm(SetCpuid(VCPU, fixed=1)) == Done()
    assert bool(event(made)) == kept
    assert made.vcpu().debugctl == LBR
    assert made.rdmsr(MSR_PMC).value == (7 if kept else 0)


@cases(("kernel", "value"), [("v5.3", 0x1_0000_0003), (OLD, 0x1_0000_0003), (NEW, 3)])
def test_a_refresh_writes_global_ctrl(kernel: str, value: int) -> None:
    made = rig(kernel)
    made.kvm(SetMsr(VCPU, MSR_GLOBAL_CTRL, 0))
    made.kvm(SetCpuid(VCPU, counters=2, fixed=1))

    assert made.rdmsr(MSR_GLOBAL_CTRL).value == value


@cases(("kernel", "has_lbr"), [(OLD, True), (NEW, False)])
def test_a_cpuid_without_pmu(kernel: str, has_lbr: bool) -> None:
    """Before v6.4 the refresh returns before it comes to the LBR."""
    made = rig(kernel)
    made.kvm(SetCpuid(VCPU, pmu=0))

    assert made.vcpu().vm.lbr_enabled == has_lbr
    assert made.rdmsr(MSR_LBR_TOS).fault != has_lbr


@cases("change", [SetCpuid(VCPU, model="other"), SetCpuid(VCPU, pmu=0)])
def test_a_guest_that_never_had_a_pmu_has_no_lbr(change: SetCpuid) -> None:
    made = rig(OLD, pmu=0)
    made.kvm(change)

    assert not made.vcpu().vm.lbr_enabled


def test_another_model_leaves_the_lbr_passed_through_without_a_check() -> None:
    made = rig(OLD)
    made.wrmsr(IA32_DEBUGCTL, LBR)
    made.guest(Nop())
    assert made.vcpu().lbr_desc.passthrough

    made.kvm(SetCpuid(VCPU, model="other"))
    assert not made.rdmsr(MSR_LBR_TOS).fault
    assert made.vcpu().debugctl == LBR
    assert event(made)


def test_a_design_that_needs_a_right_takes_the_lbr_away() -> None:
    made = rig(OLD, FENCED)
    made.wrmsr(IA32_DEBUGCTL, LBR)
    made.guest(Nop())

    made.kvm(SetCpuid(VCPU, model="other"))
    assert (event(made), made.vcpu().debugctl, made.vcpu().grant.number) == (0, 0, 0)
    assert made.rdmsr(MSR_LBR_TOS).fault
    assert not made.vcpu().lbr_desc.passthrough


@cases(("kernel", "kept"), [(OLD, True), (NEW, False)])
@cases(("value", "same"), [(0x2005, True), (5, False)])
def test_a_change_of_perf_capabilities_refreshes_since_v6_8(kernel: str, kept: bool, value: int, same: bool) -> None:
    made = rig(kernel)
    made.kvm(SetMsr(VCPU, IA32_DEBUGCTL, LBR))
    made.settle()
    assert event(made)

    made.kvm(SetMsr(VCPU, IA32_PERF_CAPABILITIES, value))
    assert bool(event(made)) == (kept or same)
    assert made.vcpu().debugctl == LBR


def test_a_refresh_waits_for_the_event_that_is_being_created() -> None:
    """DEBUGCTL and then a PERF_CAPABILITIES that differs, in one list or after each other."""
    made = rig(NEW)
    made.kvm(SetMsr(VCPU, IA32_DEBUGCTL, LBR))
    change = SetMsr(VCPU, IA32_PERF_CAPABILITIES, 5)

    assert made.kvm(change) == Done(errno="EINPROGRESS")
    made.settle()
    assert made.kvm(change) == Done(1)
    assert event(made) == 0
    assert [r.value for r in made.records(UserMsr) if r.msr == IA32_PERF_CAPABILITIES] == [5]


def test_refused_while_a_vcpu_is_busy() -> None:
    made = rig(OLD)
    made.kvm(SetMsr(VCPU, IA32_DEBUGCTL, LBR))

    with pytest.raises(RefusedError, match="vm0/0 is busy"):
        made.kvm(SetCpuid("vm0/1", pmu=0))
    assert not made.records(CpuidSet)


@cases("bad", [{"pmu": 6}, {"counters": 256}, {"fixed": 32}, {"model": "mine"}, {"pmu": -1}])
def test_impossible_cpuids(bad: dict[str, int]) -> None:
    made = rig(OLD)

    with pytest.raises(RefusedError, match="vm0: "):
        made.kvm(SetCpuid(VCPU, **bad))  # type: ignore[arg-type]
