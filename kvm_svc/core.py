"""The KVM service without its sockets: one interface to hypervisor and endpoint.

It is built from its configuration, and ``begin`` is its first step. ``command`` carries out one command of the driver:
a generator that yields requests of the machine stream and is sent the silicon's replies. ``take`` gives it a message of
the host. Each step returns its effects as a value (``contract.effects.Step``). A refused command changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from typing import Any

from contract.actors import actor_table
from contract.control import (
    AnyKvmCommand,
    CloseVcpu,
    ConfigureKvm,
    EndVcpu,
    FireKvmTimer,
    KvmDrain,
    KvmLoseLink,
    KvmMendLink,
    KvmSnapshot,
    LoadVcpu,
    MsrIoctl,
    ResetVcpu,
    SaveVcpu,
    SetClockRate,
    SetCpuid,
    StepVcpu,
    StopLbr,
)
from contract.design import StreamDelivery
from contract.design_check import check_design
from contract.effects import Core, StepResult
from contract.errors import RefusedError
from contract.machine import AnyReply, AnyRequest, CounterRead, NotRunning
from contract.messages import PROTOCOL_VERSION, Envelope
from contract.results import AnyResult, Done, KvmView, VcpuSaved, VcpuView
from contract.session import Session
from contract.spec import RATES, check_vm, machine_model
from contract.x86 import LbrModel
from kvm_svc.endpoint import KvmEndpoint, KvmSession
from kvm_svc.hypervisor.capabilities import (
    create_vm,
)
from kvm_svc.hypervisor.counters import new_pmu
from kvm_svc.hypervisor.cpuid import set_cpuid
from kvm_svc.hypervisor.host_lost import forget_vcpu
from kvm_svc.hypervisor.lbr import stop
from kvm_svc.hypervisor.migration import load_vcpu, save_vcpu
from kvm_svc.hypervisor.pmu_refresh import reset_pmu
from kvm_svc.hypervisor.reset import reset_vcpu
from kvm_svc.hypervisor.run import step
from kvm_svc.hypervisor.state import Hypervisor, KvmState, Vcpu
from kvm_svc.hypervisor.userspace import msr_ioctl

Steps = Generator[StepResult[AnyRequest], tuple[AnyReply, int], StepResult[AnyResult]]
"""A command that may ask the silicon. Each request comes with the effects before it, and each reply with the virtual
time at which it was given."""
Exchange = Generator[AnyRequest, AnyReply, AnyResult]
VCPUS_LIMIT = 16


@dataclass(slots=True)
class CoreState:
    """All state of a KVM service."""

    kvm: KvmState
    """The hypervisor."""
    link: KvmSession
    """KVM's end of the session."""

    def clone(self) -> CoreState:
        return CoreState(self.kvm.clone(), self.link.clone())

    def key(self) -> tuple[Hashable, ...]:
        """For ``contract.canonical``."""
        return self.kvm.key(), self.link.key()


