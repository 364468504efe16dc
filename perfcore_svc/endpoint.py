"""The host's end of the contract: sessions, and the messages to a KVM about its events and threads.

Messages from KVM come in through ``take``. All messages to a KVM go out through ``tell``, behind the news of what the
perf core did before.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from contract.design import Save, StreamDelivery
from contract.errors import RefusedError
from contract.messages import (
    OVERRUN,
    UNKNOWN_EPOCH,
    Ack,
    CreateCounter,
    CreateEvent,
    Drain,
    Drained,
    EnableEvent,
    Envelope,
    EventCreated,
    Hello,
    Overflow,
    PauseCounter,
    Received,
    RegisterVcpu,
    ReleaseEvent,
    Renew,
    Resume,
    ResumeCounter,
    SchedIn,
    SchedOut,
    Welcome,
)
from contract.network import CAPACITY
from contract.session import RESEND, UNSENT, Session, SessionInput, SessionPhase, discard
from contract.trace import EventFailed
from perfcore_svc.grants import LEASE_TIMER, Grants, Notice
from perfcore_svc.perf import sched
from perfcore_svc.perf.core import Perf
from perfcore_svc.perf.event import PerfEvent, State
from perfcore_svc.perf.reservations import MediatedError
from perfcore_svc.perf.rivals import TakenError

_UNGREETED = (SessionPhase.CLOSED, SessionPhase.REFUSED)
_NOT_ACCEPTED = (SessionPhase.CLOSED, SessionPhase.REFUSED, SessionPhase.ENDED)


@dataclass(slots=True)
class Sessions:
    """The sessions with all KVMs."""

    sessions: dict[str, Session] = field(default_factory=dict)
    """Name of the KVM to its session."""
    vcpus: dict[str, str] = field(default_factory=dict)
    """Registered vCPU to the name of its session."""

    def clone(self) -> Sessions:
        sessions = {name: session.clone() for name, session in self.sessions.items()}
        return Sessions(sessions, self.vcpus.copy())

    def key(self) -> tuple[Hashable, ...]:
        sessions = sorted(self.sessions.items())
        return (
            tuple([(name, session.key()) for name, session in sessions]),
            tuple(sorted(self.vcpus.items())),
        )


class HostEndpoint:
    """``state`` is all its state; ``sessions`` and ``vcpus`` are parts of it. ``threads``: the tasks that can be the
    thread of a vCPU, of which ``exited`` are no more. ``unsent``: messages that may wait in a session (R26)."""

    __slots__ = (
        "design",
        "effects",
        "exited",
        "grants",
        "machine",
        "perf",
        "protocol",
        "sessions",
        "state",
        "threads",
        "unsent",
        "vcpus",
    )

    def __init__(
        self, perf: Perf, state: Sessions, grants: Grants, protocol: int, threads: list[str], exited: dict[str, str]
    ) -> None:
        self.perf = perf
        self.grants = grants
        self.machine = perf.machine
        self.design = perf.design
        self.effects = perf.effects
        self.protocol = protocol
        self.threads, self.exited = threads, exited
        self.unsent = UNSENT
        self.state = state
        self.sessions, self.vcpus = state.sessions, state.vcpus

    # Messages from KVM -----------------------------------------------------------------------------------

    def take(self, envelope: Envelope) -> Drain | Drained | None:
        """The message, if it ends the session: that is for the core."""
        if isinstance(envelope.body, Resume) and not self._knows(envelope):
            self._unknown(envelope)
            return None
        session = self._session(envelope)
        if session.phase in _UNGREETED and not isinstance(envelope.body, (Hello, Resume, Received)):
            discard(envelope, self.effects, "R1", "no accepted Hello yet")
            return None
        body = session.accept(envelope, self.effects)
        if isinstance(body, Hello) and session.phase in _NOT_ACCEPTED:
            self._welcome(session, body)
        elif isinstance(body, Resume):
            self._resume(session, body)
        elif isinstance(body, (Drain, Drained)):
            return body
        elif body is not None:
            handler = _HANDLERS.get(type(body))
            if handler is None:
                discard(envelope, self.effects, "R1", f"the host has no use for {envelope.kind}")
            else:
                answer = handler(self, envelope, body)
                if answer is not None:
                    event = self.perf.events.get(answer.event)
                    self.tell(self._answer(session.name, answer, event), besides=event)
        return None

    def finish(self) -> None:
        """The end of each step: what it changed goes to the KVMs, then what acknowledges their messages."""
        self.tell()
        for session in self.sessions.values():
            if session.outgoing.overrun:
                session.give_up(self.effects)
                self._tell_the_end(session)
            if session.incoming.owes:
                session.acknowledge(self.effects)
            if session.left:
                session.end("both ends have drained", self.effects)

    def _tell_the_end(self, session: Session) -> None:
        """KVM has to begin a new epoch (R26). What it has here stays until then, or until it is gone."""
        session.repeat(Welcome(False, self.protocol, OVERRUN, CAPACITY), self.effects)

    def begins_anew(self, envelope: Envelope) -> bool:
        """Whether a message is a greeting of a higher epoch: the KVM of the epoch before is gone (R22)."""
        session = self.sessions.get(envelope.session)
        return session is not None and isinstance(envelope.body, Hello) and envelope.epoch > session.epoch

    def _knows(self, envelope: Envelope) -> bool:
        """Whether the session of a message continues here in the epoch of the message, or in a higher one."""
        session = self.sessions.get(envelope.session)
        return session is not None and session.phase not in _NOT_ACCEPTED and envelope.epoch <= session.epoch

    def _unknown(self, envelope: Envelope) -> None:
        """A Resume of an epoch that this host does not know, or no longer knows: KVM has to begin a new one (R21)."""
        repaired = self.design.delivery is StreamDelivery.REPAIRED
        stranger = Session(envelope.session, is_host=True, epoch=envelope.epoch, repaired=repaired)
        answer = Welcome(False, self.protocol, UNKNOWN_EPOCH, CAPACITY)
        stranger.answer(answer, self.effects)

    def _session(self, envelope: Envelope) -> Session:
        """The session of a message. A greeting can begin a new session if there was none, or if it has ended."""
        name, session = envelope.session, self.sessions.get(envelope.session)
        ended = session is not None and session.phase is SessionPhase.ENDED and self.begins_anew(envelope)
        if session is None or ended:
            repaired = self.design.delivery is StreamDelivery.REPAIRED
            epoch = envelope.epoch if isinstance(envelope.body, Hello) else 1
            session = self.sessions[name] = Session(
                name, is_host=True, epoch=epoch, repaired=repaired, unsent=self.unsent
            )
        return session

    def _welcome(self, session: Session, hello: Hello) -> None:
        reason = ""
        if hello.protocol == self.protocol:
            session.move(SessionInput.GREETED, self.effects)
        else:
            reason = f"protocol {hello.protocol}, this host speaks {self.protocol}"
        self.tell([(session.name, Welcome(not reason, self.protocol, reason, CAPACITY))])
        if reason:
            session.move(SessionInput.REFUSE, self.effects)

    def _resume(self, session: Session, resume: Resume) -> None:
        """KVM is back on a link that was lost (R21)."""
        reason = ""
        if resume.protocol == self.protocol:
            session.move(SessionInput.GREETED, self.effects)
        else:
            reason = f"protocol {resume.protocol}, this host speaks {self.protocol}"
        upto = session.incoming.expected - 1
        session.answer(Welcome(not reason, self.protocol, reason, CAPACITY, upto), self.effects)
        if not reason:
            session.resume(resume.last_seq, self.effects)

    def lose_link(self, name: str) -> None:
        """The link to a KVM is lost: what the host knows of the session stays (R21). Raises RefusedError."""
        session = self.session(name)
        if session.phase in _NOT_ACCEPTED and not session.gave_up:
            raise RefusedError(f"there is no session {name!r}", "ENOENT")
        session.lose("the link is lost", self.effects)

    def session(self, name: str) -> Session:
        """Raises RefusedError where there is none of that name."""
        if name not in self.sessions:
            raise RefusedError(f"there is no session {name!r}", "ENOENT")
        return self.sessions[name]

    def threads_of(self, name: str) -> list[str]:
        """The registered threads of a session. Raises RefusedError if there is no session of that name."""
        return [task for task, owner in self.vcpus.items() if owner == name]

    def drop_thread(self, task: str) -> None:
        """The thread of a vCPU is no more: the events that stand for the vCPU go, and its registration (R23)."""
        if task not in self.vcpus:
            return
        for event in [e for e in self.perf.events.values() if task in (e.guest, e.counts_for)]:
            self.perf.close(event)
            self.grants.released(event)
        del self.vcpus[task]

    def _register(self, envelope: Envelope, body: RegisterVcpu) -> None:
        owner = self.vcpus.get(body.task, envelope.session)
        if body.task in self.exited:
            discard(envelope, self.effects, "R23", f"{body.task} has exited")
        elif body.task not in self.threads:
            discard(envelope, self.effects, "R7", f"{body.task!r} is no vCPU's thread")
        elif owner != envelope.session:
            discard(envelope, self.effects, "R7", f"{body.task} belongs to session {owner}")
        elif body.task not in self.vcpus:
            self.vcpus[body.task] = envelope.session
            if (cpu := self.perf.kernel.cpu_running(body.task)) >= 0:
                self.tell(self._on_cpu(body.task, cpu))

    def _guest_event(self, envelope: Envelope, event_id: int) -> PerfEvent | None:
        event = self.perf.events.get(event_id)
        if event is None or self.vcpus.get(event.guest or event.counts_for) != envelope.session:
            discard(envelope, self.effects, "R1", f"event {event_id} is not one of this session")
            return None
        return event

    def _check_task(self, task: str, session: str) -> None:
        """Raises RefusedError unless an event of this session may follow the task: no other session's thread (R7)."""
        if task and task not in self.machine.actors:
            raise RefusedError(f"there is no task {task!r}", "ESRCH")
        if self.vcpus.get(task, session) != session:
            raise RefusedError(f"{task} belongs to session {self.vcpus[task]}", "EPERM")

    def _create(self, envelope: Envelope, request: CreateEvent) -> EventCreated:
        name = f"vlbr:{request.vcpu}"
        answer = EventCreated(request.vcpu, request.request, 0)
        try:
            if self.vcpus.get(request.vcpu) != envelope.session:
                raise RefusedError(f"{request.vcpu} is not registered", "ESRCH")
            self._check_task(request.task, envelope.session)
            answer.event = self.perf.open_guest(name, request.vcpu, request.task).id
        except RefusedError as error:
            holder = error.holder if isinstance(error, TakenError | MediatedError) else ""
            task = request.task or request.vcpu
            failed = EventFailed(name, error.errno, -1, task, self.design.pinned, True, request.vcpu, holder)
            self.effects.add(failed)
            answer.errno = error.errno
        return answer

    def _enable(self, envelope: Envelope, request: EnableEvent) -> EventCreated:
        event = self._guest_event(envelope, request.event)
        if event is None:
            return EventCreated(request.vcpu, request.request, 0, "ENOENT")
        sched.enable(self.perf.kernel, event)
        return EventCreated(request.vcpu, request.request, event.id)

    def _create_counter(self, envelope: Envelope, request: CreateCounter) -> EventCreated:
        name = f"pmc{request.counter}:{request.vcpu}"
        answer = EventCreated(request.vcpu, request.request, 0)
        try:
            if self.vcpus.get(request.vcpu) != envelope.session:
                raise RefusedError(f"{request.vcpu} is not registered", "ESRCH")
            self._check_task(request.task, envelope.session)
            answer.event = self.perf.open_counter(name, request).id
        except RefusedError as error:
            self.effects.add(EventFailed(name, error.errno))
            answer.errno = error.errno
        return answer

    def _pause_counter(self, envelope: Envelope, request: PauseCounter) -> None:
        event = self._guest_event(envelope, request.event)
        if event is not None and event.counts_for:
            sched.disable(self.perf.kernel, event)

    def _resume_counter(self, envelope: Envelope, request: ResumeCounter) -> EventCreated:
        answer = EventCreated(request.vcpu, request.request, 0)
        event = self._guest_event(envelope, request.event)
        if event is not None and event.counts_for == request.vcpu:
            self.perf.resume_counter(event, request.period)
            answer.event = event.id
        else:
            answer.errno = "ENOENT"
        return answer

    def _answer(self, session: str, answer: EventCreated, event: PerfEvent | None) -> Iterator[Notice]:
        """The answer to a request about ``event``, with its state and grant of now."""
        if event is not None and event.guest and self.design.grants:
            self.grants.give(event)
            answer.state = event.state.name
            answer.grant, answer.expires = self.grants.current(event)
        yield session, answer

    def _release(self, envelope: Envelope, request: ReleaseEvent) -> None:
        if event := self._guest_event(envelope, request.event):
            self.perf.close(event)
            self.grants.released(event)

    def _ack(self, envelope: Envelope, ack: Ack) -> None:
        self.grants.revocations.give_up(envelope.session, ack.grant)

    def _renew(self, envelope: Envelope, renew: Renew) -> None:
        notice = self.grants.renew(envelope.session, renew.grant)
        if notice is None:
            discard(envelope, self.effects, "R6", f"grant {renew.grant} is none of this session")
        else:
            self.tell([(envelope.session, notice)])

    # News for KVM ----------------------------------------------------------------------------------------

    def tell(self, messages: Iterable[Notice] = (), *, besides: PerfEvent | None = None) -> None:
        """Send the news of what the perf core did so far, but for news of ``besides``; then these messages, which are
        made after the news if they are an iterator."""
        done = self.perf.kernel.take_doings()
        news = self.grants.follow(done, besides)
        if done is not None and done.overflows:
            news = [(self.vcpus[event.counts_for], Overflow(event.id, cpu)) for event, cpu in done.overflows] + news
        for session, body in news:
            self.sessions[session].wrap(body, self.effects)
        for session, body in messages:
            self.sessions[session].wrap(body, self.effects)

    def fire(self, session: str, what: str) -> None:
        """A timer has run out. Raises RefusedError if there is no such timer."""
        if what == RESEND and session in self.sessions and self.sessions[session].repaired:
            if self.sessions[session].outgoing.greets:
                self._tell_the_end(self.sessions[session])
            else:
                self.sessions[session].resend(self.effects)
        elif what == LEASE_TIMER and self.grants.state.due.get(session, -1) >= 0:
            self.grants.revocations.lease_over(session)
        else:
            raise RefusedError(f"session {session!r} has no timer {what!r}", "ENOENT")

    # The preempt notifiers of vCPU threads ------------------------------------------------------------------

    def sched_out(self, task: str, cpu: int) -> None:
        """A task has left its CPU. In ``context_switch`` perf's part comes before the preempt notifiers', so the news
        of what perf did come before SchedOut."""
        self.tell(self._off_cpu(task, cpu))

    def _off_cpu(self, task: str, cpu: int) -> Iterator[Notice]:
        session = self.vcpus.get(task)
        if session is not None:
            silicon = self.machine.cpus[cpu]
            image = self.machine.store_lbr(silicon, "kvm", task) if self.design.save is Save.KVM_SWITCH else None
            yield session, SchedOut(task, cpu, image)

    def sched_in(self, task: str, cpu: int) -> None:
        """A task is on its CPU; the news of what perf did come before SchedIn."""
        self.tell(self._switched_in(task, cpu))

    def _switched_in(self, task: str, cpu: int) -> Iterator[Notice]:
        if task:
            yield from self.grants.switched_in(task, cpu)
            yield from self._on_cpu(task, cpu)

    def _on_cpu(self, task: str, cpu: int) -> Iterator[Notice]:
        session = self.vcpus.get(task)
        if session is not None:
            notice = SchedIn(task, cpu, self.machine.cpus[cpu].debugctl)
            event = self.perf.guest_event_of(task)
            if event is not None and event.state == State.ACTIVE:
                notice.grant, notice.expires = self.grants.current(event)
            yield session, notice


_HANDLERS: dict[type, Callable[[HostEndpoint, Envelope, Any], EventCreated | None]] = {
    RegisterVcpu: HostEndpoint._register,
    CreateEvent: HostEndpoint._create,
    EnableEvent: HostEndpoint._enable,
    CreateCounter: HostEndpoint._create_counter,
    PauseCounter: HostEndpoint._pause_counter,
    ResumeCounter: HostEndpoint._resume_counter,
    ReleaseEvent: HostEndpoint._release,
    Ack: HostEndpoint._ack,
    Renew: HostEndpoint._renew,
}
