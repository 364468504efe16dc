"""A story that uses most of what the services can do, to be told on any wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from client.drive.grpc_wire import Turn
from client.drive.wire import Wire
from contract.control import (
    Advance,
    AnyPerfCommand,
    Close,
    ConfigureKvm,
    ConfigurePerf,
    GetMsr,
    KvmSnapshot,
    MachineSpec,
    Open,
    PerfSnapshot,
    Read,
    Retire,
    RunTask,
    Sample,
    SetMsr,
    StepVcpu,
    StopLbr,
    VmSpec,
)
from contract.design import Design
from contract.errors import RefusedError
from contract.machine import AnyOp, Branch, Cpuid, Nop, Rdmsr, Wrmsr
from contract.messages import HOST
from contract.network import Fate
from contract.results import AnyResult, Done, Stepped
from contract.trace import Delivery, Send
from contract.x86 import IA32_DEBUGCTL, IA32_PERF_CAPABILITIES, MSR_LBR_FROM, MSR_LBR_TOS

SESSION = "kvm0"
VCPU = "vm0/0"
PATIENT = Turn(wait=30)
"""The test before can still have the lease: on a busy machine it is given back late."""


def in_flight(wire: Wire) -> list[Send]:
    """Messages without a fate, as the trace tells."""
    settled = {
        (r.session, r.to_host, r.n) for r in wire.log.records if isinstance(r, Delivery) and r.fate != Fate.DUPLICATE
    }
    return [r for r in wire.log.records if isinstance(r, Send) and (r.session, r.to_host, r.n) not in settled]


def decide(wire: Wire, message: Send, fate: Fate = Fate.TAKE) -> None:
    wire.decide(HOST if message.to_host else message.session, fate, message.session, message.n)


def deliver(wire: Wire) -> None:
    while waiting := in_flight(wire):
        decide(wire, waiting[0])


def set_up(wire: Wire, design: Design, cpus: int = 1) -> None:
    """A new run: one VM with one vCPU, whose session is agreed on."""
    wire.begin()
    machine = MachineSpec(cpus=cpus)
    wire.perf(ConfigurePerf(machine, design, ["t0"], [VCPU]))
    wire.kvm(SESSION, ConfigureKvm(SESSION, machine, design, [VmSpec("vm0")]))
    deliver(wire)


def host(wire: Wire, command: AnyPerfCommand) -> AnyResult:
    """A command to its end: one that waits for KVM goes on once everything is delivered."""
    result = wire.perf(command).result
    deliver(wire)
    if result == Done(errno="EINPROGRESS"):
        result = wire.perf(command).result
        deliver(wire)
    return result


def guest(wire: Wire, *ops: AnyOp) -> AnyResult:
    """Guest code to its end, with everything delivered at once."""
    code = list(ops)
    while True:
        result = wire.kvm(SESSION, StepVcpu(VCPU, code)).result
        code = []
        deliver(wire)
        if not isinstance(result, Stepped) or result.finished:
            return result


def tried(call: Callable[..., AnyResult], wire: Wire, *arguments: Any) -> AnyResult | tuple[str, str]:
    """The result, which can be a refusal."""
    try:
        return call(wire, *arguments)
    except RefusedError as error:
        return str(error), error.errno


def refused(wire: Wire, command: AnyPerfCommand) -> tuple[str, str]:
    result = tried(host, wire, command)
    assert isinstance(result, tuple), f"{command} was not refused"
    return result


def tell(wire: Wire, design: Design) -> list[object]:
    """All of it; what the calls gave. A design may refuse the host's event, or not enter the guest beside it."""
    set_up(wire, design, cpus=2)
    heard: list[object] = [host(wire, RunTask(VCPU, 0))]
    heard.append(guest(wire, Wrmsr(IA32_DEBUGCTL, 1)))
    heard.append(guest(wire, Branch(40), Cpuid()))
    heard.append(guest(wire, Rdmsr(MSR_LBR_TOS), Rdmsr(MSR_LBR_FROM + 8)))
    heard.append(host(wire, Open("h0", cpu=0, pinned=True, branch=["any"])))
    heard.append(host(wire, Retire(0, 8)))
    heard.append(tried(guest, wire, Branch(4)))
    heard.append(tried(host, wire, Open("h0", cpu=0, exclude_guest=True)))
    heard.append(refused(wire, Open("h0", cpu=0)))
    heard.append(refused(wire, Sample("nobody")))
    heard.append(tried(guest, wire, Rdmsr(MSR_LBR_TOS), Rdmsr(MSR_LBR_FROM + 8)))
    heard.append(host(wire, Advance(1500)))
    heard.append(host(wire, Retire(0, 3)))
    heard.append(host(wire, Sample("h0")))
    heard.append(host(wire, Read("h0")))
    heard.append(refused(wire, RunTask(VCPU, 5)))
    heard.append(host(wire, RunTask("t0", 0)))
    heard.append(host(wire, RunTask(VCPU, 1)))
    heard.append(host(wire, Close("h0")))
    heard.append(tried(guest, wire))
    heard.append(guest(wire, Wrmsr(IA32_DEBUGCTL, 1)))
    heard.append(guest(wire, Branch(6)))
    heard.append(guest(wire, Rdmsr(MSR_LBR_TOS), Rdmsr(MSR_LBR_FROM + 8)))
    heard.append(wire.kvm(SESSION, SetMsr(VCPU, IA32_DEBUGCTL, 0)).result)
    heard.append(wire.kvm(SESSION, GetMsr(VCPU, IA32_PERF_CAPABILITIES)).result)
    heard.append(wire.kvm(SESSION, StopLbr(VCPU)).result)
    deliver(wire)
    heard.append(guest(wire, Nop()))
    heard.append(wire.perf(PerfSnapshot()).result)
    heard.append(wire.kvm(SESSION, KvmSnapshot()).result)
    return heard
