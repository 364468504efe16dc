"""The host's end of the contract: sessions, and what a KVM is told about its events and threads.

Messages from KVM come in through ``take``; what the perf core did meanwhile goes out through ``notify``.
A grant is one ACTIVE spell of a guest's event, numbered upwards over the whole host (R6).
"""

from __future__ import annotations

from contract.design import Design, Notifier, Recovery, Save
from contract.errors import RefusedError
from contract.inbox import CAPACITY
from contract.messages import (
    AnyMessage,
    Available,
    CreateCounter,
    CreateEvent,
    EnableEvent,
    Envelope,
    EventCreated,
    EventState,
    Hello,
    Overflow,
    PauseCounter,
    RegisterVcpu,
    ReleaseEvent,
    ResumeCounter,
    Revoke,
    SchedIn,
    SchedOut,
    Welcome,
)
from contract.session import Session, discard
from contract.trace import EventFailed, TraceLog
from perfcore_svc.machine.machine import Machine
from perfcore_svc.perf import sched
from perfcore_svc.perf.core import Perf
from perfcore_svc.perf.event import PerfEvent, State


class Endpoint:
    __slots__ = (
        "accepted",
        "design",
        "grants",
        "log",
        "machine",
        "outbox",
        "perf",
        "protocol",
        "sessions",
        "threads",
        "vcpus",
    )

    def __init__(
        self, machine: Machine, perf: Perf, design: Design, log: TraceLog, protocol: int, threads: list[str]
    ) -> None:
        self.machine = machine
        self.perf = perf
        self.design = design
        self.log = log
        self.protocol = protocol
        self.sessions: dict[str, Session] = {}
        self.accepted: set[str] = set()
        self.threads = threads
        self.vcpus: dict[str, str] = {}
        self.outbox: list[Envelope] = []
        self.grants = 0

    # Messages from KVM -----------------------------------------------------------------------------------

    def take(self, envelope: Envelope) -> None:
        self.log.witness(envelope.clock, 0)
        name = envelope.session
        if name not in self.accepted and not isinstance(envelope.body, Hello):
            discard(envelope, self.log, "R1", "no accepted Hello yet")
            return
        session = self.sessions.setdefault(name, Session(name, is_host=True))
        body = session.accept(envelope, self.log)
        match body:
            case None:
                pass
            case Hello() if name not in self.accepted:
                self._welcome(session, body)
            case RegisterVcpu() if body.task not in self.threads:
                discard(envelope, self.log, "R7", f"{body.task!r} is no vCPU's thread")
            case RegisterVcpu() if self.vcpus.get(body.task, name) != name:
                discard(envelope, self.log, "R7", f"{body.task} belongs to session {self.vcpus[body.task]}")
            case RegisterVcpu():
                self.vcpus[body.task] = envelope.session
            case CreateEvent():
                self._create(envelope.session, body)
            case CreateCounter():
                self._create_counter(envelope.session, body)
            case PauseCounter():
                if event := self._guest_event(envelope, body.event):
                    sched.disable(self.perf.state, event)
            case ResumeCounter():
                self._resume_counter(envelope, body)
            case ReleaseEvent():
                if event := self._guest_event(envelope, body.event):
                    self.perf.close(event)
            case EnableEvent():
                if event := self._guest_event(envelope, body.event):
                    sched.enable(self.perf.state, event)
            case _:
                discard(envelope, self.log, "R1", f"the host has no use for {envelope.kind}")
        self.notify()

    def _welcome(self, session: Session, hello: Hello) -> None:
        reason = ""
        if hello.protocol == self.protocol:
            self.accepted.add(session.name)
        else:
            reason = f"protocol {hello.protocol}, this host speaks {self.protocol}"
        self._send(session.name, Welcome(not reason, self.protocol, reason, CAPACITY))

    def _guest_event(self, envelope: Envelope, event_id: int) -> PerfEvent | None:
        event = self.perf.events.get(event_id)
        if event is None or self.vcpus.get(event.guest or event.counts_for) != envelope.session:
            discard(envelope, self.log, "R1", f"event {event_id} is not one of this session")
            return None
        return event

    def _create(self, session: str, request: CreateEvent) -> None:
        name = f"vlbr:{request.vcpu}"
        try:
            if self.vcpus.get(request.vcpu) != session:
                raise RefusedError(f"{request.vcpu} is not registered", "ESRCH")
            if request.task and request.task not in self.machine.actors:
                raise RefusedError(f"there is no task {request.task!r}", "ESRCH")
            event = self.perf.open_guest(name, request.vcpu, request.task)
        except RefusedError as error:
            self.log.add(EventFailed(name, error.errno))
            self._send(session, EventCreated(request.vcpu, request.request, 0, error.errno))
            return
        created = EventCreated(request.vcpu, request.request, event.id)
        self.notify(besides=event)
        if self.design.notifier is not Notifier.NONE:
            created.state = event.state.name
            created.grant = self._grant(event)
        self._send(session, created)

    def _create_counter(self, session: str, request: CreateCounter) -> None:
        name = f"pmc{request.counter}:{request.vcpu}"
        answer = EventCreated(request.vcpu, request.request, 0)
        try:
            if self.vcpus.get(request.vcpu) != session:
                raise RefusedError(f"{request.vcpu} is not registered", "ESRCH")
            answer.event = self.perf.open_counter(name, request.vcpu, request.levels, request.period).id
        except RefusedError as error:
            self.log.add(EventFailed(name, error.errno))
            answer.errno = error.errno
        self.notify()
        self._send(session, answer)

    # News for KVM ----------------------------------------------------------------------------------------

    def _send(self, session: str, body: AnyMessage) -> None:
        self.outbox.append(self.sessions[session].wrap(body, self.log))

    def _resume_counter(self, envelope: Envelope, request: ResumeCounter) -> None:
        answer = EventCreated(request.vcpu, request.request, 0)
        event = self._guest_event(envelope, request.event)
        if event is not None and event.counts_for == request.vcpu:
            self.perf.resume_counter(event, request.period)
            answer.event = event.id
        else:
            answer.errno = "ENOENT"
        self.notify()
        self._send(envelope.session, answer)

    def tell_overflows(self) -> None:
        """``kvm_perf_overflow``, called in the PMI."""
        overflows, self.perf.state.overflows = self.perf.state.overflows, []
        for event, cpu in overflows:
            self._send(self.vcpus[event.counts_for], Overflow(event.id, cpu))

    def notify(self, besides: PerfEvent | None = None) -> None:
        """Settle what the perf core changed and tell the KVMs concerned, as far as the design tells them anything."""
        for event, old, old_cpu in self.perf.state.settle():
            session = self.vcpus.get(event.guest)
            if session is None or event is besides or self.design.notifier is Notifier.NONE:
                continue
            ended, event.grant = event.grant, 0
            own_switch = event.state == State.INACTIVE and self.perf.state.cpu_running(event.task) < 0
            if old == State.ACTIVE and event.state != State.ACTIVE and not own_switch:
                self._send(session, Revoke(event.id, ended, f"the event is {event.state.name} on cpu{old_cpu}"))
            else:
                self._send(session, EventState(event.id, event.state.name, event.oncpu, self._grant(event)))
        if self.design.recovery is Recovery.AVAILABLE:
            self._tell_available()

    def _grant(self, event: PerfEvent) -> int:
        if event.state == State.ACTIVE:
            self.grants += 1
            event.grant = self.grants
        return event.grant

    def _tell_available(self) -> None:
        """Once for each loss: where the thread runs now, or where it lost the LBR, the slot is free of others."""
        for event in self.perf.events.values():
            if event.guest and event.state == State.ERROR and event.lost_on >= 0:
                running = self.perf.state.cpu_running(event.task)
                pc = self.perf.state.cpus[running if running >= 0 else event.lost_on]
                if event.slot is None or not pc.slot_users or pc.slot == event.slot:
                    session = self.vcpus[event.guest]
                    self._send(session, Available(event.id, pc.index))
                    event.lost_on = -1

    # The preempt notifiers of vCPU threads ------------------------------------------------------------------

    def sched_out(self, task: str, cpu: int) -> None:
        session = self.vcpus.get(task)
        if session is not None:
            silicon = self.machine.cpus[cpu]
            image = self.machine.store_lbr(silicon, "kvm", task) if self.design.save is Save.KVM_SWITCH else None
            self._send(session, SchedOut(task, cpu, image))

    def sched_in(self, task: str, cpu: int) -> None:
        session = self.vcpus.get(task)
        if session is not None:
            self._send(session, SchedIn(task, cpu, self.machine.cpus[cpu].debugctl))
