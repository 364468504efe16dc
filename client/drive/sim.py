"""The simulated wire: all cores in this process."""

from __future__ import annotations

from client.drive.wire import SINGLE, Layout
from contract.control import AnyKvmCommand, AnyPerfCommand, AnyResult
from contract.errors import RefusedError
from contract.messages import HOST
from contract.network import Fate, Network
from contract.trace import Recorder
from kvm_svc.core import KvmCore
from perfcore_svc.core import HostCore


class SimWire:
    name = "sim"

    def __init__(self) -> None:
        self.begin()

    def begin(self, layout: Layout = SINGLE) -> None:
        self.log = Recorder()
        self.layout = layout
        self.hosts = [HostCore(self.log) for _ in range(layout.hosts)]
        self.kvms: dict[str, KvmCore] = {}
        self.network = Network()

    @property
    def host(self) -> HostCore:
        """The first host."""
        return self.hosts[0]

    def host_of(self, session: str) -> HostCore:
        if session not in self.layout.kvms:
            raise RefusedError("not configured yet", "ENXIO")
        return self.hosts[self.layout.kvms[session]]

    def perf(self, command: AnyPerfCommand, host: int = 0) -> AnyResult:
        result = self.hosts[host].command(command)
        self._carry()
        return result

    def kvm(self, session: str, command: AnyKvmCommand) -> AnyResult:
        host = self.host_of(session)
        core = self.kvms.get(session)
        if core is None:
            core = self.kvms[session] = KvmCore(self.log)
        steps = core.command(command)
        try:
            request = next(steps)
            while True:
                request = steps.send(host.request(request))
        except StopIteration as stop:
            result: AnyResult = stop.value
        self._carry()
        return result

    def decide(self, receiver: str, fate: Fate, session: str, n: int) -> None:
        core = self.host_of(session) if receiver == HOST else self.kvms[receiver]
        envelope = self.network.decide(fate, session, receiver == HOST, n, self.log)
        if envelope is not None:
            core.take(envelope)
        self._carry()

    def _carry(self) -> None:
        for host in self.hosts:
            for envelope in host.drain():
                self.network.put(envelope)
        for kvm in self.kvms.values():
            for envelope in kvm.drain():
                self.network.put(envelope)

    def close(self) -> None:
        pass
