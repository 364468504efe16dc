"""The gRPC wire: both services behind their addresses, in other processes.

Theory of operation. One call at a time; each carries how far the run's clocks have come, and brings back all records
that it caused, which follow ours without a gap. grpc is loaded with the first call. When a call fails for any other
reason than a refusal, the run is over: ``autopsy`` finds out which service it was, and what records are left of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from contract.control import AnyKvmCommand, AnyPerfCommand, AnyResult, ConfigureKvm, ConfigurePerf
from contract.errors import RefusedError, SystemFailedError
from contract.inbox import Fate
from contract.messages import HOST
from contract.trace import TraceLog

if TYPE_CHECKING:
    from client.drive.grpc_service import Service

CALL_TIMEOUT = 5.0
UNCONFIGURED = "not configured yet", "ENXIO"


def _not_ours(service: str, timeout: float) -> str:
    return ""


class GrpcWire:
    """A wire to one perf core and one KVM service, by gRPC addresses. ``timeout``: seconds for each call. ``ends``
    tells how a service process of ours has ended (``Pair.end``)."""

    name = "grpc"

    def __init__(
        self, perfcore: str, kvm: str, timeout: float = CALL_TIMEOUT, ends: Callable[[str, float], str] = _not_ours
    ) -> None:
        self._addresses = {"perfcore": perfcore, "kvm": kvm}
        self._timeout = timeout
        self._ends = ends
        self._services: dict[str, Service] = {}
        self._run = 0
        self.begin()

    def begin(self) -> None:
        self.log = TraceLog()
        self._configured = False
        self._session = ""
        self._failure: SystemFailedError | None = None

    def perf(self, command: AnyPerfCommand) -> AnyResult:
        if isinstance(command, ConfigurePerf):
            return self._configure(command)
        result: AnyResult = self._call("perfcore", command)
        return result

    def kvm(self, session: str, command: AnyKvmCommand) -> AnyResult:
        configures = isinstance(command, ConfigureKvm)
        if not configures and session != self._session:
            raise RefusedError(*UNCONFIGURED)
        result: AnyResult = self._call("kvm", command)
        if configures:
            self._session = session
        return result

    def decide(self, receiver: str, fate: Fate, session: str, n: int) -> None:
        if receiver not in (HOST, self._session):
            raise RefusedError(*UNCONFIGURED)
        from contract.wire.methods import Decide

        self._call("perfcore" if receiver == HOST else "kvm", Decide(session, n, fate))

    def close(self) -> None:
        for service in self._services.values():
            service.close()
        self._services.clear()

    def _connect(self) -> dict[str, Service]:
        if not self._services:
            from client.drive.grpc_service import Service

            self._services = {name: Service(name, address) for name, address in self._addresses.items()}
        return self._services

    def _configure(self, command: ConfigurePerf) -> AnyResult:
        """A run that is configured has a number above all that the services have seen."""
        if self._failure is not None:
            raise self._failure
        services, before = self._connect(), self._run
        if not before:
            from client.drive.autopsy import greet

            try:
                before = greet(services, self._timeout, self._ends)
            except SystemFailedError as error:
                self._failure = error
                raise
        was, self._configured = (self._configured, self._run), True
        self._run = before + 1
        try:
            result: AnyResult = self._call("perfcore", command)
        except RefusedError:
            self._configured, self._run = was
            raise
        return result

    def _call(self, name: str, command: Any) -> Any:
        if self._failure is not None:
            raise self._failure
        if not self._configured:
            raise RefusedError(*UNCONFIGURED)
        from client.drive.autopsy import examine, follow, recover
        from client.drive.grpc_service import BrokenCallError, RefusedCallError, result_of
        from contract.wire.records import record_from_proto

        services, log = self._connect(), self.log
        try:
            response = services[name].call(self._run, log, command, self._timeout)
        except RefusedCallError as refused:
            if refused.clock != log.clock:
                recover(log, self._run, services.values())
            raise RefusedError(str(refused), refused.errno) from None
        except BrokenCallError as broken:
            self._failure = examine(broken, services, self._run, log, self._ends)
            raise self._failure from None
        expected = log.clock + 1
        if not follow(log, list(map(record_from_proto, response.records))) or response.stamp.clock != log.clock:
            self._failure = SystemFailedError(name, f"its records do not follow ours, expected one numbered {expected}")
            raise self._failure
        log.now = response.stamp.now_ns
        return result_of(response)
