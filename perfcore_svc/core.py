"""The perf core service without its sockets: one interface to silicon, perf core and endpoint.

It is built from its configuration. ``command`` carries out one command of the driver, ``request`` answers one request
of the machine stream, ``take`` gives it a message of a KVM. Each is a step, and returns what it did as a value
(``contract.effects.Step``). A refused command changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from contract.actors import actor_table
from contract.canonical import EventName
from contract.control import (
    Advance,
    AnyPerfCommand,
    Close,
    ConfigurePerf,
    Disable,
    DrainSession,
    Enable,
    EndSession,
    ExitTask,
    FireHostTimer,
    LoseLink,
    Mediate,
    Open,
    PerfSnapshot,
    Read,
    Retire,
    RunTask,
    Sample,
    SetMuxInterval,
)
from contract.design import HostEvents
from contract.design_check import check_design
from contract.effects import Core, StepResult
from contract.errors import LimitError, RefusedError
from contract.machine import AnyReply, AnyRequest, CounterRead, ReadCounter
from contract.messages import PROTOCOL_VERSION, Drain, Drained, Envelope, Hello
from contract.provenance import SERIAL_LIMIT
from contract.results import IN_PROGRESS, AnyResult, Branches, Counted, Done, EventView, PerfView
from contract.session import DRAINS, SessionInput, SessionPhase, refuse_damaged
from contract.spec import ADVANCE_LIMIT, EVENTS_OF_A_HOST, TIME_LIMIT, first_serial, machine_model
from contract.trace import EventFailed, Switch, TaskExit
from contract.x86 import BRANCH_KINDS, PRIVILEGES
from perfcore_svc.endpoint import HostEndpoint, Sessions
from perfcore_svc.grants import Grants, GrantState
from perfcore_svc.machine.board import Board, new_board, new_silicon
from perfcore_svc.machine.cpu import Cpu, Silicon
from perfcore_svc.machine.machine import Machine
from perfcore_svc.perf import sched
from perfcore_svc.perf.core import Perf, new_perf
from perfcore_svc.perf.event import PerfEvent, State
from perfcore_svc.perf.kernel import Kernel
from perfcore_svc.perf.kernel_rules import KERNEL_RULES
from perfcore_svc.perf.pmu import armv8_pmu, intel_pmu
from perfcore_svc.perf.reservations import MediatedError
from perfcore_svc.perf.rivals import TakenError
from perfcore_svc.perf.state import PerfState

BRANCHES_LIMIT = 1_000_000
MUX_INTERVAL_LEAST = 1_000_000


@dataclass(slots=True)
class HostState:
    """All state of a host."""

    silicon: Silicon
    """The silicon."""
    perf: PerfState
    """The perf core."""
    sessions: Sessions = field(default_factory=Sessions)
    """The sessions with KVMs."""
    grants: GrantState = field(default_factory=GrantState)
    """The grants of guests."""
    asleep: dict[str, type[Open | Enable]] = field(default_factory=dict)
    """Event to the call that sleeps until guests have given up the LBR. The same command continues that call."""
    exited: dict[str, str] = field(default_factory=dict)
    """Task that has exited to the session that it was a vCPU's thread of; "": of none."""

    def clone(self) -> HostState:
        return HostState(
            self.silicon.clone(),
            self.perf.clone(),
            self.sessions.clone(),
            self.grants.clone(),
            self.asleep.copy(),
            self.exited.copy(),
        )

    def key(self, now: int) -> tuple[Hashable, ...]:
        """For ``contract.canonical``. ``now``: virtual nanoseconds."""
        return (
            self.silicon.key(),
            self.perf.key(self.silicon, now),
            self.sessions.key(),
            self.grants.key(),
            frozenset([(EventName(event), call.__name__) for event, call in self.asleep.items()]),
            frozenset(self.exited.items()),
        )


