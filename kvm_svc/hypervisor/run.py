"""One step of a vCPU's thread.

Theory of operation. A step goes from one point with interrupts on to the next: enter and run the guest until it exits
or its code is done; or handle one exit. The host may act between any two steps; the races of the contract occur there.
A step that has to wait for the host leaves the exit in ``Vcpu.handling``, and the next step continues with it.
(CreateEvent is a call in the kernel; here its answer is a message.)

A step is a generator only to talk to the silicon: it yields requests of the machine stream and receives the replies.
The generator ends with the step; all state is in ``Vcpu``.
"""

from __future__ import annotations

from collections.abc import Generator

from msgspec.structs import replace

from contract.errors import LocalContractError, RefusedError
from contract.machine import (
    EXIT_CPUID,
    EXIT_EXTERNAL_INTERRUPT,
    EXIT_HLT,
    EXIT_IO,
    EXIT_NMI,
    EXIT_RDPMC,
    AnyOp,
    AnyReply,
    AnyRequest,
    Branch,
    Continue,
    EntryRefused,
    Exit,
    GuestValue,
    MsrDone,
    NotRunning,
    Ran,
    ReadMsr,
)
from contract.results import Stepped
from contract.trace import UserExit, UserReturn
from contract.x86 import IA32_DEBUGCTL
from kvm_svc.hypervisor.counters import rdpmc, reprogram_counters
from kvm_svc.hypervisor.cpuid_leaves import read_cpuid
from kvm_svc.hypervisor.entry import entry_refused, note_check, prepare_entry
from kvm_svc.hypervisor.lbr import let_leases_end
from kvm_svc.hypervisor.migration import take_exit
from kvm_svc.hypervisor.msr import ThreadMovedError, intercepted_access
from kvm_svc.hypervisor.pmi import deliver_pmi, host_pmi_froze
from kvm_svc.hypervisor.state import Handling, Hypervisor, Vcpu

TAKEN_BY_HOST = (EXIT_EXTERNAL_INTERRUPT, EXIT_NMI)
"""Exits that the host has handled before KVM learns of them. The guest just continues."""
ENTRIES_AT_ONCE = 256
"""The most VM-entries of one step, if the host's interrupts end guest mode again and again."""


def step(hv: Hypervisor, vcpu: Vcpu, ops: list[AnyOp]) -> Generator[AnyRequest, AnyReply, Stepped]:
    """Raises RefusedError, with nothing changed, if the thread cannot step now."""
    if ops and vcpu.ops:
        raise RefusedError(f"{vcpu.name} is busy with earlier guest code", "EBUSY")
    if not ops and not vcpu.ops:
        raise RefusedError(f"{vcpu.name} has no guest code to run")
    if vcpu.cpu < 0:
        raise RefusedError(f"the thread of {vcpu.name} is not loaded on a CPU", "EAGAIN")
    if vcpu.waiting:
        raise RefusedError(f"{vcpu.name} waits for {vcpu.waits_for}", "EAGAIN")
    if vcpu.ioctl is not None:
        raise RefusedError(f"{vcpu.name} waits for the end of an ioctl", "EAGAIN")
    if ops:
        vcpu.ops, vcpu.values = ops, []
    let_leases_end(hv, vcpu)
    try:
        if vcpu.handling is not None:
            yield from _handle_exit(hv, vcpu, vcpu.handling)
        else:
            yield from _run_guest(hv, vcpu)
    except ThreadMovedError as error:
        if hv.effects.touched:
            return Stepped(False)
        if ops:
            vcpu.ops = []
        raise RefusedError(str(error), "EAGAIN") from None
    values = vcpu.values
    if len(values) < len(vcpu.ops) and not (values and values[-1].fault):
        return Stepped(False)
    vcpu.ops, vcpu.values = [], []
    return Stepped(True, values)


