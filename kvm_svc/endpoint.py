"""KVM's end of the contract: its session with the host, and which message goes to which notification."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
from contract.session import Session, discard
from contract.trace import TraceLog
from kvm_svc.hypervisor import notifications
from kvm_svc.hypervisor.counters import overflow
from kvm_svc.hypervisor.state import Hypervisor


class Endpoint:
    __slots__ = ("hv", "log", "outbox", "refused", "session")

    def __init__(self, name: str, hv: Hypervisor, log: TraceLog) -> None:
        self.hv = hv
        self.log = log
        self.session = Session(name, is_host=False)
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
        elif body is not None:
            handler = _HANDLERS.get(type(body))
            if handler is None:
                discard(envelope, self.log, "R1", f"KVM has no use for {envelope.kind}")
            else:
                handler(self.hv, body)
        self.flush()

    def flush(self) -> None:
        """Number and send what the hypervisor has for the host."""
        outgoing, self.hv.outgoing = self.hv.outgoing, []
        for body in outgoing:
            self._send(body)

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
