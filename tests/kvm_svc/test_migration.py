"""Saving a vCPU here and loading it there."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contract.control import Done, LoadVcpu, SaveVcpu, VcpuImage, VcpuSaved
from contract.design import Design
from contract.errors import RefusedError
from contract.machine import Branch, Cpuid, Nop
from contract.messages import CreateEvent, LbrImage
from contract.provenance import origin_of
from contract.trace import LbrRestore, VcpuMoved
from contract.x86 import MSR_LBR_TOS
from tests.designs import DESIGNS, KVM_SWITCH, MERGED, REVOKE_GP
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


@pytest.mark.parametrize("design", DESIGNS.values(), ids=lambda d: d.name)
def test_with_lbr_a_guest_reads_there_what_it_recorded_here(design: Design) -> None:
    here = recorded(design)
    before = [here.rdmsr(FROM0 + i).value for i in range(DEPTH)]
    tos = here.rdmsr(MSR_LBR_TOS).value
    far = there(design, saved(here, lbr=True))

    assert [far.rdmsr(FROM0 + i).value for i in range(DEPTH)] == before
    assert far.rdmsr(MSR_LBR_TOS).value == tos
    assert sum(origin_of(value) is not None for value in before) == 5
    assert len(far.records(LbrRestore)) >= 1


@pytest.mark.parametrize("design", DESIGNS.values(), ids=lambda d: d.name)
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
    assert [(r.what, r.debugctl, r.lbr) for r in here.records(VcpuMoved)] == [("saved", 1, True)] * 2


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


EMPTY = LbrImage(0, 0, [0] * DEPTH, [0] * DEPTH, [0] * DEPTH)
FMT = 0x2005


@pytest.mark.parametrize(
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
