"""The KVM service without its sockets: hypervisor and endpoint behind one door.

``command`` is a generator: it yields requests of the machine stream, is sent the silicon's replies, and returns the
result. ``take`` gives it a message of the host. Messages for the host pile up in the
outbox until the wire takes them. A refused command has changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from typing import Any

from contract.actors import actor_table
from contract.control import (
    AnyKvmCommand,
    AnyResult,
    CloseVcpu,
    ConfigureKvm,
    Done,
    FireKvmTimer,
    KvmLoseLink,
    KvmMendLink,
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
from contract.design import Delivery
from contract.design_check import check_design
from contract.effects import Clock, Effects
from contract.errors import RefusedError
from contract.machine import AnyReply, AnyRequest, CounterRead, NotRunning
from contract.messages import PROTOCOL_VERSION, Envelope
from contract.session import Session
from contract.spec import check_vm, machine_model
from contract.trace import Recorder
from kvm_svc.endpoint import Endpoint, Link
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
from kvm_svc.hypervisor.state import Hypervisor, KvmState, Vcpu
from kvm_svc.hypervisor.userspace import msr_ioctl

Steps = Generator[AnyRequest, AnyReply, AnyResult]
VCPUS_LIMIT = 16


@dataclass(slots=True)
class CoreState:
    """All that a KVM remembers."""

    kvm: KvmState
    link: Link

    def clone(self) -> CoreState:
        return CoreState(self.kvm.clone(), self.link.clone())

    def key(self) -> tuple[Hashable, ...]:
        """For ``contract.canonical``."""
        return self.kvm.key(), self.link.key()


class KvmCore:
    """``state`` is all that is remembered. ``log`` is where the effects of each step go; ``clock`` is this core's."""

    def __init__(self, log: Recorder, protocol: int = PROTOCOL_VERSION) -> None:
        self.log = log
        self.protocol = protocol
        self.clock = Clock()
        self.effects = Effects(self.clock)
        self.state: CoreState
        self.config: ConfigureKvm
        self.hv: Hypervisor
        self.endpoint: Endpoint
        self.configured = False

    def clone(self, log: Recorder) -> KvmCore:
        """A core that goes on from here by itself. Its effects go to ``log``."""
        twin = type(self)(log, self.protocol)
        twin.clock.now = self.clock.now
        if self.configured:
            state = self.state.clone()
            hv = Hypervisor(self.hv.machine, self.hv.model, self.hv.design, state.kvm, twin.effects)
            twin._wire(self.config, state, hv)
        return twin

    def key(self) -> tuple[Hashable, ...]:
        """For ``contract.canonical``; of a core that is configured."""
        return self.state.key()

    def command(self, command: AnyKvmCommand) -> Steps:
        """Carry out one command. Raises RefusedError, with nothing changed, when it makes no sense here."""
        before = self.clock.now
        self.clock.witness(self.log.now)
        steps = self._command(command)
        try:
            request = next(steps)
            while True:
                self.log.write(self.effects.take(), self.clock.now)
                reply = yield request
                self.clock.witness(self.log.now)
                if not isinstance(reply, NotRunning | CounterRead):
                    self.effects.touched = True
                request = steps.send(reply)
        except StopIteration as stop:
            result: AnyResult = stop.value
            return result
        except RefusedError:
            self._take_back(before)
            raise
        finally:
            steps.close()
            self._end()

    def _take_back(self, time: int) -> None:
        """The input is refused: the clock is as it was, unless something has happened."""
        if not self.effects.touched:
            self.clock.now = time

    def _end(self) -> None:
        self.log.write(self.effects.end(), self.clock.now)

    def _command(self, command: AnyKvmCommand) -> Steps:
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
        self.endpoint.finish()
        return result

    def take(self, envelope: Envelope) -> None:
        """A message of the host has come."""
        if not self.configured:
            raise RefusedError("not configured yet", "ENXIO")
        self.clock.witness(self.log.now)
        try:
            self.endpoint.take(envelope)
            self.endpoint.finish()
        finally:
            self._end()

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
        if command.epoch < 1:
            raise RefusedError(f"epoch = {command.epoch}, expected 1 or more")
        for spec in command.vms:
            if not 1 <= spec.vcpus <= VCPUS_LIMIT:
                raise RefusedError(f"{spec.name}: vcpus = {spec.vcpus}, expected 1 to {VCPUS_LIMIT}")
            check_vm(spec)
        actor_table([], [name for spec in command.vms for name in spec.vcpu_names()])
        repaired = command.design.delivery is Delivery.REPAIRED
        session = Session(command.kvm, is_host=False, epoch=command.epoch, repaired=repaired)
        state = CoreState(KvmState(), Link(session))
        hv = Hypervisor(command.machine, model, command.design, state.kvm, self.effects)
        for spec in command.vms:
            vm = hv.vms[spec.name] = create_vm(hv, spec)
            for name in spec.vcpu_names():
                hv.vcpus[name] = Vcpu(name, vm, pmu=new_pmu(hv, vm))
        self._wire(command, state, hv)
        self.endpoint.begin()
        return Done()

    def _wire(self, config: ConfigureKvm, state: CoreState, hv: Hypervisor) -> None:
        """Put the parts that work around the state."""
        self.config = config
        self.state = state
        self.hv = hv
        self.endpoint = Endpoint(hv, state.link, self.protocol)
        self.configured = True

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

    def _lose_link(self, command: KvmLoseLink) -> AnyResult:
        self.endpoint.lose_link()
        return Done()

    def _mend_link(self, command: KvmMendLink) -> AnyResult:
        self.endpoint.mend_link()
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
    KvmLoseLink: KvmCore._lose_link,
    KvmMendLink: KvmCore._mend_link,
    KvmSnapshot: KvmCore._snapshot,
}
