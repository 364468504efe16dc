"""The KVM service without its sockets: hypervisor and endpoint behind one door.

``command`` is a generator: it yields requests of the machine stream, is sent the silicon's replies, and returns the
result. ``decide`` lets the schedule say what becomes of a message in the inbox. Messages for the host pile up in the
outbox until the wire takes them. A refused command has changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from contract.actors import actor_table
from contract.control import (
    AnyKvmCommand,
    AnyResult,
    CloseVcpu,
    ConfigureKvm,
    Done,
    FireKvmTimer,
    KvmSnapshot,
    KvmView,
    LoadVcpu,
    MsrIoctl,
    ResetVcpu,
    SaveVcpu,
    SetCpuid,
    StepVcpu,
    StopLbr,
    VcpuSaved,
    VcpuView,
)
from contract.design_check import check_design
from contract.errors import RefusedError
from contract.inbox import Fate, Inbox
from contract.machine import AnyReply, AnyRequest
from contract.messages import PROTOCOL_VERSION, Envelope
from contract.spec import check_vm, machine_model
from contract.trace import TraceLog
from kvm_svc.endpoint import Endpoint
from kvm_svc.hypervisor.capabilities import (
    create_vm,
)
from kvm_svc.hypervisor.counters import new_pmu
from kvm_svc.hypervisor.cpuid import set_cpuid
from kvm_svc.hypervisor.lbr import stop
from kvm_svc.hypervisor.migration import load_vcpu, save_vcpu
from kvm_svc.hypervisor.pmu_refresh import reset_pmu
from kvm_svc.hypervisor.reset import reset_vcpu
from kvm_svc.hypervisor.run import step
from kvm_svc.hypervisor.state import Hypervisor, Vcpu
from kvm_svc.hypervisor.userspace import msr_ioctl

Steps = Generator[AnyRequest, AnyReply, AnyResult]
VCPUS_LIMIT = 16


class KvmCore:
    def __init__(self, log: TraceLog, protocol: int = PROTOCOL_VERSION) -> None:
        self.log = log
        self.protocol = protocol
        self.inbox = Inbox()
        self.hv: Hypervisor
        self.endpoint: Endpoint
        self.configured = False

    def command(self, command: AnyKvmCommand) -> Steps:
        """Carry out one command. Raises RefusedError, with nothing changed, when it makes no sense here."""
        if isinstance(command, ConfigureKvm):
            return self._configure(command)
        if not self.configured:
            raise RefusedError("not configured yet", "ENXIO")
        if isinstance(command, StepVcpu):
            result: AnyResult = yield from step(self.hv, self._vcpu(command.vcpu), command.ops)
        elif isinstance(command, SaveVcpu):
            result = VcpuSaved((yield from save_vcpu(self.hv, self._vcpu(command.vcpu), lbr=command.lbr)))
        elif isinstance(command, LoadVcpu):
            yield from load_vcpu(self.hv, self._vcpu(command.vcpu), command.image)
            result = Done()
        elif isinstance(command, ResetVcpu):
            yield from reset_vcpu(self.hv, self._vcpu(command.vcpu))
            result = Done()
        elif isinstance(command, SetCpuid):
            result = yield from set_cpuid(self.hv, self._vcpu(command.vcpu), command)
        elif isinstance(command, MsrIoctl):
            result = yield from msr_ioctl(self.hv, self._vcpu(command.vcpu), command)
        else:
            result = _HANDLERS[type(command)](self, command)
        self.endpoint.flush()
        return result

    def decide(self, fate: Fate, session: str, n: int) -> None:
        envelope = self.inbox.decide(fate, session, n, self.log)
        if envelope is not None:
            self.endpoint.take(envelope)

    def drain(self) -> list[Envelope]:
        """The messages sent since the last call."""
        if not self.configured or not self.endpoint.outbox:
            return []
        out, self.endpoint.outbox = self.endpoint.outbox, []
        return out

    # Commands --------------------------------------------------------------------------------------------

    def _configure(self, command: ConfigureKvm) -> AnyResult:
        model = machine_model(command.machine)
        check_design(command.design)
        if not command.kvm:
            raise RefusedError("a KVM service needs a name")
        for spec in command.vms:
            if not 1 <= spec.vcpus <= VCPUS_LIMIT:
                raise RefusedError(f"{spec.name}: vcpus = {spec.vcpus}, expected 1 to {VCPUS_LIMIT}")
            check_vm(spec)
        actor_table([], [name for spec in command.vms for name in spec.vcpu_names()])
        hv = Hypervisor(command.machine, model, command.design, self.log)
        for spec in command.vms:
            vm = hv.vms[spec.name] = create_vm(hv, spec)
            for name in spec.vcpu_names():
                hv.vcpus[name] = Vcpu(name, vm, pmu=new_pmu(hv, vm))
        self.hv = hv
        self.inbox = Inbox()
        self.endpoint = Endpoint(command.kvm, hv, self.log)
        self.configured = True
        self.endpoint.begin(self.protocol)
        return Done()

    def _vcpu(self, name: str) -> Vcpu:
        vcpu = self.hv.vcpus.get(name)
        if vcpu is None:
            raise RefusedError(f"there is no vCPU {name!r}", "ENOENT")
        return vcpu

    def _stop(self, command: StopLbr) -> AnyResult:
        stop(self.hv, self._vcpu(command.vcpu), "user space stopped LBR use")
        return Done()

    def _fire(self, command: FireKvmTimer) -> AnyResult:
        self.endpoint.fire(command.what)
        return Done()

    def _close(self, command: CloseVcpu) -> AnyResult:
        reset_pmu(self.hv, self._vcpu(command.vcpu), "the vCPU is closed")
        return Done()

    def _snapshot(self, command: KvmSnapshot) -> AnyResult:
        return KvmView([_view(v) for v in self.hv.vcpus.values()])


def _view(v: Vcpu) -> VcpuView:
    return VcpuView(v.name, v.cpu, v.lbr_desc.event, v.claim.state, v.claim.grant, v.lbr_desc.passthrough, v.debugctl)


_HANDLERS: dict[type, Callable[[KvmCore, Any], AnyResult]] = {
    StopLbr: KvmCore._stop,
    CloseVcpu: KvmCore._close,
    FireKvmTimer: KvmCore._fire,
    KvmSnapshot: KvmCore._snapshot,
}
