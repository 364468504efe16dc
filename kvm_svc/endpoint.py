"""KVM's end of the contract: its session with the host, the notifications that messages cause, and its timers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from contract.canonical import At
from contract.errors import RefusedError
from contract.messages import (
    OVERRUN,
    REQUESTS,
    UNKNOWN_EPOCH,
    AnyMessage,
    Available,
    Drain,
    Drained,
    Envelope,
    EventCreated,
    EventState,
    Hello,
    Overflow,
    RegisterVcpu,
    Renew,
    Revoke,
    SchedIn,
    SchedOut,
    Welcome,
)
from contract.session import DRAINS, RESEND, Session, SessionInput, SessionPhase, discard, refuse_damaged
from contract.trace import Timer
from kvm_svc.hypervisor import notifications
from kvm_svc.hypervisor.counters import overflow
from kvm_svc.hypervisor.host_lost import forget_host
from kvm_svc.hypervisor.lbr import renew_leases
from kvm_svc.hypervisor.state import Hypervisor

RENEW = "renew"
SHUT_DOWN = "ESHUTDOWN"
"""The errno of a request that does not begin any more, since the session drains or is over (R24)."""
_NO_REQUESTS = (*DRAINS, SessionPhase.ENDED)


@dataclass(slots=True)
class KvmSession:
    """KVM's end of the session with the host."""

    session: Session
    """The session."""
    renew_at: int = 0
    """When the timer that prolongs leases runs out, virtual nanoseconds; 0: it does not run."""
    refused: str = ""
    """Why the host refuses the session, "" if it does not."""
    resuming: bool = False
    """Resume is out, its answer has not come."""
    leaving: bool = False
    """The host has said Drain, and KVM has not answered it."""
    stopping: bool = False
    """This KVM stops, so it begins no session any more."""

    def clone(self) -> KvmSession:
        return KvmSession(self.session.clone(), self.renew_at, self.refused, self.resuming, self.leaving, self.stopping)

    def key(self) -> tuple[Hashable, ...]:
        return self.session.key(), At(self.renew_at), self.refused, self.resuming, self.leaving, self.stopping


