"""Whether a guest has an LBR: PERF_CAPABILITIES, the guest's CPUID, and the bits of DEBUGCTL that follow from both.

``vmx_get_perf_capabilities`` (what KVM advertises), ``vmx_set_msr`` and ``kvm_set_msr_common`` (what user space may
set), ``intel_pmu_refresh`` (whether the guest's LBR has any registers), ``vmx_get_supported_debugctl``. Under v7 and v8
a KVM capability switches the LBR on and PERF_CAPABILITIES only reports it.

The value is kept for the whole VM: user space gives all vCPUs the same value.
"""

from __future__ import annotations

from contract.control import VmSpec
from contract.design import Enablement
from contract.trace import UserMsr
from contract.x86 import (
    DEBUGCTL_BUS_LOCK_DETECT,
    DEBUGCTL_FREEZE_LBRS_ON_PMI,
    DEBUGCTL_LBR,
    DEBUGCTL_RTM_DEBUG,
    IA32_PERF_CAPABILITIES,
    LBR_FMT_MASK,
    PERF_CAP_FULL_WIDTH_WRITES,
)
from kvm_svc.hypervisor.state import Hypervisor, Vm

LBR_DEBUGCTL = DEBUGCTL_LBR | DEBUGCTL_FREEZE_LBRS_ON_PMI


def advertised(hv: Hypervisor) -> int:
    """Every bit of PERF_CAPABILITIES that KVM supports here."""
    hidden = hv.machine.mediated or (hv.rules.call_stack_needed and not hv.model.call_stack)
    # fenced promises that the guest loses nothing, so it offers no LBR that it does not know.
    hidden = hidden or (hv.model.architectural and (hv.rules.legacy_lbr_only or hv.fenced))
    full_width = PERF_CAP_FULL_WIDTH_WRITES if hv.rules.pmu.full_width else 0
    return full_width | (0 if hidden else hv.model.lbr_fmt)


def create_vm(hv: Hypervisor, spec: VmSpec) -> Vm:
    """Create a VM; user space sets its PERF_CAPABILITIES as ``spec`` says. A value that KVM rejects is recorded and
    leaves the value with which the VM was created: everything KVM supports."""
    vm = Vm(spec, advertised(hv))
    if hv.design.enablement is Enablement.KVM_CAP:
        vm.capabilities = hv.model.lbr_fmt if spec.lbr and spec.model == "host" else 0
    refresh_lbr(hv, vm)
    if hv.design.enablement is Enablement.KVM_CAP:
        return vm
    wanted = hv.model.lbr_fmt if spec.lbr else 0
    if spec.pmu and (spec.pdcm or not hv.rules.pdcm_checked):
        wanted |= advertised(hv) & PERF_CAP_FULL_WIDTH_WRITES
    if not set_capabilities(hv, vm, wanted):
        hv.effects.add(UserMsr(spec.vcpu_names()[0], IA32_PERF_CAPABILITIES, vm.capabilities, False))
    return vm


def set_capabilities(hv: Hypervisor, vm: Vm, value: int) -> bool:
    """KVM_SET_MSRS of PERF_CAPABILITIES; False: rejected. v7 and v8 take none."""
    if hv.design.enablement is Enablement.KVM_CAP or not can_have(hv, vm, value):
        return False
    vm.capabilities = value
    _note_enabled(hv, vm)
    return True


def can_have(hv: Hypervisor, vm: Vm, value: int) -> bool:
    """Whether PERF_CAPABILITIES of this guest can be ``value``."""
    frozen = vm.has_run and not hv.rules.cpuid_after_run
    if frozen or hv.design.enablement is Enablement.KVM_CAP:
        return value == read_capabilities(hv, vm)
    supported = advertised(hv)
    lbr_fmt = value & LBR_FMT_MASK
    if lbr_fmt and (lbr_fmt != supported & LBR_FMT_MASK or vm.spec.model != "host"):
        return False
    if value & ~LBR_FMT_MASK & ~supported:
        return False
    has_pmu = vm.spec.pmu > 0 or not hv.rules.capabilities_need_pmu
    return not value or (has_pmu and (vm.spec.pdcm or not hv.rules.pdcm_checked))


def read_capabilities(hv: Hypervisor, vm: Vm) -> int:
    """KVM_GET_MSRS of PERF_CAPABILITIES."""
    return vm.capabilities if vm.spec.pdcm or not hv.rules.pdcm_checked else 0


def guest_capabilities(hv: Hypervisor, vm: Vm) -> int | None:
    """The guest's RDMSR; None is #GP. Its WRMSR is always #GP."""
    if not vm.spec.pdcm or (hv.design.enablement is Enablement.KVM_CAP and vm.spec.pmu < 2):
        return None
    return vm.capabilities


def refresh_lbr(hv: Hypervisor, vm: Vm) -> None:
    """The part of ``intel_pmu_refresh`` for the LBR. v7 and v8 have LBR MSRs and DEBUGCTL valid only for a PMU of
    version 2 or later (``intel_is_valid_msr``). As merged, a refresh without a PMU returned before it reached the LBR,
    which kept its state; since v6.4 it clears the records first (957d0f70e97b)."""
    as_cap = hv.design.enablement is Enablement.KVM_CAP
    if vm.spec.pmu >= (2 if as_cap else 1):
        vm.has_records = vm.spec.model == "host"
    elif as_cap or hv.rules.refresh_clears_lbr:
        vm.has_records = False
    _note_enabled(hv, vm)


def _note_enabled(hv: Hypervisor, vm: Vm) -> None:
    """``intel_pmu_lbr_is_enabled``"""
    vm.lbr_enabled = vm.has_records and bool(read_capabilities(hv, vm) & LBR_FMT_MASK)


def supported_debugctl(hv: Hypervisor, vm: Vm, *, by_user: bool = False) -> int:
    """DEBUGCTL bits that this guest, or user space for it, may set."""
    lenient = by_user and hv.rules.user_debugctl
    bits = 0
    if vm.lbr_enabled or (lenient and advertised(hv) & LBR_FMT_MASK):
        bits |= LBR_DEBUGCTL
    if hv.machine.bus_lock and hv.rules.bus_lock_debug and (lenient or vm.spec.bus_lock):
        bits |= DEBUGCTL_BUS_LOCK_DETECT
    if hv.machine.rtm and hv.rules.rtm_debug and (lenient or vm.spec.rtm):
        bits |= DEBUGCTL_RTM_DEBUG
    return bits
