"""The records that say why a vCPU's thread sleeps, and that it wakes."""

from __future__ import annotations

from contract.reasons import END_OF_IOCTL
from contract.trace import VcpuWait, VcpuWake
from kvm_svc.hypervisor.state import Hypervisor, Vcpu


def wake(hv: Hypervisor, vcpu: Vcpu) -> None:
    """One reason to sleep is over; the record after it names the next one, if there is one."""
    hv.effects.add(VcpuWake(vcpu.name))
    note_wait(hv, vcpu)


def note_wait(hv: Hypervisor, vcpu: Vcpu) -> None:
    """Put on record why the thread sleeps now, if it does."""
    if vcpu.waiting:
        hv.effects.add(VcpuWait(vcpu.name, vcpu.waits_for))
    elif vcpu.ioctl is not None:
        hv.effects.add(VcpuWait(vcpu.name, END_OF_IOCTL))
