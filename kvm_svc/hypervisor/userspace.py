"""KVM_SET_MSRS and KVM_GET_MSRS: a list of registers, one after the other, up to the first that KVM rejects.

They reach every MSR that KVM emulates. LBR MSRs, and under v7 and v8 DEBUGCTL, take the guest's own path, in the thread
that makes the ioctl. That thread is ``current``: it accesses the hardware where it runs, and the event that the access
creates belongs to it. So an ioctl from another thread than the vCPU's attaches the guest's event to the wrong task. The
vCPU stays out of guest mode meanwhile, because of ``vcpu->mutex``. The creation of an event waits for the host; the
ioctl is then called again, and continues where it was (``Vcpu.ioctl``).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from contract.control import MSRS_LIMIT, GetMsr, GetMsrs, MsrIoctl, SetMsr, SetMsrs
from contract.design import OtherThreads
from contract.errors import RefusedError
from contract.machine import EXIT_MSR_READ, EXIT_MSR_WRITE, AnyReply, AnyRequest, Exit
from contract.reasons import END_OF_IOCTL
from contract.results import IN_PROGRESS, AnyResult, Done, MsrsRead
from contract.trace import UserMsr, VcpuWait
from contract.x86 import DEBUGCTL_LBR, IA32_DEBUGCTL, IA32_PERF_CAPABILITIES, MSR_X2APIC_LVTPC
from kvm_svc.hypervisor.capabilities import read_capabilities
from kvm_svc.hypervisor.counters import counter_access, pmu_msr, reprogram_at_once, switches_counters
from kvm_svc.hypervisor.lapic import lvtpc_access
from kvm_svc.hypervisor.lbr import ask_for_event, has_event, let_leases_end
from kvm_svc.hypervisor.lbr_msrs import is_guest_lbr_msr
from kvm_svc.hypervisor.migration import leave_guest_mode, put_arrived
from kvm_svc.hypervisor.msr import (
    ThreadMovedError,
    debugctl_masked,
    has_debugctl,
    lbr_msr_access,
    masks_debugctl,
    user_debugctl,
)
from kvm_svc.hypervisor.pmu_refresh import refreshes, vcpus_of, write_capabilities
from kvm_svc.hypervisor.state import Handling, Hypervisor, Ioctl, Vcpu
from kvm_svc.hypervisor.waiting import wake


class _AsleepError(Exception):
    """The ioctl waits for the host."""


Entry = tuple[int, int | None]
"""A register and the value to write, None to read."""
Exchange = Generator[AnyRequest, AnyReply, int | None]


def msr_ioctl(hv: Hypervisor, vcpu: Vcpu, command: MsrIoctl) -> Generator[AnyRequest, AnyReply, AnyResult]:
    """Raises RefusedError, with nothing changed, if another ioctl is in progress or the thread cannot do it now."""
    entries = _entries(command)
    if len(entries) >= MSRS_LIMIT:
        return Done(errno="E2BIG") if isinstance(command, SetMsrs) else MsrsRead(errno="E2BIG")
    if vcpu.ioctl is not None and vcpu.ioctl.command != command:
        raise RefusedError(f"{vcpu.name} is busy with another ioctl", "EAGAIN")
    ioctl = vcpu.ioctl or Ioctl(command)
    thread = current(vcpu, command.thread)
    _check_thread(hv, vcpu, thread, entries[len(ioctl.values) :])
    for entry in entries[len(ioctl.values) :]:
        try:
            value = yield from _access(hv, vcpu, ioctl, thread, entry)
        except _AsleepError:
            if vcpu.ioctl is None and not vcpu.waiting:
                hv.effects.add(VcpuWait(vcpu.name, END_OF_IOCTL))
            vcpu.ioctl = ioctl
            return IN_PROGRESS
        if value is None:
            break
        ioctl.values.append(value)
    if vcpu.ioctl is not None:
        vcpu.ioctl = None
        wake(hv, vcpu)
    return _result(command, ioctl.values)


def _entries(command: MsrIoctl) -> list[Entry]:
    match command:
        case SetMsr(msr=msr, value=value):
            return [(msr, value)]
        case GetMsr(msr=msr):
            return [(msr, None)]
        case SetMsrs(entries=entries):
            return [(entry.msr, entry.value) for entry in entries]
        case GetMsrs(msrs=msrs):
            return [(msr, None) for msr in msrs]


def _result(command: MsrIoctl, values: list[int]) -> AnyResult:
    match command:
        case GetMsr():
            return Done(values[0]) if values else Done(errno="ENOENT")
        case GetMsrs():
            return MsrsRead(values)
        case _:
            return Done(len(values))


def current(vcpu: Vcpu, thread: str) -> str:
    """The thread that makes an ioctl; "" for the vCPU's own."""
    return "" if thread == vcpu.name else thread


def _is_lbr_msr(hv: Hypervisor, vcpu: Vcpu, thread: str, msr: int) -> bool:
    foreign = thread and hv.design.other_threads is OtherThreads.REJECTED
    if msr == IA32_DEBUGCTL:
        return not foreign and masks_debugctl(hv) and has_debugctl(hv, vcpu.vm)
    return not foreign and is_guest_lbr_msr(hv, vcpu.vm, msr)


