"""The gRPC wire: the services run in other processes and are reached by address.

Theory of operation. There is one call at a time. Each call carries the run's clocks, and returns all records that it
caused; they follow the driver's records without a gap. grpc is loaded with the first call. When a call fails for any
reason other than a refusal, the run is over. Then ``autopsy`` finds out which service failed, and which records can
still be read.

Two services that lose their link go on, and the stamp of their answers names the session. ``losses`` waits until both
ends have seen the loss and the link is up again. The player then tells them of it, as a decision of the schedule.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Protocol

from client.drive.wire import SINGLE, Layout, perfcores_of
from contract.control import (
    AnyKvmCommand,
    AnyPerfCommand,
    ConfigureKvm,
    ConfigurePerf,
    KvmLoseLink,
    KvmSnapshot,
    LoseLink,
)
from contract.effects import StepResult
from contract.errors import InputError, RefusedError, SystemFailedError
from contract.messages import HOST
from contract.network import Fate
from contract.results import AnyResult
from contract.trace import Delivery, Recorder

if TYPE_CHECKING:
    from client.drive.grpc_service import Service
    from contract.wire.tls import Identity


@dataclass(frozen=True, slots=True)
class Turn:
    """How a driver gets services that another driver holds: it waits up to so many seconds, or ends the other's run."""

    wait: float = 0.0
    take_over: bool = False


NO_WAIT = Turn()


class Keeper(Protocol):
    """The owner of service processes. ``service``: a host or a session, as in ``Wire.crash``."""

    def kill(self, service: str) -> None: ...

    def start(self, service: str) -> None: ...


def holder() -> str:
    """The name under which other drivers see this one."""
    return f"{os.environ.get('USER') or os.getuid()}@{socket.gethostname()} (process {os.getpid()})"


CALL_TIMEOUT = 5.0
RELEASE_TIMEOUT = 2.0
"""Seconds to give a lease back. A busy machine needs some; without an answer the next driver waits for the lease."""
LOSS_TIMEOUT = 5.0
"""Seconds in which KVM has to notice a lost link that another end has noticed."""
LOSS_PAUSE = 0.01
"""Seconds between two looks at whether it has."""
UNCONFIGURED = "not configured yet", "ENXIO"


def _not_ours(service: str, timeout: float) -> str:
    return ""