class KvmCore(Core):
    """``state`` is all that is remembered, beside the clock. A restart is a new core of a higher epoch."""

    def __init__(self, config: ConfigureKvm, protocol: int, model: LbrModel, state: CoreState) -> None:
        super().__init__()
        self.config = config
        self.protocol = protocol
        self.state = state
        self.hv = Hypervisor(config.machine, model, config.design, state.kvm, self.effects)
        self.endpoint = KvmEndpoint(self.hv, state.link, protocol)

    @classmethod
    def configured(cls, config: ConfigureKvm, protocol: int = PROTOCOL_VERSION, now: int = 0) -> KvmCore:
        """A KVM that is loaded at ``now``, its vCPUs made; ``begin`` follows. Raises RefusedError where it cannot
        be so."""
        model = machine_model(config.machine)
        check_design(config.design)
        if not config.kvm:
            raise RefusedError("a KVM service needs a name")
        if config.epoch < 1:
            raise RefusedError(f"epoch = {config.epoch}, expected 1 or more")
        for spec in config.vms:
            if not 1 <= spec.vcpus <= VCPUS_LIMIT:
                raise RefusedError(f"{spec.name}: vcpus = {spec.vcpus}, expected 1 to {VCPUS_LIMIT}")
            check_vm(spec)
        actor_table([], [name for spec in config.vms for name in spec.vcpu_names()])
        repaired = config.design.delivery is StreamDelivery.REPAIRED
        session = Session(config.kvm, is_host=False, epoch=config.epoch, repaired=repaired)
        core = cls(config, protocol, model, CoreState(KvmState(), KvmSession(session)))
        core.clock.witness(now)
        hv = core.hv
        for spec in config.vms:
            vm = hv.vms[spec.name] = create_vm(hv, spec)
            for name in spec.vcpu_names():
                hv.vcpus[name] = Vcpu(name, vm, pmu=new_pmu(hv, vm))
        return core

    def clone(self) -> KvmCore:
        """A copy that continues from here independently."""
        twin = KvmCore(self.config, self.protocol, self.hv.model, self.state.clone())
        twin.clock.now = self.clock.now
        return twin

    def key(self) -> tuple[Hashable, ...]:
        """For ``contract.canonical``."""
        return self.state.key()

    def begin(self, now: int) -> StepResult[AnyResult]:
        """Greet the host."""
        return self.step(now, self._begin)

    def command(self, command: AnyKvmCommand, now: int) -> Steps:
        """Carry out one command. Raises RefusedError, with nothing changed, when it makes no sense here. Where no reply
        comes, close the generator; the command is then half done."""
        asks = _ASKS.get(type(command))
        if asks is None:
            return self.step(now, _HANDLERS[type(command)], self, command)
        before = self.clock.now
        self.clock.witness(now)
        try:
            exchange = asks(self, command)
            request = next(exchange)
            while True:
                reply, now = yield StepResult(request, self.effects.take(), self.clock.now)
                self.clock.witness(now)
                if not isinstance(reply, (NotRunning, CounterRead)):
                    self.effects.touched = True
                request = exchange.send(reply)
        except StopIteration as stop:
            self.finish()
            return StepResult(stop.value, self.effects.end(), self.clock.now)
        except (RefusedError, GeneratorExit):
            self.refuse(before)
            raise

    def take(self, envelope: Envelope, now: int) -> StepResult[None]:
        """A message of the host has come."""
        return self.step(now, self.endpoint.take, envelope)

    def finish(self) -> None:
        self.endpoint.finish()

    def _begin(self) -> AnyResult:
        self.endpoint.begin()
        return Done()

    # Commands --------------------------------------------------------------------------------------------

    def _vcpu(self, name: str) -> Vcpu:
        vcpu = self.hv.vcpus.get(name)
        if vcpu is None:
            raise RefusedError(f"there is no vCPU {name!r}", "ENOENT")
        return vcpu

    def _step(self, command: StepVcpu) -> Exchange:
        return step(self.hv, self._vcpu(command.vcpu), command.ops)

    def _save(self, command: SaveVcpu) -> Exchange:
        return VcpuSaved((yield from save_vcpu(self.hv, self._vcpu(command.vcpu), lbr=command.lbr)))

    def _load(self, command: LoadVcpu) -> Exchange:
        yield from load_vcpu(self.hv, self._vcpu(command.vcpu), command.image)
        return Done()

    def _reset(self, command: ResetVcpu) -> Exchange:
        yield from reset_vcpu(self.hv, self._vcpu(command.vcpu))
        return Done()

    def _set_cpuid(self, command: SetCpuid) -> Exchange:
        return set_cpuid(self.hv, self._vcpu(command.vcpu), command)

    def _msr_ioctl(self, command: MsrIoctl) -> Exchange:
        return msr_ioctl(self.hv, self._vcpu(command.vcpu), command)

    def _stop(self, command: StopLbr) -> AnyResult:
        stop(self.hv, self._vcpu(command.vcpu), "user space stopped LBR use")
        return Done()

    def _fire(self, command: FireKvmTimer) -> AnyResult:
        self.endpoint.fire(command.timer)
        return Done()

    def _lose_link(self, command: KvmLoseLink) -> AnyResult:
        self.endpoint.lose_link()
        return Done()

    def _mend_link(self, command: KvmMendLink) -> AnyResult:
        self.endpoint.mend_link()
        return Done()

    def _set_clock(self, command: SetClockRate) -> AnyResult:
        if command.rate not in RATES:
            raise RefusedError(f"rate = {command.rate}, expected {RATES[0]} to {RATES[-1]}", "EINVAL")
        self.hv.state.own_clock.set(command.rate, self.clock.now)
        return Done()

    def _drain(self, command: KvmDrain) -> AnyResult:
        self.endpoint.drain(command.reason)
        return Done()

    def _close(self, command: CloseVcpu) -> AnyResult:
        reset_pmu(self.hv, self._vcpu(command.vcpu), "the vCPU is closed")
        return Done()

    def _end_vcpu(self, command: EndVcpu) -> AnyResult:
        forget_vcpu(self.hv, self._vcpu(command.vcpu), "its thread has exited")
        del self.hv.vcpus[command.vcpu]
        return Done()

    def _snapshot(self, command: KvmSnapshot) -> AnyResult:
        return KvmView([_view(v) for v in self.hv.vcpus.values()])


def _view(v: Vcpu) -> VcpuView:
    return VcpuView(v.name, v.cpu, v.lbr_desc.event, v.claim.state, v.grant.number, v.lbr_desc.passthrough, v.debugctl)


_ASKS: dict[type, Callable[[KvmCore, Any], Exchange]] = {
    StepVcpu: KvmCore._step,
    SaveVcpu: KvmCore._save,
    LoadVcpu: KvmCore._load,
    ResetVcpu: KvmCore._reset,
    SetCpuid: KvmCore._set_cpuid,
    **dict.fromkeys(MsrIoctl.__args__, KvmCore._msr_ioctl),
}
"""Commands that may ask the silicon."""
_HANDLERS: dict[type, Callable[[KvmCore, Any], AnyResult]] = {
    StopLbr: KvmCore._stop,
    CloseVcpu: KvmCore._close,
    EndVcpu: KvmCore._end_vcpu,
    FireKvmTimer: KvmCore._fire,
    KvmLoseLink: KvmCore._lose_link,
    KvmMendLink: KvmCore._mend_link,
    SetClockRate: KvmCore._set_clock,
    KvmDrain: KvmCore._drain,
    KvmSnapshot: KvmCore._snapshot,
}
