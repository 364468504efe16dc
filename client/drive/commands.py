"""Litmus statements as commands to the services and as guest code."""

from __future__ import annotations

from collections.abc import Mapping

from client.drive.values import Value
from client.litmus import ast as a
from client.litmus.arithmetic import evaluate
from client.litmus.msr import MAX_MSR, address
from contract.control import (
    Advance,
    AnyKvmCommand,
    AnyPerfCommand,
    Close,
    Disable,
    Enable,
    GetMsr,
    GetMsrs,
    Mediate,
    MsrEntry,
    Open,
    Read,
    ResetVcpu,
    Retire,
    RunTask,
    Sample,
    SetCpuid,
    SetMsr,
    SetMsrs,
    SetMuxInterval,
    StopLbr,
)
from contract.machine import AnyOp, Branch, Cpuid, Hlt, Nop, Out, Rdmsr, Rdpmc, Wrmsr
from contract.x86 import MSR_LBR_TOS, LbrModel, is_lbr_msr

_EVENT_OPS: dict[str, type[Enable | Disable]] = {"enable": Enable, "disable": Disable}


class EventNames:
    """The perf core's name for the event of a register: the newest that its actor has opened into it.

    The usual single host's events have the names of their registers, those of other hosts the actor's in front. From
    the second open into the same register on, a loop's, the name ends in the number of the open: ``h0#2``."""

    __slots__ = ("_opens",)

    def __init__(self) -> None:
        self._opens: dict[tuple[str, str], int] = {}

    def open(self, actor: str, register: str) -> None:
        """One more open into ``register`` begins."""
        self._opens[actor, register] = self._opens.get((actor, register), 0) + 1

    def of(self, actor: str, register: str) -> str:
        name = register if actor == "host" else f"{actor}:{register}"
        nth = self._opens.get((actor, register), 1)
        return name if nth == 1 else f"{name}#{nth}"


def cpu_of(command: AnyPerfCommand) -> int:
    """The CPU that a command is for; -1: none in particular."""
    return command.cpu if isinstance(command, RunTask | Open | Retire | SetMuxInterval) else -1


def host_command(stmt: a.AnyStmt, actor: str, events: EventNames) -> AnyPerfCommand | None:
    """The perf core's command for a host statement; None for any other."""
    match stmt:
        case a.RunOn(task=task, cpu=cpu):
            return RunTask(task, cpu)
        case a.OpenEvent():
            return Open(
                events.of(actor, stmt.register),
                cpu=stmt.cpu,
                task=stmt.task,
                pinned=stmt.pinned,
                branch=list(stmt.branch),
                privilege=list(stmt.privilege),
                disabled=stmt.disabled,
                group=events.of(actor, stmt.group) if stmt.group else "",
                exclusive=stmt.exclusive,
                config=stmt.config,
                exclude_guest=stmt.exclude_guest,
                period=stmt.period,
                exclude_host=stmt.exclude_host,
                exclude_user=stmt.exclude_user,
                exclude_kernel=stmt.exclude_kernel,
            )
        case a.EventOp(op="close", event=event):
            return Close(events.of(actor, event))
        case a.EventOp(op=op, event=event, group=group):
            return _EVENT_OPS[op](events.of(actor, event), group)
        case a.ReadEvent(event=event):
            return Read(events.of(actor, event))
        case a.SampleEvent(event=event):
            return Sample(events.of(actor, event))
        case a.HostBranch():
            return Retire(stmt.cpu, stmt.count, stmt.branch, stmt.privilege)
        case a.AdvanceTime(ns=ns):
            return Advance(ns)
        case a.MuxInterval(ns=ns, cpu=cpu):
            return SetMuxInterval(ns, cpu)
        case a.Mediated(create=create):
            return Mediate(create)
        case _:
            return None