class GrpcWire:
    """A wire to perf cores and KVM services by gRPC address, in the order of hosts and KVMs of a layout. If there are
    more services than a run needs, the rest is left alone.

    ``timeout``: seconds for each call. ``ends``: says how a service process that this driver started has ended
    (``Pair.end``). ``keeper``: the owner of the processes, who can end them and start them again (``Pair``).
    ``identity``: for mutual TLS on TCP addresses."""

    name = "grpc"

    def __init__(
        self,
        perfcore: str | Sequence[str],
        kvm: str | Sequence[str],
        timeout: float = CALL_TIMEOUT,
        ends: Callable[[str, float], str] = _not_ours,
        turn: Turn = NO_WAIT,
        keeper: Keeper | None = None,
        identity: Identity | None = None,
    ) -> None:
        self._perfcores = [perfcore] if isinstance(perfcore, str) else list(perfcore)
        self._kvms = [kvm] if isinstance(kvm, str) else list(kvm)
        self._timeout = timeout
        self._ends = ends
        self._keeper = keeper
        self._identity = identity
        self._services: dict[str, Service] = {}
        self._layout = SINGLE
        self._turn = turn
        self.owner = token_hex(16)
        self._acquired: list[Service] = []
        self._failure: SystemFailedError | None = None
        self.begin()

    def begin(self, layout: Layout = SINGLE) -> None:
        names = perfcores_of(layout), list(layout.kvms)
        for flag, given, needed in zip(("--perfcore", "--kvm"), (self._perfcores, self._kvms), names, strict=True):
            if len(given) < len(needed):
                expected = f"expected {len(needed)} ({', '.join(needed)})"
                raise InputError(f"{len(given)} address{'es' * (len(given) != 1)} given, {expected}", flag)
        if layout != self._layout:
            self.close()
            self._layout = layout
        self.log = Recorder()
        self._configured: set[int] = set()
        self._sessions: set[str] = set()
        self._crashed: set[str] = set()
        self._lost: dict[str, list[str]] = {}
        if self._failure is not None:
            self._acquired.clear()
        self._failure = None

    def perf(self, command: AnyPerfCommand, host: int = 0) -> StepResult[AnyResult]:
        if isinstance(command, ConfigurePerf):
            return self._configure(command, host)
        if host not in self._configured:
            raise self._failure or RefusedError(*UNCONFIGURED)
        return self._call(self._perfcore(host), command)

    def kvm(self, session: str, command: AnyKvmCommand) -> StepResult[AnyResult]:
        configures = isinstance(command, ConfigureKvm)
        alone = configures and len(self._layout.kvms) == 1  # A service answers by itself if it is of the other kind.
        if not alone and session not in (self._layout.kvms if configures else self._sessions):
            raise RefusedError(*UNCONFIGURED)
        step = self._call(self._kvm(session), command)
        if configures:
            self._sessions.add(session)
        return step

    def decide(
        self, receiver: str, fate: Fate, session: str, n: int, fault: str = "", field: str = ""
    ) -> StepResult[bool]:
        if receiver != HOST and receiver not in self._sessions:
            raise RefusedError(*UNCONFIGURED)
        from contract.wire.methods import Decide

        host = self._perfcore(self._layout.kvms.get(session, 0))
        name = host if receiver == HOST else self._kvm(receiver)
        step = self._call(name, Decide(session, n, fate, fault, field))
        decided = any(isinstance(record, Delivery) for record in step.effects)
        if not decided:
            self._lost.setdefault(name, [session])
        return StepResult(decided, step.effects, step.now)

    @property
    def owns_services(self) -> bool:
        return self._keeper is not None

    def crash(self, service: str) -> None:
        """SIGKILL. The service's streams are gone; what others know of it is not."""
        if self._keeper is None:
            raise InputError("this run cannot end a service that it has not started", service)
        self._keeper.kill(service)
        name = self._of(service)
        old = self._services[name]
        fresh = self._services[name] = old.again()
        fresh.run = old.run
        self._acquired = [fresh if each is old else each for each in self._acquired]
        old.close()
        self._crashed.add(name)
        self._sessions.discard(service)
        self._lost.pop(name, None)

    def start(self, service: str) -> None:
        assert self._keeper is not None
        self._keeper.start(service)
        name = self._of(service)
        if self._services[name].kind == "perfcore":
            self._services[name].acquire(holder(), self._timeout)

    def services(self) -> dict[str, Service]:
        """The services of the run, by the names of hosts and sessions, without those that are down."""
        names = [*perfcores_of(self._layout), *self._sessions]
        return {name: self._services[self._of(name)] for name in names if self._of(name) not in self._crashed}

    def note_losses(self, name: str, sessions: Sequence[str]) -> None:
        """A service has said in a free run that these sessions have lost their link. ``losses`` gives them."""
        self._lost[self._of(name)] = list(sessions)

    def fail(self, error: SystemFailedError) -> None:
        """The run is over, since a service has failed."""
        self._failure = self._failure or error

    def _of(self, service: str) -> str:
        """The name in ``_services`` of a host or of a session."""
        return service if service in perfcores_of(self._layout) else self._kvm(service)

    def _perfcore(self, host: int) -> str:
        return perfcores_of(self._layout)[host]

    def _kvm(self, session: str) -> str:
        return session if len(self._layout.kvms) > 1 else "kvm"

    def close(self) -> None:
        """Give the services back, so that waiting drivers can take them."""
        for service in self._acquired:
            if self._failure is None or self._failure.service != service.name:
                service.release(RELEASE_TIMEOUT)
        self._acquired.clear()
        for service in self._services.values():
            service.close()
        self._services.clear()

    def _connect(self) -> dict[str, Service]:
        if not self._services:
            from client.drive.grpc_service import Service

            names = perfcores_of(self._layout)
            made = [
                Service("perfcore", self._perfcores[i], name, i, self.owner, self._identity)
                for i, name in enumerate(names)
            ]
            kvms = zip(self._layout.kvms.items(), self._kvms, strict=False)
            made += [
                Service("kvm", address, self._kvm(name), host, self.owner, self._identity)
                for (name, host), address in kvms
            ]
            self._services = {service.name: service for service in made}
        return self._services

    def _configure(self, command: ConfigurePerf, host: int) -> StepResult[AnyResult]:
        """Configure the services. Each perf core numbers the run by itself, and its KVMs use the same number. Host 0
        begins."""
        if self._failure is not None:
            raise self._failure
        again = self._perfcore(host) in self._crashed
        if not host and not again:
            self._acquire()
        if host and not self._configured:
            raise RefusedError(*UNCONFIGURED)
        step = self._call(self._perfcore(host), command)
        self._configured = self._configured | {host} if host or again else {0}
        return step

    def _acquire(self) -> None:
        """Greet the services and take the leases of the perf cores, always in the same order. So two drivers never wait
        for each other."""
        services = self._connect()
        if self._acquired:
            return
        from client.drive.autopsy import greet
        from client.drive.grpc_service import BrokenCallError

        try:
            greet(services, self._timeout, self._ends)
            for service in sorted(services.values(), key=lambda service: service.address):
                if service.kind == "perfcore":
                    service.acquire(holder(), self._timeout, wait=self._turn.wait, take_over=self._turn.take_over)
                    self._acquired.append(service)
        except SystemFailedError as error:
            self._failure = error
            raise
        except BrokenCallError as broken:
            hint = "; --wait SECONDS waits, --take-over ends the other run" if broken.details.startswith("busy") else ""
            self._failure = SystemFailedError(broken.service, f"{broken.details}{hint}")
            raise self._failure from None

    def _call(self, name: str, command: Any) -> StepResult[Any]:
        mark = len(self.log.records)
        try:
            result = self._exchange(name, command)
        except RefusedError as refused:
            refused.effects = self.log.records[mark:]
            if isinstance(command, LoseLink | KvmLoseLink):
                self._lost.pop(name, None)  # A core that has no such session has lost nothing.
            raise
        return StepResult(result, self.log.records[mark:], self.log.now)

    def losses(self) -> list[str]:
        """Where KVM answers, its link is up again, and so the host has seen the loss too."""
        lost = sorted(
            {session for sessions in self._lost.values() for session in sessions if session in self._sessions}
        )
        for session in lost:
            kvm = self._kvm(session)
            until = time.monotonic() + LOSS_TIMEOUT
            while session not in self._lost.get(kvm, ()):
                if time.monotonic() > until:
                    self._failure = SystemFailedError(kvm, f"still does not miss its link after {LOSS_TIMEOUT:g} s")
                    raise self._failure
                time.sleep(LOSS_PAUSE)
                self._exchange(kvm, KvmSnapshot())
        return lost

    def _exchange(self, name: str, command: Any) -> Any:
        if self._failure is not None:
            raise self._failure
        if not (self._configured or isinstance(command, ConfigurePerf)):
            raise RefusedError(*UNCONFIGURED)
        from client.drive.autopsy import examine, follow, recover
        from client.drive.grpc_service import BrokenCallError, RefusedCallError, printable, result_of, sound
        from contract.wire.records import record_from_proto

        services, log = self._connect(), self.log
        service = services[name]
        again = name in self._crashed
        begins = isinstance(command, ConfigurePerf) and not again
        run = 0 if begins else services[self._perfcore(service.host)].run
        try:
            response = service.call(run, log, command, self._timeout)
        except RefusedCallError as refused:
            if refused.clock != log.clock:
                recover(log, services.values())
            raise RefusedError(str(refused), refused.errno) from None
        except BrokenCallError as broken:
            self._failure = examine(broken, services, log, self._ends)
            raise self._failure from None
        if isinstance(command, ConfigurePerf | ConfigureKvm):
            service.run = response.stamp.run
            self._crashed.discard(name)
        expected = log.clock + 1
        try:
            records = [sound(record_from_proto(record)) for record in response.records]
            result = result_of(response)
        except InputError as error:
            self._failure = SystemFailedError(name, f"its answer cannot be read: {printable(str(error))}")
            raise self._failure from None
        if not follow(log, records) or response.stamp.clock != log.clock:
            self._failure = SystemFailedError(name, f"its records do not follow ours, expected one numbered {expected}")
            raise self._failure
        log.now = response.stamp.now_ns
        self._lost.pop(name, None)
        if response.stamp.lost:
            self._lost[name] = list(response.stamp.lost)
        return result