class KvmEndpoint:
    """``state`` is all that is remembered. ``protocol``: the version that this KVM speaks."""

    __slots__ = ("effects", "hv", "protocol", "state")

    def __init__(self, hv: Hypervisor, state: KvmSession, protocol: int) -> None:
        self.hv = hv
        self.effects = hv.effects
        self.state = state
        self.protocol = protocol

    @property
    def refused(self) -> str:
        return self.state.refused

    @property
    def session(self) -> Session:
        return self.state.session

    def begin(self, *, continues: bool = False) -> None:
        """Hello, then every vCPU's thread (R1). ``continues``: this KVM has had another epoch before."""
        self.session.move(SessionInput.GREET, self.effects)
        self._send(Hello(self.session.name, self.protocol, continues))
        for vcpu in self.hv.vcpus:
            self._send(RegisterVcpu(vcpu, vcpu))

    def take(self, envelope: Envelope) -> None:
        if refuse_damaged(envelope, self.effects):
            return
        body = self.session.accept(envelope, self.effects)
        if isinstance(body, Welcome):
            self._welcome(body)
        elif isinstance(body, Drain):
            self.session.move(SessionInput.DRAIN, self.effects, body.reason)
            self.state.leaving = self.session.phase is SessionPhase.DRAINING
        elif isinstance(body, Drained):
            self._over("both ends have drained")
        elif body is not None:
            handler = _HANDLERS.get(type(body))
            if handler is None:
                discard(envelope, self.effects, "R1", f"KVM has no use for {envelope.kind}")
            else:
                handler(self.hv, body)

    def finish(self) -> None:
        """The end of each step: send the messages of the hypervisor, then the acknowledgement of the host's
        messages."""
        self._flush()
        session = self.session
        if self.state.leaving and not self._asks():
            self.state.leaving = False
            session.leave(self.effects)
        if session.incoming.owes:
            session.acknowledge(self.effects)
        if session.left:
            self._over("both ends have drained")
            self._flush()

    def drain(self, reason: str) -> None:
        """End the session in order (R24). Raises RefusedError where it is not open."""
        self.session.drain(reason, self.effects)
        self.state.stopping = True

    def _asks(self) -> bool:
        """True if the host has not answered a request."""
        vcpus = self.hv.vcpus.values()
        return any(v.lbr_desc.request or any(counter.request for counter in v.pmu.counters.values()) for v in vcpus)

    def _give_up(self) -> None:
        """Too many messages wait for the host (R26)."""
        drains = self.session.phase in DRAINS
        self.session.give_up(self.effects)
        self._over(OVERRUN) if drains else self._begin_anew("too many messages wait for the host")

    def _begin_anew(self, why: str) -> None:
        """The epoch is over, and with it all that the host had for this KVM; the next one begins."""
        old = self.session
        self.state.resuming = self.state.leaving = False
        forget_host(self.hv, why)
        self.state.session = Session(
            old.name, is_host=False, epoch=old.epoch + 1, repaired=old.repaired, unsent=old.outgoing.most
        )
        self.begin(continues=True)

    def _over(self, why: str) -> None:
        """The session is over, and with it all that the host had for this KVM."""
        self.state.resuming = self.state.leaving = False
        self.session.end(why, self.effects)
        forget_host(self.hv, "the session is over")

    def _welcome(self, answer: Welcome) -> None:
        """The answer to Hello or Resume. A host that does not know the epoch has lost all state of it, and one that has
        given the epoch up says so unasked: KVM begins a new one (R21, R26)."""
        resuming, self.state.resuming = self.state.resuming, False
        if answer.accepted:
            self.state.refused = ""
            self.session.move(SessionInput.WELCOMED, self.effects)
            if resuming:
                self.session.resume(answer.acknowledged, self.effects)
            elif self.session.repaired:  # A repetition of the first Welcome has overtaken the answer to Resume.
                self.session.hear(answer.acknowledged, self.effects)
        elif resuming and answer.reason == UNKNOWN_EPOCH:
            self.session.end(answer.reason, self.effects)
            self._begin_anew(f"the host does not know epoch {self.session.epoch}")
        elif answer.reason == OVERRUN:
            self._given_up()
        else:
            self.state.refused = answer.reason
            self.session.refuse(self.effects)

    def _given_up(self) -> None:
        """The host has given the epoch up. Where the link is lost, it says so again when KVM resumes."""
        if self.session.phase in DRAINS:
            self._over(OVERRUN)
        elif self.session.phase is not SessionPhase.LOST:
            self.session.end(OVERRUN, self.effects)
            self._begin_anew("the host has given the epoch up")

    def lose_link(self) -> None:
        """The link to the host is lost (R21). vCPU threads that wait for an answer continue to wait."""
        self.state.resuming = False
        drains = self.session.phase in DRAINS
        self.session.lose("the link is lost", self.effects)
        if drains:
            self._over("its link is lost while it drains")

    def mend_link(self) -> None:
        """The link is up again, and KVM resumes; again if the answer to Resume has not come. It greets a host that has
        drained (R24) under a new epoch. Raises RefusedError if the link was not lost, and if KVM stops."""
        if self.session.phase is SessionPhase.ENDED and not self.state.stopping:
            self._begin_anew("the host has drained")
            return
        if self.session.phase is not SessionPhase.LOST and not self.state.resuming:
            raise RefusedError(f"the session is {self.session.phase}, its link was not lost", "EINVAL")
        self.state.resuming = True
        self.session.greet_again(self.protocol, self.effects)

    def _flush(self) -> None:
        """Number and send the hypervisor's messages, and set the timer for the next ones. A Renew that the stream
        repeats anyway is not said again: a slow link would carry nothing else."""
        while self.hv.outgoing:
            outgoing, self.hv.outgoing = self.hv.outgoing, []
            for body in outgoing:
                if isinstance(body, REQUESTS) and self.session.phase in _NO_REQUESTS:
                    notifications.event_created(self.hv, EventCreated(body.vcpu, body.request, 0, SHUT_DOWN))
                elif not (isinstance(body, Renew) and self.session.outgoing.keeps(body)):
                    self._send(body)
        if self.session.outgoing.overrun:
            self._give_up()
        renewals = [v.grant.renew_at for v in self.hv.vcpus.values() if v.grant.renew_at]
        due = self.hv.state.own_clock.when(min(renewals)) if renewals else 0
        if due != self.state.renew_at:
            self.state.renew_at = due
            self.effects.add(Timer(self.session.name, True, RENEW, due or -1, awaited=False))

    def fire(self, what: str) -> None:
        """A timer has run out. Raises RefusedError if there is no such timer."""
        if what == RESEND and self.state.resuming:
            self.session.greet_again(self.protocol, self.effects)
        elif what == RESEND:
            self.session.resend(self.effects)
        elif what == RENEW and self.state.renew_at:
            renew_leases(self.hv)
        else:
            raise RefusedError(f"there is no timer {what!r}", "ENOENT")

    def _send(self, body: AnyMessage) -> None:
        self.session.wrap(body, self.effects)


_HANDLERS: dict[type, Callable[[Hypervisor, Any], None]] = {
    SchedIn: notifications.sched_in,
    SchedOut: notifications.sched_out,
    EventCreated: notifications.event_created,
    EventState: notifications.event_state,
    Revoke: notifications.revoke,
    Available: notifications.available,
    Overflow: overflow,
}
