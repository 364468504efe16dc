"""Saving a vCPU here and loading it there."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contract.control import GetMsr, LoadVcpu, MachineSpec, Open, SaveVcpu, SetMsr, VcpuImage
from contract.design import Design
from contract.errors import RefusedError
from contract.machine import Branch, Cpuid, Nop
from contract.messages import CreateEvent, LbrImage
from contract.provenance import origin_of
from contract.results import Done, VcpuSaved
from contract.trace import LbrRestore, VcpuMoved
from contract.x86 import (
    IA32_DEBUGCTL,
    IA32_PERF_CAPABILITIES,
    MSR_EVENTSEL,
    MSR_FIXED_CTR_CTRL,
    MSR_GLOBAL_CTRL,
    MSR_LBR_TOS,
    MSR_PMC,
)
from tests.cases import cases
from tests.designs import DESIGNS, KVM_SWITCH, MERGED, REVOKE_GP, V8
from tests.kvm_svc.rig import FROM0, VCPU, Rig

DEPTH = 8


def saved(rig: Rig, *, lbr: bool) -> VcpuImage:
    result = rig.kvm(SaveVcpu(VCPU, lbr))
    assert isinstance(result, VcpuSaved)
    return result.image


def recorded(design: Design) -> Rig:
    rig = Rig(design)
    assert rig.debugctl(1)
    rig.guest(Branch(5), Cpuid())
    return rig


def there(design: Design, image: VcpuImage) -> Rig:
    """Another host: the vCPU is loaded, then its thread runs."""
    rig = Rig(design, place=False)
    assert rig.kvm(LoadVcpu(VCPU, image)) == Done()
    rig.settle()
    rig.place(VCPU)
    return rig


@cases("design", DESIGNS.values(), ids=lambda d: d.name)
def test_with_lbr_a_guest_reads_there_what_it_recorded_here(design: Design) -> None:
    here = recorded(design)
    before = [here.rdmsr(FROM0 + i).value for i in range(DEPTH)]
    tos = here.rdmsr(MSR_LBR_TOS).value
    far = there(design, saved(here, lbr=True))

    assert [far.rdmsr(FROM0 + i).value for i in range(DEPTH)] == before
    assert far.rdmsr(MSR_LBR_TOS).value == tos
    assert sum(origin_of(value) is not None for value in before) == 5
    assert len(far.records(LbrRestore)) >= 1


@cases("design", DESIGNS.values(), ids=lambda d: d.name)
def test_without_lbr_a_guest_finds_nothing_there(design: Design) -> None:
    image = saved(recorded(design), lbr=False)
    far = there(design, image)

    assert (image.debugctl, image.lbr) == (0, None)
    assert [far.rdmsr(FROM0 + i).value for i in range(DEPTH)] == [0] * DEPTH
    assert far.vcpu().debugctl == 0


def test_saving_leaves_the_vcpu_as_it_was() -> None:
    here = recorded(MERGED)
    here.guest(Nop())
    assert here.vcpu().guest_mode
    first, second = saved(here, lbr=True), saved(here, lbr=True)

    assert first == second
    assert not here.vcpu().guest_mode
    here.guest(Branch(1))
    assert [(r.action, r.debugctl, r.lbr) for r in here.records(VcpuMoved)] == [("saved", 1, True)] * 2


def test_a_guest_without_an_event_has_no_lbr_to_save() -> None:
    assert saved(Rig(MERGED), lbr=True).lbr is None


def test_what_is_on_the_cpu_of_another_is_not_saved() -> None:
    here = recorded(MERGED)
    here.host_event()
    here.core.hv.vcpus[VCPU].lbr_desc.event = 99

    assert saved(here, lbr=True).lbr is None


def test_a_thread_that_is_off_saves_nothing() -> None:
    with pytest.raises(RefusedError, match="not loaded on a CPU"):
        Rig(MERGED, place=False).kvm(SaveVcpu(VCPU, True))


def test_a_vcpu_in_the_middle_of_guest_code_is_busy() -> None:
    rig = Rig(MERGED)
    rig.step(Cpuid())
    with pytest.raises(RefusedError, match="busy"):
        rig.kvm(SaveVcpu(VCPU, True))


def test_an_lbr_that_arrived_can_be_carried_on_before_it_was_put_back() -> None:
    image = saved(recorded(REVOKE_GP), lbr=True)
    assert saved(there(REVOKE_GP, image), lbr=True).lbr == image.lbr


def test_an_lbr_that_the_host_there_keeps_for_itself_never_gets_into_the_ring() -> None:
    image = saved(recorded(REVOKE_GP), lbr=True)
    far = Rig(REVOKE_GP, place=False)
    far.host_event()
    far.kvm(LoadVcpu(VCPU, image))
    far.settle()
    far.place(VCPU)
    far.guest(Nop())

    assert far.records(LbrRestore) == []
    assert far.vcpu().saved.arrived is None
    assert [v.fault for v in (far.rdmsr(FROM0), far.rdmsr(FROM0 + 1))] == [True, True]


@cases("design", [V8, MERGED], ids=lambda d: d.name)
def test_an_lbr_that_arrived_is_not_written_over_a_live_hosts(design: Design) -> None:
    """KVM is told nothing in these designs: it looks at the event before it writes the ring."""
    image = saved(recorded(design), lbr=True)
    assert image.lbr is not None
    far = Rig(design, place=False)
    far.kvm(LoadVcpu(VCPU, image))
    far.settle()
    far.place(VCPU)
    far.perf(Open("x", 0, pinned=True, exclusive=True))
    far.host_event()
    far.guest(Nop())

    assert far.records(LbrRestore) == []
    assert far.vcpu().saved.arrived is not None


EMPTY = LbrImage(0, 0, [0] * DEPTH, [0] * DEPTH, [0] * DEPTH)
FMT = 0x2005


@cases(
    ("image", "why"),
    [
        (VcpuImage(1 << 6, FMT), "DEBUGCTL 0x40 has bits"),
        (VcpuImage(0, 0x2003), "PERF_CAPABILITIES 0x2003"),
        (VcpuImage(0, 1 << 20 | FMT), "PERF_CAPABILITIES"),
        (VcpuImage(0, 0x2000, EMPTY), "the image's LBR"),
        (VcpuImage(0, FMT, replace(EMPTY, tos=DEPTH)), "the image's LBR"),
        (VcpuImage(0, FMT, replace(EMPTY, from_ip=[0])), "the image's LBR"),
        (VcpuImage(0, FMT, replace(EMPTY, select=1 << 10)), "the image's LBR"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(image: VcpuImage, why: str) -> None:
    rig = Rig(MERGED, place=False)
    before = rig.vcpu()
    with pytest.raises(RefusedError, match=why):
        rig.kvm(LoadVcpu(VCPU, image))
    assert rig.vcpu() is before
    assert rig.records(VcpuMoved) == []


def test_a_vcpu_that_runs_is_not_overwritten() -> None:
    rig = recorded(KVM_SWITCH)
    rig.guest(Nop())
    with pytest.raises(RefusedError, match="runs here"):
        rig.kvm(LoadVcpu(VCPU, VcpuImage(0, rig.vcpu().vm.capabilities)))


def test_loading_without_an_lbr_asks_for_no_event() -> None:
    rig = there(MERGED, VcpuImage(0, FMT))
    assert rig.sent(CreateEvent) == 0


# The MSRs of the save list -------------------------------------------------------------------------------

ON = 0x5300C4


def counting(kernel: str) -> Rig:
    rig = Rig(MERGED, machine=MachineSpec(counters=2, fixed=1, kernel=kernel))
    for msr, value in ((MSR_GLOBAL_CTRL, 1), (MSR_PMC, 100), (MSR_EVENTSEL, ON), (MSR_FIXED_CTR_CTRL, 2)):
        assert rig.wrmsr(msr, value)
    rig.guest(Branch(20))
    return rig


COUNTERS = [0x309, 0x38D, 0x38E, 0x38F]
BANKS = [0xC1, 0xC2, 0x186, 0x187, IA32_PERF_CAPABILITIES]


@cases(
    ("kernel", "order"),
    [
        ("v5.3", []),
        ("v5.12", [*COUNTERS, 0x390, *BANKS]),
        ("v6.16", [*COUNTERS, *BANKS]),
        ("v7.1", [IA32_DEBUGCTL, *COUNTERS, *BANKS]),
    ],
)
def test_the_save_list_is_carried_in_its_order(kernel: str, order: list[int]) -> None:
    image = saved(counting(kernel), lbr=False)

    assert [entry.msr for entry in image.msrs] == order


@cases(("kernel", "reads"), [("v5.3", [0, 0, 3, 0]), ("v5.12", [125, ON, 1, 2]), ("v6.16", [125, ON, 1, 2])])
def test_the_counters_count_on_there(kernel: str, reads: list[int]) -> None:
    image = saved(counting(kernel), lbr=False)
    far = Rig(MERGED, machine=MachineSpec(counters=2, fixed=0 if kernel == "v5.3" else 1, kernel=kernel), place=False)
    assert far.kvm(LoadVcpu(VCPU, image)) == Done()
    far.place(VCPU)
    far.guest(Branch(5))

    assert [far.rdmsr(msr).value for msr in (MSR_PMC, MSR_EVENTSEL, MSR_GLOBAL_CTRL, MSR_FIXED_CTR_CTRL)] == reads


@cases(("kernel", "debugctl", "events"), [("v6.16", 0, 0), ("v7.1", 1, 1)])
def test_debugctl_is_carried_from_v7_1_on(kernel: str, debugctl: int, events: int) -> None:
    """The write of DEBUGCTL makes the event; the ring is empty."""
    here = Rig(MERGED, machine=MachineSpec(depth=8, kernel=kernel))
    here.debugctl(1)
    here.guest(Branch(5), Cpuid())
    far = Rig(MERGED, machine=MachineSpec(depth=8, kernel=kernel), place=False)
    assert far.kvm(LoadVcpu(VCPU, saved(here, lbr=False))) == Done()

    assert (far.vcpu().debugctl, far.sent(CreateEvent)) == (debugctl, events)
    far.settle()
    far.place(VCPU)
    assert [far.rdmsr(FROM0 + i).value for i in range(DEPTH)] == [0] * DEPTH


def test_a_register_that_is_rejected_there_keeps_the_vcpu_here() -> None:
    image = saved(counting("v6.16"), lbr=False)
    far = Rig(MERGED, machine=MachineSpec(counters=2, fixed=0, kernel="v6.16"), place=False)
    before = (far.vcpu(), far.vcpu().vm.capabilities)

    with pytest.raises(RefusedError, match="MSR 0x309 of the save list cannot be 0x0 here"):
        far.kvm(LoadVcpu(VCPU, image))
    assert far.vcpu() is before[0]
    assert far.vcpu().vm.capabilities == before[1]


# PERF_CAPABILITIES that changes refreshes the PMU --------------------------------------------------------


@cases(("kernel", "kept"), [("v5.12", True), ("v6.16", False)])
def test_another_perf_capabilities_resets_the_pmu(kernel: str, kept: bool) -> None:
    """v6.8 and later: counters, and the event that DEBUGCTL made; DEBUGCTL itself stays. No entry looks at it."""
    rig = Rig(MERGED, machine=MachineSpec(depth=8, kernel=kernel))
    for msr, value in ((MSR_PMC, 9), (MSR_GLOBAL_CTRL, 3), (IA32_DEBUGCTL, 1)):
        assert rig.kvm(SetMsr(VCPU, msr, value)) == Done(1)
    rig.settle()
    assert rig.vcpu().lbr_desc.event
    assert rig.kvm(SetMsr(VCPU, IA32_PERF_CAPABILITIES, FMT)) == Done(1)
    assert rig.kvm(GetMsr(VCPU, MSR_PMC)) == Done(9)

    assert rig.kvm(SetMsr(VCPU, IA32_PERF_CAPABILITIES, 5)) == Done(1)
    found = [rig.kvm(GetMsr(VCPU, msr)) for msr in (MSR_PMC, MSR_GLOBAL_CTRL)]
    assert found == ([Done(9), Done(3)] if kept else [Done(0), Done(0xF)])
    assert (rig.vcpu().debugctl, rig.vcpu().lbr_desc.event != 0) == (1, kept)
