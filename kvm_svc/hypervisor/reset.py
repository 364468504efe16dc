"""A vCPU is reset (``kvm_vcpu_reset``, ``vmx_vcpu_reset``, ``intel_pmu_reset``)."""

from __future__ import annotations

from collections.abc import Generator

from contract.errors import RefusedError
from contract.machine import AnyReply, AnyRequest
from contract.trace import VcpuReset
from contract.x86 import LVT_MASKED
from kvm_svc.hypervisor.claim import ClaimInput
from kvm_svc.hypervisor.lbr import move_claim
from kvm_svc.hypervisor.migration import leave_guest_mode
from kvm_svc.hypervisor.msr import ThreadMovedError
from kvm_svc.hypervisor.pmu_refresh import reset_pmu
from kvm_svc.hypervisor.state import Hypervisor, Vcpu


def reset_vcpu(hv: Hypervisor, vcpu: Vcpu) -> Generator[AnyRequest, AnyReply, None]:
    """The event is released, and LVTPC is masked. Passthrough of the LBR MSRs does not change; designs that check it
    correct it at the next entry. No LBR register is written. Raises RefusedError, with nothing changed, if the vCPU is
    busy."""
    if vcpu.waiting or vcpu.ops or vcpu.ioctl is not None:
        raise RefusedError(f"{vcpu.name} is busy", "EBUSY")
    if vcpu.guest_mode:
        try:
            yield from leave_guest_mode(vcpu)
        except ThreadMovedError as error:
            raise RefusedError(str(error), "EAGAIN") from None
    hv.effects.add(VcpuReset(vcpu.name))
    reset_pmu(hv, vcpu, "reset")
    vcpu.lvtpc = LVT_MASKED
    vcpu.debugctl = 0
    move_claim(hv, vcpu, ClaimInput.RESET)