def _run_guest(hv: Hypervisor, vcpu: Vcpu) -> Generator[AnyRequest, AnyReply, None]:
    for _ in range(ENTRIES_AT_ONCE):
        ops = vcpu.ops[len(vcpu.values) :]
        reply: AnyReply
        if vcpu.guest_mode:
            reply = yield Continue(vcpu.name, vcpu.cpu, ops, vcpu.kick)
        else:
            if (yield from reprogram_counters(hv, vcpu)):
                return
            deliver_pmi(hv, vcpu)
            enter = yield from prepare_entry(hv, vcpu, ops)
            if enter is None:
                return
            reply = yield enter
            if isinstance(reply, (Ran, Exit)):
                vcpu.kick = False
                note_check(hv, vcpu, enter.controls.check, reply.event_active)
        match reply:
            case Ran():
                vcpu.guest_mode = vcpu.vm.has_run = True
                vcpu.values += reply.values
                return
            case Exit():
                vcpu.guest_mode, vcpu.vm.has_run = False, True
                take_exit(vcpu, reply)
                if reply.frozen:
                    host_pmi_froze(hv, vcpu, reply)
                vcpu.values += reply.values
                if reply.reason not in TAKEN_BY_HOST:
                    vcpu.handling = Handling(reply)
                    return
                if reply.partial:
                    _cut(vcpu, reply.partial)
                    if reply.reason == EXIT_NMI and vcpu.pmu.counting:
                        return
                elif len(vcpu.values) == len(vcpu.ops):
                    return
            case NotRunning():
                raise ThreadMovedError(reply.reason)
            case EntryRefused(checked=True):
                entry_refused(hv, vcpu)
                return
            case EntryRefused():
                raise LocalContractError(f"{vcpu.name}: VM-entry refused: {reply.reason}")
            case _:
                raise LocalContractError(f"{vcpu.name}: the silicon answered an entry with {type(reply).__name__}")


def _cut(vcpu: Vcpu, done: int) -> None:
    """The first ``done`` branches of the unfinished op have retired."""
    at = len(vcpu.values)
    op = vcpu.ops[at]
    assert isinstance(op, Branch)
    vcpu.ops = [*vcpu.ops[:at], replace(op, count=op.count - done), *vcpu.ops[at + 1 :]]


def _handle_exit(hv: Hypervisor, vcpu: Vcpu, work: Handling) -> Generator[AnyRequest, AnyReply, None]:
    value: GuestValue | None = GuestValue()
    if work.exit.reason == EXIT_IO:
        value = yield from _user_space(hv, vcpu, work)
    elif work.exit.reason == EXIT_RDPMC:
        counted = yield from rdpmc(hv, vcpu, work.exit.value)
        value = GuestValue(counted or 0, fault=counted is None)
    elif work.exit.reason == EXIT_CPUID:
        value = GuestValue(read_cpuid(hv, vcpu.vm, vcpu.ops[len(vcpu.values)]))
    elif work.exit.reason != EXIT_HLT:
        value = yield from intercepted_access(hv, vcpu, work)
    if value is not None:
        vcpu.values.append(value)
        vcpu.handling = None


def _user_space(hv: Hypervisor, vcpu: Vcpu, work: Handling) -> Generator[AnyRequest, AnyReply, GuestValue | None]:
    """KVM_RUN returns, and a later step calls it again. No preempt notifier runs, but ``vcpu_load`` saves the host's
    DEBUGCTL again."""
    if not work.accessed:
        work.accessed = True
        hv.effects.add(UserExit(vcpu.name, vcpu.cpu, work.exit.reason))
        return None
    if hv.remembers_at_load:
        reply = yield ReadMsr(vcpu.name, vcpu.cpu, IA32_DEBUGCTL)
        if isinstance(reply, NotRunning):
            raise ThreadMovedError(reply.reason)
        assert isinstance(reply, MsrDone)
        vcpu.host_debugctl = reply.value
    hv.effects.add(UserReturn(vcpu.name, vcpu.cpu))
    return GuestValue()
