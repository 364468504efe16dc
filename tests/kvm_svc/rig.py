"""Two ways to drive KvmCore: against a real host (``Rig``), or against one whose words a test writes (``Script``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from client.drive.sim import SimWire
from contract.control import (
    AnyKvmCommand,
    AnyPerfCommand,
    ConfigureKvm,
    ConfigurePerf,
    MachineSpec,
    Open,
    RunTask,
    StepVcpu,
    VmSpec,
)
from contract.design import Design, StreamDelivery
from contract.effects import StepResult
from contract.machine import AnyOp, AnyReply, AnyRequest, GuestValue, Rdmsr, Wrmsr
from contract.messages import AnyMessage, Envelope, Received
from contract.network import Fate
from contract.results import AnyResult, Done, Stepped
from contract.trace import AnyRecord, Recorder, Send
from contract.x86 import IA32_DEBUGCTL, MSR_LBR_FROM
from kvm_svc.core import KvmCore
from kvm_svc.hypervisor.state import Vcpu

KVM = "kvm0"
VCPU = "vm0/0"
FROM0 = MSR_LBR_FROM
R = TypeVar("R", bound=AnyRecord)
T = TypeVar("T")


class Rig:
    """A KVM and a host on the simulated wire. The thread of vm0/0 is on cpu0 unless ``place`` is False."""

    def __init__(
        self,
        design: Design,
        *,
        lbr: bool = True,
        machine: MachineSpec | None = None,
        vms: Sequence[VmSpec] = (),
        place: bool = True,
    ) -> None:
        machine = machine or MachineSpec(depth=8)
        specs = list(vms) or [VmSpec("vm0", lbr=lbr)]
        vcpus = [name for spec in specs for name in spec.vcpu_names()]
        self.wire = SimWire()
        self.perf(ConfigurePerf(machine, design, ["t0"], vcpus), settle=False)
        self.kvm(ConfigureKvm(KVM, machine, design, specs))
        self.settle()
        if place:
            self.place(VCPU)

    @property
    def core(self) -> KvmCore:
        return self.wire.kvms[KVM]

    def vcpu(self, name: str = VCPU) -> Vcpu:
        return self.core.hv.vcpus[name]

    def perf(self, command: AnyPerfCommand, *, settle: bool = True) -> AnyResult:
        result = self.wire.perf(command).result
        if settle:
            self.settle()
        return result

    def kvm(self, command: AnyKvmCommand) -> AnyResult:
        return self.wire.kvm(KVM, command).result

    def place(self, task: str, cpu: int = 0) -> None:
        self.perf(RunTask(task, cpu))

    def slice(self, task: str = VCPU) -> None:
        """The thread goes off its CPU for t0 and comes back."""
        self.place("t0")
        self.place(task)

    def host_event(self, name: str = "h0") -> None:
        """A CPU-pinned event that wants every branch."""
        assert self.perf(Open(name, 0, pinned=True, branch=["any"])) == Done()

    def settle(self) -> None:
        """Take every message, until none is left."""
        while True:
            heads = sorted(self.wire.network.heads(), key=lambda head: not head.to_host)
            if not heads:
                return
            for envelope in heads:
                self.wire.decide(envelope.receiver, Fate.TAKE, envelope.session, envelope.seq)

    def step(self, *ops: AnyOp, vcpu: str = VCPU) -> Stepped:
        result = self.kvm(StepVcpu(vcpu, list(ops)))
        assert isinstance(result, Stepped)
        return result

    def guest(self, *ops: AnyOp, vcpu: str = VCPU) -> list[GuestValue]:
        """The guest runs all of it; messages are taken between steps."""
        result = self.step(*ops, vcpu=vcpu)
        while not result.finished:
            self.settle()
            result = self.step(vcpu=vcpu)
        self.settle()
        return result.values

    def rdmsr(self, msr: int, vcpu: str = VCPU) -> GuestValue:
        return self.guest(Rdmsr(msr), vcpu=vcpu)[0]

    def wrmsr(self, msr: int, value: int, vcpu: str = VCPU) -> bool:
        """Whether the write gave no #GP."""
        return not self.guest(Wrmsr(msr, value), vcpu=vcpu)[0].fault

    def debugctl(self, value: int, vcpu: str = VCPU) -> bool:
        return self.wrmsr(IA32_DEBUGCTL, value, vcpu)

    def records(self, kind: type[R]) -> list[R]:
        return [r for r in self.wire.log.records if isinstance(r, kind)]

    def sent(self, kind: type[AnyMessage]) -> int:
        """How many messages of a kind KVM and host have sent."""
        return sum(isinstance(r.body, kind) for r in self.records(Send))


class Script:
    """A KVM whose host says exactly what the test says. Where the design repairs the stream, in order; what KVM says
    does not include acknowledgements then."""

    def __init__(self, design: Design, *vms: VmSpec, machine: MachineSpec | None = None) -> None:
        self.repaired = design.delivery is StreamDelivery.REPAIRED
        self.log = Recorder()
        self.told = 0
        self.asked: list[AnyRequest] = []
        self._said: list[Envelope] = []
        spec = machine or MachineSpec(depth=8)
        self.core = KvmCore.configured(ConfigureKvm(KVM, spec, design, list(vms) or [VmSpec("vm0")]))
        self.log.write(self.core.begin(0).effects, 0)

    def command(self, command: AnyKvmCommand, *replies: AnyReply) -> AnyResult:
        """Carry out a command, the silicon giving these replies; the requests are in ``asked``."""
        self.asked = []
        left = list(replies)

        def reply(request: AnyRequest) -> AnyReply:
            self.asked.append(request)
            return left.pop(0)

        result = self.carry_out(command, reply)
        assert not left
        return result

    def carry_out(self, command: AnyKvmCommand, reply: Callable[[AnyRequest], AnyReply]) -> AnyResult:
        """Carry out a command; ``reply`` is the silicon."""
        steps = self.core.command(command, self.log.now)
        try:
            asked = next(steps)
            while True:
                request = self._done(asked)
                asked = steps.send((reply(request), self.log.now))
        except StopIteration as stop:
            result: AnyResult = self._done(stop.value)
            return result

    def _done(self, step: StepResult[T]) -> T:
        self.log.write(step.effects, step.now)
        self._said += step.messages
        return step.result

    def step(self, ops: Sequence[AnyOp], *replies: AnyReply) -> Stepped:
        result = self.command(StepVcpu(VCPU, list(ops)), *replies)
        assert isinstance(result, Stepped)
        return result

    def tell(self, body: AnyMessage) -> list[AnyMessage]:
        """The host's next message arrives and is taken; what KVM says to that."""
        self.told += 1
        return self.take(Envelope(KVM, False, 1, self.told, body, self.told if self.repaired else 0))

    def take(self, envelope: Envelope) -> list[AnyMessage]:
        """An envelope arrives and is taken; what KVM says to that."""
        self._done(self.core.take(envelope, self.log.now))
        return self.heard()

    def heard(self) -> list[AnyMessage]:
        """The messages of KVM since the last call."""
        said, self._said = self._said, []
        return [envelope.body for envelope in said if not isinstance(envelope.body, Received)]

    def vcpu(self, name: str = VCPU) -> Vcpu:
        return self.core.hv.vcpus[name]

    def records(self, kind: type[R]) -> list[R]:
        return [r for r in self.log.records if isinstance(r, kind)]
