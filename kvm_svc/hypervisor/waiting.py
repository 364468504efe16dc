"""The records that say why a vCPU's thread sleeps, and when it wakes."""

from __future__ import annotations

from contract.reasons import END_OF_IOCTL
from contract.trace import VcpuWait, VcpuWake
from kvm_svc.hypervisor.state import Hypervisor, Vcpu


def wake(hv: Hypervisor, vcpu: Vcpu) -> None:
    """One reason to sleep is over. The next record names the next reason, if there is one."""
    hv.effects.add(VcpuWake(vcpu.name))
    note_wait(hv, vcpu)


def note_wait(hv: Hypervisor, vcpu: Vcpu) -> None:
    """Record why the thread sleeps now, if it does."""
    if vcpu.waiting:
        hv.effects.add(VcpuWait(vcpu.name, vcpu.waits_for))
    elif vcpu.ioctl is not None:
        hv.effects.add(VcpuWait(vcpu.name, END_OF_IOCTL))
