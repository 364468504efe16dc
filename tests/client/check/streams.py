"""Traces of single messages, for the monitors of the contract stream."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from client.check.judge import Finding
from contract.design import Design
from contract.messages import Ack, AnyMessage, Hello, Received
from contract.results import KvmView, PerfView
from contract.trace import AnyRecord, Crash, Delivery, Discard, PeerSilent, Rest, Send, SessionChange
from tests.client.check.runs import USE, finding, ordered, renumbered, trace
from tests.designs import FENCED

KVM = "kvm0"
PLAIN = ordered(USE)


def judged(name: str, records: Sequence[AnyRecord], design: Design = FENCED) -> Finding:
    """The finding on a trace of these records."""
    return finding(renumbered([trace(PLAIN, design)[0], *records]), name)


def sent(n: int, order: int = 0, body: AnyMessage | None = None, *, to_host: bool = True, epoch: int = 1) -> Send:
    return Send(KVM, to_host, epoch, n, 0, Ack(9) if body is None else body, order)


def came(n: int, fate: str = "take", *, to_host: bool = True) -> Delivery:
    return Delivery(fate, KVM, to_host, n, "Ack")


def thrown(n: int, rule: str, *, to_host: bool = True) -> Discard:
    return Discard(KVM, to_host, n, "Ack", rule, "")


def received(n: int, place: int) -> list[AnyRecord]:
    """The host acknowledges a place, and KVM takes that."""
    return [sent(n, 0, Received(place), to_host=False), came(n, to_host=False)]


def changed(new: str, *, to_host: bool = True) -> SessionChange:
    return SessionChange(KVM, to_host, 1, "open", new, "")


def lost(*, to_host: bool = True) -> SessionChange:
    return changed("lost", to_host=to_host)


def unanswered() -> PeerSilent:
    """KVM takes the host for silent."""
    return PeerSilent(KVM, True, 1)


def crashed() -> Crash:
    return Crash("perfcore", 0, [KVM], ["vm0/0"])


def at_rest() -> Rest:
    rest = trace(PLAIN, FENCED)[-1]
    assert isinstance(rest, Rest)
    nobody: tuple[PerfView, list[KvmView]] = replace(rest.host, guest_events=[], running={}), []
    return Rest(*nobody)


HELLO: list[AnyRecord] = [sent(1, 1, Hello(KVM)), came(1)]
"""KVM greets, and the host takes it."""
