"""The simulated wire: all cores in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from client.drive.wire import SINGLE, Layout, perfcores_of
from contract.control import AnyKvmCommand, AnyPerfCommand, ConfigureKvm, ConfigurePerf
from contract.effects import StepResult
from contract.errors import RefusedError
from contract.messages import HOST
from contract.network import Fate, Network
from contract.results import AnyResult, Done
from contract.trace import Recorder
from kvm_svc.core import KvmCore
from perfcore_svc.core import HostCore

K = TypeVar("K")
T = TypeVar("T")


class SimWire:
    name = "sim"

    def __init__(self) -> None:
        self.begin()

    def begin(self, layout: Layout = SINGLE) -> None:
        self.log = Recorder()
        self.layout = layout
        self.hosts: dict[int, HostCore] = {}
        self.kvms: dict[str, KvmCore] = {}
        self.network = Network()

    @property
    def host(self) -> HostCore:
        """The first host."""
        return self.hosts[0]

    def host_of(self, session: str) -> HostCore:
        """The host of a KVM. Raises RefusedError where there is none yet."""
        return configured(self.hosts, self.layout.kvms.get(session, -1))

    def perf(self, command: AnyPerfCommand, host: int = 0) -> StepResult[AnyResult]:
        if isinstance(command, ConfigurePerf):
            self.hosts[host] = HostCore.configured(command)
            return StepResult(Done(), [], self.log.now)
        return self._done(configured(self.hosts, host).command(command, self.log.now))

    def kvm(self, session: str, command: AnyKvmCommand) -> StepResult[AnyResult]:
        if isinstance(command, ConfigureKvm):
            self.host_of(session)
            core = self.kvms[session] = KvmCore.configured(command, now=self.log.now)
            return self._done(core.begin(self.log.now))
        log, done = self.log, self._done
        steps = configured(self.kvms, session).command(command, log.now)
        begun = len(log.records)
        try:
            asked = next(steps)
            while True:
                done(asked)
                reply = done(self.host_of(session).request(asked.result, log.now)).result
                asked = steps.send((reply, log.now))
        except StopIteration as stop:
            result: AnyResult = done(stop.value).result
        return StepResult(result, log.records[begun:], log.now)

    def decide(
        self, receiver: str, fate: Fate, session: str, n: int, fault: str = "", field: str = ""
    ) -> StepResult[bool]:
        core = self.host_of(session) if receiver == HOST else configured(self.kvms, receiver)
        begun = len(self.log.records)
        envelope = self.network.decide(fate, session, receiver == HOST, n, self.log, fault, field)
        if envelope is not None:
            self._done(core.take(envelope, self.log.now))
        return StepResult(True, self.log.records[begun:], self.log.now)

    @property
    def owns_services(self) -> bool:
        return True

    def crash(self, service: str) -> None:
        names = perfcores_of(self.layout)
        if service in names:
            host = names.index(service)
            del self.hosts[host]
            sessions = [session for session, at in self.layout.kvms.items() if at == host]
        else:
            del self.kvms[service]
            sessions = [service]
        for session in sessions:
            self.network.cut(session, True)
            self.network.cut(session, False)

    def start(self, service: str) -> None:
        pass

    def losses(self) -> list[str]:
        return []

    def _done(self, step: StepResult[T]) -> StepResult[T]:
        """Put the effects of a core on record, and its messages into the network."""
        for sent in self.log.write(step.effects, step.now):
            self.network.put(sent.envelope)
        return step

    def close(self) -> None:
        pass

    def clone(self) -> SimWire:
        """A copy that goes on by itself. The records so far are the same objects."""
        twin = SimWire()
        twin.layout = self.layout
        twin.log.witness(self.log.clock, self.log.now)
        twin.log.records = self.log.records[:]
        twin.hosts = {number: host.clone() for number, host in self.hosts.items()}
        twin.kvms = {name: kvm.clone() for name, kvm in self.kvms.items()}
        twin.network = self.network.clone()
        return twin


def configured(cores: Mapping[K, T], name: K) -> T:
    """Raises RefusedError where there is no such core yet."""
    if name not in cores:
        raise RefusedError("not configured yet", "ENXIO")
    return cores[name]
