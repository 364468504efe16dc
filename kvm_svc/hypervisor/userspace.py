"""KVM_SET_MSRS and KVM_GET_MSRS of LBR MSRs: the guest's own path, taken by the thread that makes the ioctl.

That thread is ``current``: it touches the hardware where it runs, and the event that the access creates is its own, so
that from any other thread than the vCPU's the guest's event hangs on the wrong task. The vCPU stays out of guest mode
meanwhile, as ``vcpu->mutex`` has it. Creating an event waits for the host: the ioctl is then called again.
"""

from __future__ import annotations

from collections.abc import Generator

from contract.control import Done, GetMsr, SetMsr
from contract.errors import RefusedError
from contract.machine import AnyReply, AnyRequest, Exit
from contract.trace import VcpuWait, VcpuWake
from contract.x86 import DEBUGCTL_LBR
from kvm_svc.hypervisor.lbr import ask_for_event, has_event, let_leases_end
from kvm_svc.hypervisor.migration import leave_guest_mode
from kvm_svc.hypervisor.msr import ThreadMovedError, lbr_msr_access
from kvm_svc.hypervisor.state import Handling, Hypervisor, Vcpu

IN_PROGRESS = Done(errno="EINPROGRESS")
"""The ioctl sleeps; the same command goes on with it."""


def current(vcpu: Vcpu, thread: str) -> str:
    """The thread that makes an ioctl; "" for the vCPU's own."""
    return "" if thread == vcpu.name else thread


def create_for_debugctl(hv: Hypervisor, vcpu: Vcpu, thread: str) -> None:
    """User space wrote the guest's DEBUGCTL: with LBR set it creates the event as the guest's write would, and does not
    look at the result (``vmx_set_msr``). The vCPU runs on when the host has answered."""
    wanted = vcpu.debugctl & DEBUGCTL_LBR and vcpu.vm.lbr_enabled and not vcpu.claim.shut_off
    if wanted and has_event(hv) and not (vcpu.lbr_desc.event or vcpu.waiting):
        ask_for_event(hv, vcpu, current(vcpu, thread), heeded=False)


def access_lbr_msr(hv: Hypervisor, vcpu: Vcpu, command: SetMsr | GetMsr) -> Generator[AnyRequest, AnyReply, Done]:
    """Raises RefusedError, with nothing changed, where the thread cannot do it now."""
    write = isinstance(command, SetMsr)
    thread = current(vcpu, command.thread)
    exit_ = Exit("msr-write" if write else "msr-read", [], vcpu.debugctl, command.msr, write)
    exit_.value = command.value if isinstance(command, SetMsr) else 0
    work = vcpu.ioctl or Handling(exit_, by_user=True, task=thread)
    if (work.exit.msr, work.exit.write, work.exit.value, work.task) != (command.msr, write, exit_.value, thread):
        raise RefusedError(f"{vcpu.name} is busy with another ioctl", "EAGAIN")
    if vcpu.waiting:
        raise RefusedError(f"{vcpu.name} waits for {vcpu.waits_for}", "EAGAIN")
    if vcpu.ops:
        raise RefusedError(f"{vcpu.name} is busy with guest code", "EAGAIN")
    if not thread and vcpu.cpu < 0:
        raise RefusedError(f"the thread of {vcpu.name} is not loaded on a CPU", "EAGAIN")
    asked = hv.log.clock
    let_leases_end(hv, vcpu)
    try:
        if vcpu.guest_mode:
            yield from leave_guest_mode(vcpu)
        value = yield from lbr_msr_access(hv, vcpu, work)
    except ThreadMovedError as error:
        if hv.log.clock == asked:
            raise RefusedError(str(error), "EAGAIN") from None
        if vcpu.ioctl is None:
            hv.log.add(VcpuWait(vcpu.name, "the end of an ioctl"))
        value = None
    if value is None:
        vcpu.ioctl = work
        return IN_PROGRESS
    if vcpu.ioctl is not None:
        vcpu.ioctl = None
        hv.log.add(VcpuWake(vcpu.name))
    if write:
        return Done(int(not value.fault))
    return Done(errno="ENOENT") if value.fault else Done(value.value)
