"""The guest's PMI, and what it does to the guest's LBR (``kvm_pmu_deliver_pmi``, ``intel_pmu_deliver_pmi``)."""

from __future__ import annotations

from contract.trace import GuestPmi
from contract.x86 import DEBUGCTL_FREEZE_LBRS_ON_PMI, DEBUGCTL_LBR
from kvm_svc.hypervisor.state import Hypervisor, Vcpu


def deliver_pmi(hv: Hypervisor, vcpu: Vcpu) -> None:
    """Before the VM-entry that injects it. A guest with PMU version 2 or 3 has legacy freeze: its DEBUGCTL.LBR goes out
    here, at delivery and not at the overflow, so that branches between the two are recorded. Streamlined freeze
    (version 4) is not emulated. The local APIC is in the kernel and takes the interrupt."""
    if not vcpu.pmu.pmi:
        return
    vcpu.pmu.pmi = False
    both = DEBUGCTL_LBR | DEBUGCTL_FREEZE_LBRS_ON_PMI
    frozen = vcpu.vm.lbr_enabled and vcpu.vm.spec.pmu in (2, 3) and vcpu.debugctl & both == both
    if frozen:
        vcpu.debugctl &= ~DEBUGCTL_LBR
    hv.log.add(GuestPmi(vcpu.name, vcpu.cpu, vcpu.pmu.global_status, frozen))