class HostCore(Core):
    """``state`` is all that is remembered, beside the clock. A restart is a new core."""

    def __init__(
        self, config: ConfigurePerf, protocol: int, state: HostState, board: Board, operations: dict[str, int]
    ) -> None:
        super().__init__()
        spec = config.machine
        pmu = armv8_pmu(spec.counters) if spec.pmu == "armv8" else intel_pmu(spec.counters, spec.fixed)
        self.config = config
        self.protocol = protocol
        self.design = config.design
        self.state = state
        self.tasks = set(board.actors)
        self.machine = Machine(board, state.silicon, self.effects, operations)
        self.perf = Perf(Kernel(state.perf, self.machine, pmu, KERNEL_RULES[spec.kernel], config.design))
        self.grants = Grants(self.perf, state.grants, state.sessions.vcpus)
        self.endpoint = HostEndpoint(self.perf, state.sessions, self.grants, protocol, config.vcpus, state.exited)

    @classmethod
    def configured(cls, config: ConfigurePerf, protocol: int = PROTOCOL_VERSION) -> HostCore:
        """A host that has just booted. Raises RefusedError if there can be no such machine or design."""
        spec = config.machine
        model = machine_model(spec)
        check_design(config.design)
        actors = actor_table(config.tasks, config.vcpus)
        board = new_board(model, actors, first_cpu=spec.first_cpu, first_serial=first_serial(spec.host))
        silicon = new_silicon(board, spec.cpus)
        if not board.first_serial <= (serial := config.serial or board.first_serial) < SERIAL_LIMIT:
            raise RefusedError(f"serial = {config.serial}, expected {board.first_serial} to {SERIAL_LIMIT - 1}")
        silicon.serial = serial
        ids, pt_coexists = spec.host * EVENTS_OF_A_HOST, model.pt_coexists
        perf = new_perf(len(silicon.cpus), KERNEL_RULES[spec.kernel], ids, pt_coexists=pt_coexists)
        if config.design.host_events is HostEvents.SWITCHED_OUT and config.vcpus:
            perf.reservations.mediate()
        return cls(config, protocol, HostState(silicon, perf), board, {})

    def clone(self) -> HostCore:
        """An independent copy of the core."""
        operations = self.machine.operations.copy()
        twin = HostCore(self.config, self.protocol, self.state.clone(), self.machine.board, operations)
        twin.clock.now = self.clock.now
        twin.endpoint.unsent = self.endpoint.unsent
        return twin

    def key(self) -> tuple[Hashable, ...]:
        """For ``contract.canonical``."""
        return self.state.key(self.clock.now)

    def command(self, command: AnyPerfCommand, now: int) -> StepResult[AnyResult]:
        """Carry out one command. Raises RefusedError, with nothing changed, when it makes no sense here."""
        return self.step(now, _HANDLERS[type(command)], self, command)

    def request(self, request: AnyRequest, now: int) -> StepResult[AnyReply]:
        """Answer a request of the machine stream. Raises RefusedError like ``command``."""
        return self.step(now, self._answer, request)

    def take(self, envelope: Envelope, now: int) -> StepResult[None]:
        """A message of a KVM has come."""
        return self.step(now, self._take, envelope)

    def finish(self) -> None:
        self.endpoint.finish()

    def _answer(self, request: AnyRequest) -> AnyReply:
        if isinstance(request, ReadCounter):
            return CounterRead(self.perf.guest_count(request.event, request.vcpu))
        return self.machine.handle(request, self._is_active)

    def _is_active(self, event: int, grant: int) -> bool:
        """Whether an event is ACTIVE, under this grant if one is named."""
        return self.perf.is_active(event) and self.grants.is_current(event, grant)

    def _take(self, envelope: Envelope) -> None:
        if refuse_damaged(envelope, self.effects):
            return
        if self.endpoint.begins_anew(envelope):
            assert isinstance(envelope.body, Hello)
            self._end(envelope.session, f"epoch {envelope.epoch} begins", continues=envelope.body.continues)
        last = self.endpoint.take(envelope)
        if isinstance(last, Drain):
            self._leave(envelope.session, last)
        elif isinstance(last, Drained):
            self._end(envelope.session, "both ends have drained")

    # Commands --------------------------------------------------------------------------------------------

    def _cpu(self, index: int) -> Cpu:
        if not self.machine.first_cpu <= index < len(self.machine.cpus):
            raise RefusedError(f"there is no cpu{index}", "ENODEV")
        return self.machine.cpus[index]

    def _task(self, task: str) -> str:
        if task not in self.tasks or task in self.state.exited:
            raise RefusedError(f"there is no task {task!r}", "ESRCH")
        return task

    def _run(self, command: RunTask) -> AnyResult:
        cpu, task = self._cpu(command.cpu), self._task(command.task)
        elsewhere = self.perf.kernel.cpu_running(task)
        if elsewhere >= 0 and elsewhere != cpu.index:
            self._switch(self.machine.cpus[elsewhere], "")
        if cpu.task != task:
            self._switch(cpu, task)
        return Done()

    def _switch(self, cpu: Cpu, task: str) -> None:
        """``context_switch``, as far as perf and KVM see it."""
        prev = cpu.task
        self.machine.interrupt(cpu)
        sched.task_out(self.perf.kernel, cpu.index, prev)
        cpu.task = task
        self.effects.add(Switch(cpu.index, prev, task))
        self.endpoint.sched_out(prev, cpu.index)
        sched.task_in(self.perf.kernel, cpu.index, task)
        self.endpoint.sched_in(task, cpu.index)

    def _open(self, command: Open) -> AnyResult:
        if command.event in self.grants.state.waits:
            return IN_PROGRESS
        if self._has_waited(command):
            return Done()
        if command.event in self.perf.named:
            raise RefusedError(f"there is an event {command.event!r} already", "EEXIST")
        if command.task:
            self._task(command.task)
        if command.cpu != -1 or not command.task:
            self._cpu(command.cpu)
        try:
            event, losing = self.perf.open_host(command, self.grants.revocations.unmoved())
        except LimitError:
            raise
        except RefusedError as error:
            self._failed(command, error)
            return Done(errno=error.errno)
        return self._take_from(command, [event], losing)

    def _failed(self, command: Open, error: RefusedError) -> None:
        holder = error.holder if isinstance(error, TakenError | MediatedError) else ""
        lbr = bool(command.branch)
        failed = EventFailed(command.event, error.errno, command.cpu, command.task, command.pinned, lbr, "", holder)
        self.effects.add(failed)

    def _has_waited(self, command: Open | Enable) -> bool:
        """Whether this is a call that slept, and is over now."""
        if self.state.asleep.get(command.event) is not type(command):
            return False
        del self.state.asleep[command.event]
        return True

    def _take_from(self, command: Open | Enable, events: list[PerfEvent], losing: list[PerfEvent]) -> AnyResult:
        if not losing:
            return Done()
        self.state.asleep[command.event] = type(command)
        self.grants.revocations.begin(events, losing)
        return IN_PROGRESS

    def _event(self, name: str) -> PerfEvent:
        return self.perf.host_event(name)

    def _enable(self, command: Enable) -> AnyResult:
        if command.event in self.grants.state.waits:
            return IN_PROGRESS
        if self._has_waited(command):
            return Done()
        event = self._event(command.event)
        events = event.leader.group if command.group else [event]
        asleep = [member for member in events if member.state < State.INACTIVE]
        losing = self.grants.revocations.losers(events) if asleep else []
        if losing:
            return self._take_from(command, [event, *(e for e in events if e is not event)], losing)
        for member in events:
            sched.enable(self.perf.kernel, member)
        return Done()

    def _disable(self, command: Disable) -> AnyResult:
        event = self._event(command.event)
        for member in event.leader.group if command.group else [event]:
            sched.disable(self.perf.kernel, member)
        return Done()

    def _close(self, command: Close) -> AnyResult:
        event = self._event(command.event)
        self.perf.close(event)
        self.grants.revocations.closed(event)
        return Done()

    def _read(self, command: Read) -> AnyResult:
        event = self._event(command.event)
        try:
            return Counted(*self.perf.read(event))
        except RefusedError as error:
            return Counted(errno=error.errno)

    def _sample(self, command: Sample) -> AnyResult:
        stack = self.perf.sample(self._event(command.event))
        return Branches(False) if stack is None else Branches(True, stack[0], stack[1])

    def _retire(self, command: Retire) -> AnyResult:
        cpu = self._cpu(command.cpu)
        if command.branch not in BRANCH_KINDS or command.privilege not in PRIVILEGES:
            raise RefusedError(f"no such branch: {command.branch!r}, {command.privilege!r}")
        if not 1 <= command.count <= BRANCHES_LIMIT:
            raise RefusedError(f"{command.count} branches, expected 1 to {BRANCHES_LIMIT}")
        self.machine.interrupt(cpu)
        done = self.machine.host_retire(cpu, command.branch, command.privilege, command.count)
        return Done() if done == command.count else Done(done, IN_PROGRESS.errno)

    def _advance(self, command: Advance) -> AnyResult:
        if not 0 < command.ns <= ADVANCE_LIMIT:
            raise RefusedError(f"time cannot advance by {command.ns} ns, expected 1 to {ADVANCE_LIMIT}")
        if self.clock.now + command.ns > TIME_LIMIT:
            raise RefusedError(f"time ends at {TIME_LIMIT} ns")
        return Done() if self.perf.advance(command.ns, self.endpoint.tell) else IN_PROGRESS

    def _set_mux_interval(self, command: SetMuxInterval) -> AnyResult:
        if command.cpu != -1:
            self._cpu(command.cpu)
        if command.ns < MUX_INTERVAL_LEAST:
            return Done(errno="EINVAL")
        self.perf.set_mux_interval(command.ns, command.cpu, command.phase)
        return Done()

    def _mediate(self, command: Mediate) -> AnyResult:
        try:
            self.perf.reservations.mediate() if command.create else self.perf.reservations.unmediate()
        except RefusedError as error:
            return Done(errno=error.errno)
        return Done()

    def _fire(self, command: FireHostTimer) -> AnyResult:
        self.endpoint.fire(command.session, command.timer)
        return Done()

    def _lose_link(self, command: LoseLink) -> AnyResult:
        drains = self.endpoint.session(command.session).phase in DRAINS
        self.endpoint.lose_link(command.session)
        if drains:
            self._end(command.session, "its link is lost while it drains")
        return Done()

    def _drain_session(self, command: DrainSession) -> AnyResult:
        self.endpoint.session(command.session).drain(command.reason, self.effects)
        return Done()

    def _leave(self, name: str, drain: Drain) -> None:
        """KVM wants to end the session (R24). Its requests are answered, so its threads exit, and the host says so."""
        session = self.endpoint.session(name)
        session.move(SessionInput.DRAIN, self.effects, drain.reason)
        if session.phase is SessionPhase.DRAINING:
            self._exit_threads(name)
            session.leave(self.effects)

    def _end_session(self, command: EndSession) -> AnyResult:
        self._end(command.session, "the KVM is gone")
        return Done()

    def _end(self, name: str, why: str, *, continues: bool = False) -> None:
        """A session is over (R22): its threads exit, and its events with them. The KVM may begin a new life, with new
        threads. ``continues``: the KVM lives on (R26). Only its events and registrations go."""
        session = self.endpoint.session(name)
        if continues:
            for task in self.endpoint.threads_of(name):
                self.endpoint.drop_thread(task)
        else:
            self._exit_threads(name)
        session.end(why, self.effects)
        for task in [task for task, owner in self.state.exited.items() if owner == name]:
            del self.state.exited[task]

    def _exit_threads(self, session: str) -> None:
        for task in self.endpoint.threads_of(session):
            self._exit(task)

    def _exit_task(self, command: ExitTask) -> AnyResult:
        if not command.task:
            raise RefusedError("the idle task does not exit", "ESRCH")
        task = self._task(command.task)
        owner = self.endpoint.vcpus.get(task, "")
        self._exit(task)
        self.state.exited[task] = owner
        return Done()

    def _exit(self, task: str) -> None:
        """``do_exit``: the task leaves its CPU, a vCPU's thread first leaves guest mode, and the task's events are
        released."""
        cpu = self.perf.kernel.cpu_running(task)
        if cpu >= 0:
            self._switch(self.machine.cpus[cpu], "")
        self.effects.add(TaskExit(task, cpu, self.config.machine.host))
        self.machine.vmcs.pop(task, None)
        self.endpoint.drop_thread(task)
        for event in [event for event in self.perf.events.values() if event.task == task]:
            self.perf.close(event)
            self.grants.revocations.closed(event)

    def _snapshot(self, command: PerfSnapshot) -> AnyResult:
        events = self.perf.events.values()
        return PerfView(
            [EventView(e.id, e.guest, e.state.name, e.oncpu, self.grants.current(e)[0]) for e in events if e.guest],
            {e.name: e.state.name for e in events if not e.guest},
            {cpu.index: cpu.task for cpu in self.machine.cpus if cpu.task},
            dict(self.machine.operations),
        )


_HANDLERS: dict[type, Callable[[HostCore, Any], AnyResult]] = {
    RunTask: HostCore._run,
    Open: HostCore._open,
    Enable: HostCore._enable,
    Disable: HostCore._disable,
    Close: HostCore._close,
    SetMuxInterval: HostCore._set_mux_interval,
    Mediate: HostCore._mediate,
    Read: HostCore._read,
    Sample: HostCore._sample,
    Retire: HostCore._retire,
    Advance: HostCore._advance,
    FireHostTimer: HostCore._fire,
    LoseLink: HostCore._lose_link,
    DrainSession: HostCore._drain_session,
    EndSession: HostCore._end_session,
    ExitTask: HostCore._exit_task,
    PerfSnapshot: HostCore._snapshot,
}