def user_command(stmt: a.AnyStmt, model: LbrModel, registers: Mapping[str, Value]) -> AnyKvmCommand | None:
    """The KVM's command for a statement of user space; None if what it computes is not a number."""
    match stmt:
        case a.UserSetMsr(vcpu=vcpu, msr=msr, value=value, thread=thread):
            at, number = _address(msr, model, registers), _number(value, model, registers)
            return None if at is None or number is None else SetMsr(vcpu, at, number, thread)
        case a.UserGetMsr(vcpu=vcpu, msr=msr, thread=thread):
            at = _address(msr, model, registers)
            return None if at is None else GetMsr(vcpu, at, thread)
        case a.UserSetMsrs(vcpu=vcpu, entries=entries, thread=thread):
            pairs = [(_address(e.msr, model, registers), _number(e.value, model, registers)) for e in entries]
            known = [MsrEntry(at, number) for at, number in pairs if at is not None and number is not None]
            return SetMsrs(vcpu, known, thread) if len(known) == len(pairs) else None
        case a.UserGetMsrs(vcpu=vcpu, msrs=msrs, thread=thread):
            addresses = [at for msr in msrs if (at := _address(msr, model, registers)) is not None]
            return GetMsrs(vcpu, addresses, thread) if len(addresses) == len(msrs) else None
        case a.UserStopLbr(vcpu=vcpu):
            return StopLbr(vcpu)
        case a.UserReset(vcpu=vcpu):
            return ResetVcpu(vcpu)
        case a.UserSetCpuid(vcpu=vcpu):
            return SetCpuid(vcpu, stmt.pmu, stmt.counters, stmt.fixed, stmt.pdcm, stmt.model)
        case _:
            raise TypeError(f"{type(stmt).__name__} is not a user-space statement")


def needs_its_thread(stmt: a.AnyStmt, model: LbrModel, registers: Mapping[str, Value]) -> bool:
    """Whether user space's thread must be on a CPU for this: LBR MSRs are touched where it runs."""
    refs: tuple[a.MsrRef, ...]
    match stmt:
        case a.UserSetMsr(msr=msr) | a.UserGetMsr(msr=msr):
            refs = (msr,)
        case a.UserSetMsrs(entries=entries):
            refs = tuple(entry.msr for entry in entries)
        case a.UserGetMsrs(msrs=refs):
            pass
        case _:
            return False
    addresses = (_address(ref, model, registers) for ref in refs)
    return any(at is not None and is_lbr_msr(model, at) for at in addresses)


def guest_code(stmt: a.AnyStmt, model: LbrModel, registers: Mapping[str, Value]) -> list[AnyOp] | None:
    """What the guest executes; None if its MSR or its value comes to no number."""
    match stmt:
        case a.GuestWrmsr(msr=msr, value=value):
            at, number = _address(msr, model, registers), _number(value, model, registers)
            return None if at is None or number is None else [Wrmsr(at, number)]
        case a.GuestRdmsr(msr=msr):
            at = _address(msr, model, registers)
            return None if at is None else [Rdmsr(at)]
        case a.GuestRdpmc(index=index):
            ecx = _number(index, model, registers)
            return None if ecx is None else [Rdpmc(ecx & MAX_MSR)]
        case a.GuestReadLbr():
            return [Rdmsr(MSR_LBR_TOS), *(Rdmsr(model.from_base + i) for i in range(model.depth))]
        case a.GuestBranch():
            return [Branch(stmt.count, stmt.branch, stmt.privilege)]
        case a.GuestReadCpuid(leaf=leaf, output=output):
            return [Cpuid(leaf, output)]
        case a.GuestCpuid():
            return [Cpuid()]
        case a.GuestHlt():
            return [Hlt()]
        case a.GuestOut(port=port):
            return [Out(port)]
        case a.GuestNop() | a.GuestPmis():
            return [Nop()]
        case _:
            raise TypeError(f"{type(stmt).__name__} is not a guest statement")


def _address(msr: a.MsrRef, model: LbrModel, registers: Mapping[str, Value]) -> int | None:
    index = _number(msr.index or 0, model, registers)
    return None if index is None else address(msr, model, index)


def _number(operand: a.Operand, model: LbrModel, registers: Mapping[str, Value]) -> int | None:
    value = evaluate(operand, registers, model.depth)
    return value if isinstance(value, int) else None
