"""CPUID as the guest reads it."""

from __future__ import annotations

from contract.control import MachineSpec, SetCpuid, VmSpec
from contract.machine import Cpuid
from contract.results import Done
from tests.cases import cases
from tests.designs import MERGED
from tests.kvm_svc.rig import VCPU, Rig


def rig(spec: VmSpec, kernel: str = "v5.12") -> Rig:
    return Rig(MERGED, machine=MachineSpec(counters=4, fixed=3, kernel=kernel), vms=[spec])


def read(it: Rig, leaf: int | None, output: str) -> int:
    (value,) = it.guest(Cpuid(leaf, output))
    assert not value.fault
    return value.value


@cases(("pdcm", "ecx"), [(True, 1 << 15), (False, 0)])
def test_pdcm(pdcm: bool, ecx: int) -> None:
    assert read(rig(VmSpec("vm0", pdcm=pdcm)), 1, "ecx") == ecx


@cases(
    ("spec", "eax", "edx"),
    [
        (VmSpec("vm0"), 0x07_30_04_02, 3 | 48 << 5),
        (VmSpec("vm0", pmu=4, counters=1, fixed=0), 0x07_30_01_04, 48 << 5),
        (VmSpec("vm0", counters=9, fixed=4), 0x07_30_09_02, 4 | 48 << 5),
        (VmSpec("vm0", pmu=0), 0, 0),
    ],
    ids=["the host's", "fewer", "more than KVM gives", "no PMU"],
)
def test_leaf_of_the_pmu_is_as_user_space_gave_it(spec: VmSpec, eax: int, edx: int) -> None:
    it = rig(spec)
    assert (read(it, 0xA, "eax"), read(it, 0xA, "edx")) == (eax, edx)


@cases(("leaf", "output"), [(None, ""), (1, "eax"), (7, "eax")])
def test_the_rest_is_zero(leaf: int | None, output: str) -> None:
    assert read(rig(VmSpec("vm0")), leaf, output) == 0


def test_set_cpuid_shows() -> None:
    it = rig(VmSpec("vm0"))
    assert it.kvm(SetCpuid(VCPU, pmu=3, counters=2, pdcm=False)) == Done()
    assert (read(it, 1, "ecx"), read(it, 0xA, "eax")) == (0, 0x07_30_02_03)
