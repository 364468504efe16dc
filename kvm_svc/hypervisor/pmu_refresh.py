"""Reset of a guest's PMU, and its setup from CPUID and PERF_CAPABILITIES (``kvm_pmu_reset``, ``kvm_pmu_refresh``)."""

from __future__ import annotations

from kvm_svc.hypervisor.capabilities import read_capabilities, refresh_lbr, set_capabilities
from kvm_svc.hypervisor.counters import new_pmu, release_counters
from kvm_svc.hypervisor.guest_pmu import GuestPmu
from kvm_svc.hypervisor.lbr import drop_grant, forbids_unbacked_use, release_event, turn_off
from kvm_svc.hypervisor.state import Hypervisor, Vcpu, Vm


def reset_pmu(hv: Hypervisor, vcpu: Vcpu, why: str) -> None:
    """The counters are 0 and off; their host events and the guest's LBR event are released. DEBUGCTL stays."""
    if hv.design.grants:
        drop_grant(hv, vcpu, why)
    release_event(hv, vcpu, why)
    release_counters(hv, vcpu)
    vcpu.pmu = GuestPmu()


def refresh_pmu(hv: Hypervisor, vcpu: Vcpu) -> None:
    """PERF_GLOBAL_CTRL gets its value of a new vCPU. Since v6.8 everything else is reset too."""
    if hv.rules.pmu.refresh_resets:
        reset_pmu(hv, vcpu, "the PMU is refreshed")
    vcpu.pmu.global_ctrl = new_pmu(hv, vcpu.vm).global_ctrl


def refreshes(hv: Hypervisor, vm: Vm, value: int) -> bool:
    """Whether a write of this value to PERF_CAPABILITIES refreshes the PMU: since v6.8 only a different value does."""
    return hv.rules.pmu.refresh_resets and value != read_capabilities(hv, vm)


def write_capabilities(hv: Hypervisor, vm: Vm, value: int) -> bool:
    """KVM_SET_MSRS of PERF_CAPABILITIES; False: rejected."""
    refreshed, had_lbr = refreshes(hv, vm, value), vm.lbr_enabled
    if not set_capabilities(hv, vm, value):
        return False
    if refreshed:
        for vcpu in vcpus_of(hv, vm):
            refresh_pmu(hv, vcpu)
    if had_lbr:
        take_from_lbrless(hv, vm)
    return True


def refresh_cpuid(hv: Hypervisor, vm: Vm) -> None:
    """``kvm_vcpu_after_set_cpuid``"""
    had_lbr = vm.lbr_enabled
    refresh_lbr(hv, vm)
    for vcpu in vcpus_of(hv, vm):
        refresh_pmu(hv, vcpu)
    if had_lbr:
        take_from_lbrless(hv, vm)


def take_from_lbrless(hv: Hypervisor, vm: Vm) -> None:
    """A guest that had an LBR and no longer has one loses its event, in designs that let no LBR run without a right to
    it. As merged, its event, its passthrough and its DEBUGCTL stay."""
    if vm.lbr_enabled or not forbids_unbacked_use(hv):
        return
    why = "the guest has no LBR any more"
    for vcpu in vcpus_of(hv, vm):
        if hv.design.grants:
            drop_grant(hv, vcpu, why)
        release_event(hv, vcpu, why)
        turn_off(vcpu)


def vcpus_of(hv: Hypervisor, vm: Vm) -> list[Vcpu]:
    return [vcpu for vcpu in hv.vcpus.values() if vcpu.vm is vm]
