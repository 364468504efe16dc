"""Which guests have an LBR: what KVM advertises, the guest's CPUID, and every row of the PERF_CAPABILITIES rules."""

from __future__ import annotations

from typing import Any

import pytest

from contract.control import GetMsr, MachineSpec, SetMsr, VmSpec
from contract.design import Design, Enablement, EntryCheck
from contract.errors import RefusedError
from contract.machine import Nop
from contract.results import Done
from contract.trace import UserMsr
from contract.x86 import IA32_DEBUGCTL, IA32_PERF_CAPABILITIES, LBR_MODELS, MSR_LBR_INFO, MSR_LBR_TOS
from tests.cases import cases
from tests.designs import DESIGNS, MERGED
from tests.kvm_svc.rig import FROM0, VCPU, Rig

BY_CAPABILITIES = [design for design in DESIGNS.values() if design.enablement is Enablement.PERF_CAPABILITIES]
BY_KVM_CAP = [design for design in DESIGNS.values() if design.enablement is Enablement.KVM_CAP]
GP = "#GP"
by_capabilities = cases("design", BY_CAPABILITIES, ids=lambda d: d.name)
by_kvm_cap = cases("design", BY_KVM_CAP, ids=lambda d: d.name)


def rig(
    design: Design, kernel: str = "v5.12", generation: str = "skylake", mediated: bool = False, **cpuid: Any
) -> Rig:
    machine = MachineSpec(lbr=generation, depth=4, kernel=kernel, mediated=mediated)
    return Rig(design, machine=machine, vms=[VmSpec("vm0", **cpuid)])


def put(rig: Rig, value: int) -> bool:
    return rig.kvm(SetMsr(VCPU, IA32_PERF_CAPABILITIES, value)) == Done(1)


def get(rig: Rig) -> int:
    result = rig.kvm(GetMsr(VCPU, IA32_PERF_CAPABILITIES))
    assert isinstance(result, Done)
    return result.value


def guest(rig: Rig, msr: int) -> int | str:
    value = rig.rdmsr(msr)
    return GP if value.fault else value.value


# The values that KVM offers: kernel, generation, mediated vPMU, and the guest's LBR_FMT.
@cases(
    ("kernel", "lbr", "mediated", "fmt"),
    [
        ("v5.12", "core2", False, 2),
        ("v5.12", "nehalem", False, 3),
        ("v5.12", "sandybridge", False, 3),
        ("v5.12", "haswell", False, 4),
        ("v5.12", "skylake", False, 5),
        ("v6.16", "core2", False, 0),
        ("v6.16", "nehalem", False, 0),
        ("v6.16", "sandybridge", False, 0),
        ("v6.16", "haswell", False, 4),
        ("v6.16", "skylake", False, 5),
        ("v6.16", "skylake", True, 0),
        ("v5.12", "haswell", True, 0),
    ],
)
@by_capabilities
def test_what_kvm_advertises(design: Design, kernel: str, lbr: str, mediated: bool, fmt: int) -> None:
    made = rig(design, kernel, lbr, mediated)

    assert get(made) == 0x2000 | fmt
    assert [r.processed for r in made.records(UserMsr) if not r.read] == ([] if fmt else [False])
    assert guest(made, IA32_PERF_CAPABILITIES) == 0x2000 | fmt
    assert made.vcpu().vm.lbr_enabled == (fmt != 0)
    fresh = Rig(design, machine=MachineSpec(lbr=lbr, kernel=kernel, mediated=mediated), place=False)
    assert put(fresh, 0x2000 | LBR_MODELS[lbr].lbr_fmt) == (fmt != 0)


@cases(
    ("kernel", "cpuid", "accepted"),
    [
        ("v5.12", {}, {0, 5, 0x2000, 0x2005}),
        ("v6.16", {}, {0, 5, 0x2000, 0x2005}),
        ("v5.12", {"model": "other"}, {0, 0x2000}),
        ("v6.16", {"model": "other"}, {0, 0x2000}),
        ("v5.12", {"pmu": 0}, {0}),
        ("v6.16", {"pmu": 0}, {0, 5, 0x2000, 0x2005}),
        ("v5.12", {"pmu": 1}, {0, 5, 0x2000, 0x2005}),
        ("v5.12", {"pdcm": False}, {0, 5, 0x2000, 0x2005}),
        ("v6.16", {"pdcm": False}, {0}),
    ],
)
@by_capabilities
def test_user_space_before_the_first_run(
    design: Design, kernel: str, cpuid: dict[str, Any], accepted: set[int]
) -> None:
    made = rig(design, kernel, **cpuid)
    tried = {value for low in range(64) for value in (low, 0x2000 | low)} | {1 << 8, 1 << 12, 1 << 14, 0x2105, 1 << 63}

    assert {value for value in sorted(tried) if put(made, value)} == accepted


