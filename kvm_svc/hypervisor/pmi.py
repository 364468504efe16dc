"""The guest's PMI, and its effect on the guest's LBR (``kvm_pmu_deliver_pmi``, ``intel_pmu_deliver_pmi``)."""

from __future__ import annotations

from contract.machine import Exit
from contract.trace import GuestPmi
from contract.x86 import DEBUGCTL_FREEZE_LBRS_ON_PMI, DEBUGCTL_LBR
from kvm_svc.hypervisor.lapic import accepts_pmi
from kvm_svc.hypervisor.state import Hypervisor, Vcpu


def deliver_pmi(hv: Hypervisor, vcpu: Vcpu) -> None:
    """Deliver the PMI before the VM-entry that injects it.

    A guest with PMU version 2 or 3 has legacy freeze: KVM clears its DEBUGCTL.LBR here, at delivery and not at the
    overflow, so branches between the two are recorded. Streamlined freeze (version 4) is not emulated. If the hardware
    has already cleared DEBUGCTL.LBR at the overflow, the guest finds the state that it expects. Without a local APIC in
    the kernel KVM does nothing: no PMI, and no freeze (``lapic_in_kernel``); but PERF_GLOBAL_STATUS is set.
    The freeze comes before the check of LVTPC: a guest that masks it gets no PMI, but its LBR stops. One request stands
    for all overflows since the last entry."""
    if not vcpu.pmu.pmi:
        return
    vcpu.pmu.pmi = False
    if not vcpu.vm.spec.apic:
        return
    asked = vcpu.debugctl & DEBUGCTL_FREEZE_LBRS_ON_PMI != 0
    was_on = vcpu.debugctl & DEBUGCTL_LBR != 0 or vcpu.pmu.hardware_froze
    frozen = vcpu.vm.lbr_enabled and vcpu.vm.spec.pmu in (2, 3) and asked and was_on
    vcpu.pmu.hardware_froze = False
    if frozen:
        vcpu.debugctl &= ~DEBUGCTL_LBR
    masked = not accepts_pmi(hv, vcpu)
    masks = not masked and hv.rules.pmi_masks_lvtpc
    hv.effects.add(GuestPmi(vcpu.name, vcpu.cpu, vcpu.pmu.global_status, frozen, masked, masks))


def host_pmi_froze(hv: Hypervisor, vcpu: Vcpu, exit_: Exit) -> None:
    """A counter of the host overflowed in guest mode, and the silicon cleared the guest's DEBUGCTL.LBR before the exit
    saved it. The guest gets the VMCS value, because no kernel checks for this. fenced sets the bit again, because the
    guest has not asked for a freeze by a counter that it cannot see. A PMI of the guest's own counter is delivered
    later, with its freeze."""
    vcpu.debugctl = exit_.debugctl
    if hv.fenced:
        vcpu.debugctl |= DEBUGCTL_LBR
    else:
        vcpu.pmu.hardware_froze = True
