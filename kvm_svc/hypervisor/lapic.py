"""The one register of a guest's local APIC that the PMU needs: LVTPC, as x2APIC shows it (MSR 0x834).

``kvm_x2apic_msr_read``, ``kvm_x2apic_msr_write``, ``kvm_apic_local_deliver``. A guest begins a run with LVTPC set up by
its kernel: NMI, not masked. After a RESET it is masked.
"""

from __future__ import annotations

from contract.x86 import LVT_DELIVERY_MODE, LVT_MASKED, LVT_VECTOR
from kvm_svc.hypervisor.state import Hypervisor, Vcpu

WRITABLE = LVT_MASKED | LVT_DELIVERY_MODE | LVT_VECTOR
"""``apic_lvt_mask`` of LVTPC: other bits of the low half stay 0."""


def lvtpc_access(vcpu: Vcpu, value: int | None) -> int | None:
    """The register after a write of ``value``, or after a read (None). The result None means #GP, or rejected for user
    space: there is no local APIC in the kernel, or the value has more than 32 bits."""
    if not vcpu.vm.spec.apic or (value is not None and value >> 32):
        return None
    if value is not None:
        vcpu.lvtpc = value & WRITABLE
    return vcpu.lvtpc


def accepts_pmi(hv: Hypervisor, vcpu: Vcpu) -> bool:
    """Deliver the performance interrupt to the local APIC. True if the guest gets it. Since v6.6 an accepted one masks
    LVTPC, and the guest's handler has to unmask it (a16eb25b09c0)."""
    if vcpu.lvtpc & LVT_MASKED:
        return False
    if hv.rules.pmi_masks_lvtpc:
        vcpu.lvtpc |= LVT_MASKED
    return True