@cases("kernel", ["v5.12", "v6.16"])
@by_capabilities
def test_user_space_after_the_first_run(design: Design, kernel: str) -> None:
    made = rig(design, kernel)
    made.guest(Nop())

    accepted = {0x2005} if kernel == "v6.16" else {0, 5, 0x2000, 0x2005}
    assert {value for value in (0, 5, 0x2000, 0x2004, 0x2005, 0x2105) if put(made, value)} == accepted


@cases(
    ("kernel", "cpuid", "read"),
    [
        ("v5.12", {}, 0x2005),
        ("v5.12", {"lbr": False}, 0x2000),
        ("v5.12", {"pdcm": False}, GP),
        ("v6.16", {"pdcm": False}, GP),
        ("v5.12", {"pmu": 1}, 0x2005),
    ],
)
@by_capabilities
def test_the_guest_reads_what_is_set_and_writes_nothing(
    design: Design, kernel: str, cpuid: dict[str, Any], read: int | str
) -> None:
    made = rig(design, kernel, **cpuid)

    assert guest(made, IA32_PERF_CAPABILITIES) == read
    before = get(made)
    assert [value for value in (0, 5, 0x2005, before) if made.wrmsr(IA32_PERF_CAPABILITIES, value)] == []
    assert get(made) == before


@by_capabilities
def test_without_pdcm(design: Design) -> None:
    """New kernels read the value as 0, which takes the LBR away; old ones never asked for PDCM."""
    old, new = rig(design, "v5.12", pdcm=False), rig(design, "v6.16", pdcm=False)

    assert (get(old), get(new)) == (0x2005, 0)
    assert guest(old, MSR_LBR_TOS) == 0
    assert guest(new, MSR_LBR_TOS) == GP


@by_capabilities
def test_another_model_has_no_lbr_though_it_reads_the_format(design: Design) -> None:
    """KVM rejects the value of user space, and keeps the value from the creation of the VM."""
    made = rig(design, model="other")

    assert [(r.processed, r.value) for r in made.records(UserMsr)] == [(False, 0x2005)]
    assert guest(made, IA32_PERF_CAPABILITIES) == 0x2005
    assert guest(made, MSR_LBR_TOS) == GP
    assert not made.debugctl(0x801)


@by_capabilities
def test_without_a_pmu_there_is_no_lbr(design: Design) -> None:
    assert guest(rig(design, pmu=0), FROM0) == GP
    assert guest(rig(design, pmu=1), FROM0) == 0


# v7 and v8 ---------------------------------------------------------------------------------------------------


@by_kvm_cap
@cases(
    ("cpuid", "capabilities", "debugctl", "lbr"),
    [
        ({}, 5, 0, 0),
        ({"lbr": False}, 0, GP, GP),
        ({"model": "other"}, 0, GP, GP),
        ({"pdcm": False}, GP, 0, 0),
        ({"pmu": 1}, GP, GP, GP),
        ({"pmu": 0}, GP, GP, GP),
        ({"pmu": 4}, 5, 0, 0),
    ],
)
def test_what_a_kvm_capability_gives(
    design: Design, cpuid: dict[str, Any], capabilities: int | str, debugctl: int | str, lbr: int | str
) -> None:
    """PERF_CAPABILITIES shows LBR_FMT only, and a PMU of version 1 has none of these registers."""
    made = rig(design, **cpuid)

    assert guest(made, IA32_PERF_CAPABILITIES) == capabilities
    assert guest(made, IA32_DEBUGCTL) == debugctl
    assert guest(made, MSR_LBR_TOS) == lbr
    assert not made.wrmsr(IA32_PERF_CAPABILITIES, 5)


@by_kvm_cap
def test_nobody_writes_capabilities(design: Design) -> None:
    made = rig(design)

    assert [value for value in (0, 5, 0x2005) if put(made, value)] == []


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_info_while_intercepted(design: Design) -> None:
    """v7 and v8 compare wrongly: INFO is known only once another access has opened passthrough."""
    made = rig(design)

    first = guest(made, MSR_LBR_INFO)
    made.rdmsr(MSR_LBR_TOS)

    assert (first == GP) == (not design.info_known)
    if design.entry_check is not EntryCheck.INVERTED:  # which never opens it
        assert guest(made, MSR_LBR_INFO) == 0


@cases(("field", "value"), [("pmu", 6), ("pmu", -1), ("model", "vax"), ("model", "")])
def test_impossible_cpuid(field: str, value: Any) -> None:
    with pytest.raises(RefusedError, match=field):
        rig(MERGED, **{field: value})