def _check_thread(hv: Hypervisor, vcpu: Vcpu, thread: str, entries: Sequence[Entry]) -> None:
    """Raises RefusedError if a register of the LBR is named and the thread cannot access it now."""
    if not any(_is_lbr_msr(hv, vcpu, thread, msr) for msr, _ in entries):
        return
    if vcpu.waiting:
        raise RefusedError(f"{vcpu.name} waits for {vcpu.waits_for}", "EAGAIN")
    if vcpu.ops:
        raise RefusedError(f"{vcpu.name} is busy with guest code", "EAGAIN")
    if not thread and vcpu.cpu < 0:
        raise RefusedError(f"the thread of {vcpu.name} is not loaded on a CPU", "EAGAIN")


def _access(hv: Hypervisor, vcpu: Vcpu, ioctl: Ioctl, thread: str, entry: Entry) -> Exchange:
    """The value read, or 0 if it was set; None: rejected."""
    msr, value = entry
    if _is_lbr_msr(hv, vcpu, thread, msr):
        return (yield from _lbr_msr(hv, vcpu, ioctl, thread, entry))
    if msr == IA32_DEBUGCTL and not masks_debugctl(hv):
        got = vcpu.debugctl if value is None else _set_debugctl(hv, vcpu, thread, value)
    elif msr == IA32_PERF_CAPABILITIES:
        got = read_capabilities(hv, vcpu.vm)
        if value is not None:
            if refreshes(hv, vcpu.vm, value) and any(each.waiting for each in vcpus_of(hv, vcpu.vm)):
                raise _AsleepError
            got = value if write_capabilities(hv, vcpu.vm, value) else None
    elif (row := pmu_msr(hv, vcpu.vm, msr)) is not None:
        at_once = value is not None and switches_counters(row) and hv.rules.pmu.reprograms_at_once
        if at_once and vcpu.waiting:
            raise _AsleepError
        got = yield from counter_access(hv, vcpu, row, value, by_user=True)
        vcpu.kick = vcpu.kick or (vcpu.guest_mode and vcpu.pmu.requested)
        if at_once and got is not None:
            yield from reprogram_at_once(hv, vcpu, thread)
    elif msr == MSR_X2APIC_LVTPC:
        got = lvtpc_access(vcpu, value)
    else:
        got = None
    shown = got if got is not None else _shown(vcpu, msr, value)
    hv.effects.add(UserMsr(vcpu.name, msr, shown, got is not None, value is None, thread))
    return got if got is None or value is None else 0


def _shown(vcpu: Vcpu, msr: int, value: int | None) -> int:
    """The value in the record of a rejected access: the unchanged DEBUGCTL, else the value that was to be written."""
    return vcpu.debugctl if msr == IA32_DEBUGCTL else value or 0


def _set_debugctl(hv: Hypervisor, vcpu: Vcpu, thread: str, value: int) -> int | None:
    kept = user_debugctl(hv, vcpu.vm, value)
    if kept is not None:
        vcpu.debugctl, vcpu.kick = kept, vcpu.guest_mode
        create_for_debugctl(hv, vcpu, thread)
    return kept


def create_for_debugctl(hv: Hypervisor, vcpu: Vcpu, thread: str) -> None:
    """User space wrote the guest's DEBUGCTL. With LBR set this creates the event, as the guest's write would, and
    ignores the result (``vmx_set_msr``). The vCPU continues when the host has answered."""
    wanted = vcpu.debugctl & DEBUGCTL_LBR and vcpu.vm.lbr_enabled and not vcpu.claim.shut_off
    if wanted and has_event(hv) and not (vcpu.lbr_desc.event or vcpu.waiting):
        ask_for_event(hv, vcpu, current(vcpu, thread), for_access=False)


def _lbr_msr(hv: Hypervisor, vcpu: Vcpu, ioctl: Ioctl, thread: str, entry: Entry) -> Exchange:
    """Raises RefusedError, with nothing changed, if the thread is not on the CPU that KVM believes."""
    if vcpu.waiting:  # for a request of an earlier register of the list
        raise _AsleepError
    msr, value = entry
    write = value is not None
    exit_ = Exit(EXIT_MSR_WRITE if write else EXIT_MSR_READ, [], vcpu.debugctl, msr, write)
    exit_.value = value or 0
    work = ioctl.handling or Handling(exit_, by_user=True, task=thread)
    let_leases_end(hv, vcpu)
    try:
        if vcpu.guest_mode:
            yield from leave_guest_mode(vcpu)
        if vcpu.lbr_desc.event and not thread:
            yield from put_arrived(hv, vcpu)
        got = yield from (debugctl_masked if msr == IA32_DEBUGCTL else lbr_msr_access)(hv, vcpu, work)
    except ThreadMovedError as error:
        if not hv.effects.touched and not ioctl.values:
            raise RefusedError(str(error), "EAGAIN") from None
        got = None
    ioctl.handling = work if got is None else None
    if got is None:
        raise _AsleepError
    return None if got.fault else got.value
