"""The simulated wire: both cores in this process."""

from __future__ import annotations

from contract.control import AnyKvmCommand, AnyPerfCommand, AnyResult
from contract.inbox import Fate
from contract.messages import HOST
from contract.trace import TraceLog
from kvm_svc.core import KvmCore
from perfcore_svc.core import HostCore


class SimWire:
    name = "sim"

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.log = TraceLog()
        self.host = HostCore(self.log)
        self.kvms: dict[str, KvmCore] = {}

    def perf(self, command: AnyPerfCommand) -> AnyResult:
        result = self.host.command(command)
        self._carry()
        return result

    def kvm(self, session: str, command: AnyKvmCommand) -> AnyResult:
        core = self.kvms.get(session)
        if core is None:
            core = self.kvms[session] = KvmCore(self.log)
        steps = core.command(command)
        try:
            request = next(steps)
            while True:
                request = steps.send(self.host.request(request))
        except StopIteration as stop:
            result: AnyResult = stop.value
        self._carry()
        return result

    def decide(self, receiver: str, fate: Fate, session: str, n: int) -> None:
        core = self.host if receiver == HOST else self.kvms[receiver]
        core.decide(fate, session, n)
        self._carry()

    def _carry(self) -> None:
        for envelope in self.host.drain():
            self.kvms[envelope.session].inbox.put(envelope)
        for core in self.kvms.values():
            for envelope in core.drain():
                self.host.inbox.put(envelope)

    def close(self) -> None:
        pass
