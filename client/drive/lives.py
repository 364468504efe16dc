"""Crash, shutdown and restart of a service, end of a vCPU's thread, end of a VM: faults of neither messages nor links.

Theory of operation. A crash of a KVM takes its state and the messages on its link. The kernel of the host notices: the
link is lost, the threads of its vCPUs exit, their events are closed (R22). A new life of the KVM has its VMs at RESET
and greets under a higher epoch. A crash of a host is a loss of its power: silicon, events and tasks are gone. Its KVMs
find the link lost; when the host is back they resume, hear that it does not know them, and greet it under a higher
epoch. A KVM keeps its knowledge of its guests.

A service that is told to stop ends its sessions in order (R24) before its process ends. The end of its process is a
crash that takes less with it.

The threads of the vCPUs run again, on the CPUs on which they ran before, as soon as their KVM has greeted the host. A
CPU that runs another task by then stays with that task. A statement of a guest, or of its user space, that was under
way when its KVM crashed begins again. A call of the host that slept when its host crashed ends with ``CUT_OFF``. Host
tasks and host events do not come back.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import UNSET

from client.drive.obstacles import vcpu_of
from client.drive.state import Thread
from client.drive.values import event_value
from client.drive.wire import perfcores_of
from client.litmus.ast import HostStmt, OpenEvent, UserMigrate, UserStmt
from client.schedule.incidents import Crash, Kill, Restart, Shutdown
from client.schedule.outages import Outages
from contract import trace
from contract.control import (
    AnyKvmCommand,
    AnyPerfCommand,
    ConfigureKvm,
    ConfigurePerf,
    DrainSession,
    EndSession,
    EndVcpu,
    ExitTask,
    KvmDrain,
    KvmLoseLink,
    KvmMendLink,
    LoseLink,
    RunTask,
)
from contract.errors import RefusedError
from contract.spec import first_serial

if TYPE_CHECKING:
    from client.drive.play import Player

CUT_OFF = "ECONNRESET"
"""The result of a call that a crash ended."""


class Lives:
    """The part of a player that carries out these faults."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self.wire, self.flight = player.wire, player.flight

    @property
    def outages(self) -> Outages:
        return self.flight.outages

    # Why something cannot happen now ------------------------------------------------------------------------

    def obstacle(self, thread: Thread) -> str:
        """Why a statement of the host or of user space has to wait for a service; "" if it need not."""
        step = thread.current
        if step is None or not (self.outages.down or self.outages.adrift):
            return ""
        stmt = step.stmt
        if isinstance(stmt, UserStmt):
            kvms = [self.player.places.get(stmt.vcpu, "")]
            if isinstance(stmt, UserMigrate):
                kvms.append(stmt.kvm)
            for kvm in kvms:
                if kvm in self.outages.down:
                    return f"{kvm} is down"
                if kvm in self.outages.adrift:
                    return f"{kvm} has lost its host"
        down = next((name for name in self._hosts() if name in self.outages.down), "")
        return f"{down} is down" if down else ""

    # Crash, shutdown and restart -------------------------------------------------------------------------------------

    def shut_down(self, decision: Shutdown) -> None:
        """A session that is not open ends with the process."""
        service, host = decision.service, self._number(decision.service)
        sessions, vcpus = self._of(service)
        self._put(trace.ShuttingDown(service, sessions, vcpus, decision.fault or UNSET))
        if host < 0:
            self._tell_kvm(service, KvmDrain("KVM stops"))
            return
        for session in sessions:
            self._tell_host(host, DrainSession(session, "the perf core stops"))

    def crash(self, decision: Crash) -> None:
        service, kvms = decision.service, self.player.kvms
        host = self._number(service)
        sessions, vcpus = self._of(service)
        orderly = service in self.outages.stopping or UNSET
        self._put(trace.Crash(service, host, sessions, vcpus, decision.fault or UNSET, orderly))
        self.wire.crash(service)
        if host >= 0:
            self._cut_off(host)
            for kvm in sessions:
                self._tell_kvm(kvm, KvmLoseLink())
            return
        self._begin_again(vcpus)
        for command in (LoseLink(service), EndSession(service)):
            self._tell_host(kvms[service], command)

    def restart(self, decision: Restart) -> None:
        service, player = decision.service, self.player
        host, machines = self._number(service), player.scenario.machines()
        fault = decision.fault or UNSET
        if host < 0:
            epoch = self.flight.epochs.get(service, 0) + 1
            self._put(trace.Restart(service, epoch, fault))
            self.wire.start(service)
            machine = machines[player.kvms[service]]
            player.ask(
                self.wire.kvm,
                service,
                ConfigureKvm(service, machine, player.design, player.scenario.vms_at(service), epoch),
            )
            return
        serial = self._next_serial(host)
        self._put(trace.Restart(service, self.outages.lives.get(service, 1) + 1, fault))
        self.wire.start(service)
        scenario = player.scenario
        again = ConfigurePerf(machines[host], player.design, scenario.tasks, scenario.vcpus(), serial)
        player.ask(self.wire.perf, again, host)
        for kvm, at in player.kvms.items():
            if at == host:
                self._tell_kvm(kvm, KvmMendLink())

    def settle(self) -> None:
        """Threads of vCPUs that can run again do so."""
        for vcpu, cpu in list(self.outages.homeless.items()):
            kvm, host = self.player.places[vcpu], self.flight.places.get(vcpu, 0)
            services = {kvm, self._name(host)}
            if services & self.outages.down or services & self.outages.stopping.keys() or kvm in self.outages.adrift:
                continue
            del self.outages.homeless[vcpu]
            if self.flight.host_of(cpu) != host:  # The vCPU was migrated while its old KVM stopped.
                continue
            busy = {at for (on, _), at in self.flight.running.items() if on == host}
            if cpu not in busy and (host, vcpu) not in self.flight.running:
                self.player.ask(self.wire.perf, RunTask(vcpu, cpu), host)

    def due(self) -> Restart | None:
        """The next service that has to begin a new life before the run can end; None if all are up."""
        return next(iter(self.outages.restarts()), None)

    def _next_serial(self, host: int) -> int:
        """The serial number behind those of all branches of this host."""
        burst = next(
            (
                r
                for r in reversed(self.wire.log.records)
                if isinstance(r, trace.Retired | trace.Pmi) and self.flight.host_of(r.cpu) == host
            ),
            None,
        )
        return first_serial(host) if burst is None else burst.first + burst.count

    # Threads and VMs ---------------------------------------------------------------------------------------

    def kill(self, decision: Kill) -> None:
        named = [v for v in self.player.places if decision.name in (v, v.split("/")[0])]
        vcpus = [vcpu for vcpu in named if vcpu not in self.outages.ended]
        self._put(trace.Killed(decision.kind, vcpus, decision.fault or UNSET))
        self._begin_again(vcpus)
        for vcpu in vcpus:
            self._tell_host(self.flight.places.get(vcpu, 0), ExitTask(vcpu))
            self._tell_kvm(self.player.places[vcpu], EndVcpu(vcpu))

    # Parts -------------------------------------------------------------------------------------------------

    def _hosts(self) -> list[str]:
        return perfcores_of(self.player.layout)

    def _name(self, host: int) -> str:
        return self._hosts()[host]

    def _of(self, service: str) -> tuple[list[str], list[str]]:
        """The sessions of a service, and their vCPUs."""
        host = self._number(service)
        sessions = [service] if host < 0 else [kvm for kvm, at in self.player.kvms.items() if at == host]
        return sessions, [vcpu for vcpu, kvm in self.player.places.items() if kvm in sessions]

    def _number(self, service: str) -> int:
        """The number of a host; -1 for a KVM."""
        hosts = self._hosts()
        return hosts.index(service) if service in hosts else -1

    def _put(self, record: trace.ShuttingDown | trace.Crash | trace.Restart | trace.Killed) -> None:
        self.wire.log.add(record)
        self.flight.follow([record])

    def _tell_host(self, host: int, command: AnyPerfCommand) -> None:
        """The host takes the command, if it is up and the command is about it."""
        if self._name(host) not in self.outages.down:
            with suppress(RefusedError):
                self.player.ask(self.wire.perf, command, host)

    def _tell_kvm(self, kvm: str, command: AnyKvmCommand) -> None:
        if kvm not in self.outages.down:
            with suppress(RefusedError):
                self.player.ask(self.wire.kvm, kvm, command)

    def _is_of_host(self, thread: Thread, host: int) -> bool:
        step = thread.current
        if step is None or not isinstance(step.stmt, HostStmt):
            return False
        names = self.player.names
        event = step.stmt.register if isinstance(step.stmt, OpenEvent) else getattr(step.stmt, "event", "")
        return bool(event) and names.hosts.get(names.of(step.actor, event), 0) == host

    def _begin_again(self, vcpus: list[str]) -> None:
        """The statements under way of these vCPUs have not begun. No thread of a vCPU that has ended continues."""
        for thread in self.player.threads.values():
            if vcpu_of(thread) in vcpus:
                thread.running = False

    def _cut_off(self, host: int) -> None:
        """The calls that sleep on this host end here."""
        player = self.player
        for thread in player.threads.values():
            step = thread.current
            if step is None or not thread.running or not self._is_of_host(thread, host):
                continue
            if isinstance(step.stmt, OpenEvent):
                player.flight.forget(player.names.done(step.actor, step.stmt.register))
                player.flight.forget(player.names.of(step.actor, step.stmt.register))
                player.set_register(step.actor, step.stmt.register, event_value(CUT_OFF))
            else:
                player.set_register(step.actor, step.stmt.sets, CUT_OFF)
            player.record(thread.done())
