"""LVTPC of the guest's local APIC, and the PMIs that it lets through."""

from __future__ import annotations

import pytest

from contract.control import GetMsr, LoadVcpu, MachineSpec, ResetVcpu, SaveVcpu, SetMsr, VmSpec
from contract.errors import RefusedError
from contract.kernels import KERNELS
from contract.machine import Branch
from contract.results import VcpuSaved
from contract.trace import GuestPmi
from contract.x86 import (
    DEBUGCTL_FREEZE_LBRS_ON_PMI,
    DEBUGCTL_LBR,
    EVENTSEL_EN,
    EVENTSEL_INT,
    EVENTSEL_OS,
    EVENTSEL_USR,
    IA32_DEBUGCTL,
    LVT_MASKED,
    LVT_NMI,
    MSR_EVENTSEL,
    MSR_GLOBAL_CTRL,
    MSR_GLOBAL_OVF_CTRL,
    MSR_GLOBAL_STATUS,
    MSR_LBR_TOS,
    MSR_PMC,
    MSR_X2APIC_LVTPC,
)
from tests.cases import cases
from tests.designs import MERGED
from tests.kvm_svc.rig import VCPU, Rig

ON = 0xC4 | EVENTSEL_USR | EVENTSEL_OS | EVENTSEL_EN | EVENTSEL_INT
FREEZE = DEBUGCTL_LBR | DEBUGCTL_FREEZE_LBRS_ON_PMI
SINCE_V6_6 = ("v6.16", "v7.1")


def rig(kernel: str = "v5.12", *, apic: bool = True) -> Rig:
    return Rig(MERGED, machine=MachineSpec(kernel=kernel), vms=[VmSpec("vm0", pmu=2, apic=apic)])


def overflow(it: Rig) -> None:
    """Counter 0 overflows at the 16th branch; its status is cleared before."""
    assert it.wrmsr(MSR_GLOBAL_OVF_CTRL, 1)
    assert it.wrmsr(MSR_GLOBAL_CTRL, 1)
    assert it.wrmsr(MSR_PMC, -16 & 0xFFFF_FFFF)
    assert it.wrmsr(MSR_EVENTSEL, ON)
    it.guest(Branch(20))


def delivered(it: Rig) -> list[bool]:
    return [not pmi.masked for pmi in it.records(GuestPmi)]


@cases(
    ("value", "reads"),
    [
        (LVT_NMI, LVT_NMI),
        (LVT_NMI | LVT_MASKED, LVT_NMI | LVT_MASKED),
        (0xEF, 0xEF),
        (0xFFFF_FFFF, 0x107FF),
        (1 << 32, None),
    ],
)
def test_a_write_keeps_the_bits_of_lvtpc(value: int, reads: int | None) -> None:
    it = rig()
    assert it.wrmsr(MSR_X2APIC_LVTPC, value) == (reads is not None)
    assert it.rdmsr(MSR_X2APIC_LVTPC).value == (LVT_NMI if reads is None else reads)


def test_user_space_reads_and_writes_it() -> None:
    it = rig()
    assert it.kvm(SetMsr(VCPU, MSR_X2APIC_LVTPC, LVT_MASKED)).value == 1  # type: ignore[union-attr]
    assert it.kvm(GetMsr(VCPU, MSR_X2APIC_LVTPC)).value == LVT_MASKED  # type: ignore[union-attr]
    assert it.kvm(SetMsr(VCPU, MSR_X2APIC_LVTPC, 1 << 32)).value == 0  # type: ignore[union-attr]


def test_there_is_none_without_a_local_apic_in_the_kernel() -> None:
    it = rig(apic=False)
    assert it.rdmsr(MSR_X2APIC_LVTPC).fault
    assert not it.wrmsr(MSR_X2APIC_LVTPC, LVT_NMI)
    assert it.kvm(GetMsr(VCPU, MSR_X2APIC_LVTPC)).errno == "ENOENT"  # type: ignore[union-attr]


def test_a_masked_pmi_freezes_the_lbr_all_the_same() -> None:
    it = rig()
    assert it.wrmsr(MSR_X2APIC_LVTPC, LVT_NMI | LVT_MASKED)
    assert it.debugctl(FREEZE)
    overflow(it)
    assert [(pmi.frozen, pmi.masked) for pmi in it.records(GuestPmi)] == [(True, True)]
    assert it.rdmsr(IA32_DEBUGCTL).value == DEBUGCTL_FREEZE_LBRS_ON_PMI
    assert it.rdmsr(MSR_LBR_TOS).value == 16
    assert it.rdmsr(MSR_GLOBAL_STATUS).value == 1


@cases("kernel", KERNELS)
def test_an_accepted_pmi_masks_lvtpc_since_v6_6(kernel: str) -> None:
    it = rig(kernel)
    overflow(it)
    overflow(it)
    masks = kernel in SINCE_V6_6
    assert delivered(it) == [True, not masks]
    assert [pmi.masks_lvtpc for pmi in it.records(GuestPmi)] == [masks, False]
    assert it.rdmsr(MSR_X2APIC_LVTPC).value == (LVT_NMI | LVT_MASKED if masks else LVT_NMI)
    assert it.wrmsr(MSR_X2APIC_LVTPC, LVT_NMI)
    overflow(it)
    assert delivered(it)[-1]


def test_reset_masks_it() -> None:
    it = rig()
    it.kvm(ResetVcpu(VCPU))
    it.settle()
    assert it.rdmsr(MSR_X2APIC_LVTPC).value == LVT_MASKED
    overflow(it)
    assert delivered(it) == [False]


def saved(it: Rig) -> VcpuSaved:
    image = it.kvm(SaveVcpu(VCPU))
    assert isinstance(image, VcpuSaved)
    return image


def test_it_migrates() -> None:
    here, there = rig(), rig()
    assert here.wrmsr(MSR_X2APIC_LVTPC, LVT_MASKED | 0xEF)
    there.kvm(LoadVcpu(VCPU, saved(here).image))
    assert there.rdmsr(MSR_X2APIC_LVTPC).value == LVT_MASKED | 0xEF


def test_an_image_whose_lvtpc_no_guest_has_is_refused() -> None:
    here, there = rig(), rig()
    image = saved(here).image
    image.lvtpc = 1 << 12
    with pytest.raises(RefusedError, match="LVTPC 0x1000"):
        there.kvm(LoadVcpu(VCPU, image))
