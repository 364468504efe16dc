"""The MSRs that KVM treats as a guest's LBR MSRs while it intercepts them."""

from __future__ import annotations

from contract.x86 import is_lbr_msr
from kvm_svc.hypervisor.state import Hypervisor, Vm


def is_guest_lbr_msr(hv: Hypervisor, vm: Vm, msr: int) -> bool:
    """``intel_pmu_is_valid_lbr_msr``: none while the guest has no LBR. v7 and v8 test whether the index is both at
    least and below the first INFO register, and so never recognise an INFO register."""
    if not vm.lbr_enabled or not is_lbr_msr(hv.model, msr):
        return False
    return hv.design.info_known or not hv.model.info_base <= msr < hv.model.info_base + hv.model.depth
