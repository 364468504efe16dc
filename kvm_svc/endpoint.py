"""KVM's end of the contract: its session with the host, which message goes to which notification, and its timers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contract.design import Delivery
from contract.errors import RefusedError
from contract.messages import (
    AnyMessage,
    Available,
    Envelope,
    EventCreated,
    EventState,
    Hello,
    Overflow,
    RegisterVcpu,
    Revoke,
    SchedIn,
    SchedOut,
    Welcome,
)
from contract.session import RESEND, Session, discard
from contract.trace import Timer, TraceLog
from kvm_svc.hypervisor import notifications
from kvm_svc.hypervisor.counters import overflow
from kvm_svc.hypervisor.lbr import renew_leases
from kvm_svc.hypervisor.state import Hypervisor

RENEW = "renew"


class Endpoint:
    """``renew_at``: of the timer that prolongs leases, as it was last put on record."""

    __slots__ = ("hv", "log", "outbox", "refused", "renew_at", "session")

    def __init__(self, name: str, hv: Hypervisor, log: TraceLog) -> None:
        self.hv = hv
        self.log = log
        self.session = Session(name, is_host=False, repaired=hv.design.delivery is Delivery.REPAIRED)
        self.renew_at = 0
        self.outbox: list[Envelope] = []
        self.refused = ""

    def begin(self, protocol: int) -> None:
        """Hello, then every vCPU's thread (R1)."""
        self._send(Hello(self.session.name, protocol))
        for vcpu in self.hv.vcpus:
            self._send(RegisterVcpu(vcpu, vcpu))

    def take(self, envelope: Envelope) -> None:
        self.log.witness(envelope.clock, 0)
        body = self.session.accept(envelope, self.log)
        if isinstance(body, Welcome):
            self.refused = "" if body.accepted else body.reason
            if self.refused:
                self.session.forget(self.log)
        elif body is not None:
            handler = _HANDLERS.get(type(body))
            if handler is None:
                discard(envelope, self.log, "R1", f"KVM has no use for {envelope.kind}")
            else:
                handler(self.hv, body)
        self.flush()
        self.outbox += self.session.acknowledge(self.log)

    def flush(self) -> None:
        """Number and send what the hypervisor has for the host, and set the timer for what it has to say later."""
        outgoing, self.hv.outgoing = self.hv.outgoing, []
        for body in outgoing:
            self._send(body)
        due = min((v.claim.renew_at for v in self.hv.vcpus.values() if v.claim.renew_at), default=0)
        if due != self.renew_at:
            self.renew_at = due
            self.log.add(Timer(self.session.name, True, RENEW, due or -1, awaited=False))

    def fire(self, what: str) -> None:
        """A timer has run out. Raises RefusedError where there is none such."""
        if what == RESEND:
            self.outbox += self.session.resend(self.log)
        elif what == RENEW and self.renew_at:
            renew_leases(self.hv)
            self.flush()
        else:
            raise RefusedError(f"there is no timer {what!r}", "ENOENT")

    def _send(self, body: AnyMessage) -> None:
        self.outbox.append(self.session.wrap(body, self.log))


_HANDLERS: dict[type, Callable[[Hypervisor, Any], None]] = {
    SchedIn: notifications.sched_in,
    SchedOut: notifications.sched_out,
    EventCreated: notifications.event_created,
    EventState: notifications.event_state,
    Revoke: notifications.revoke,
    Available: notifications.available,
    Overflow: overflow,
}
