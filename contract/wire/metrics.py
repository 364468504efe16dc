"""Metrics of a service for Prometheus, served over HTTP by a thread of its own (setting ``metrics``).

Counts are taken from the effects of each step, and from the fates of messages. The state (sessions, windows, the run)
is looked at when somebody asks. Times are those of the run: virtual in a schedule, those of the clock in a free run.
Without the setting none of this is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from contract.messages import Ack, Envelope, Revoke
from contract.network import Network
from contract.session import Session, SessionPhase, is_overrun
from contract.trace import AnyRecord, Discard, Recorder, Send, SessionChange, VmEntry, VmEntryRefused, VmExit
from contract.wire.tls import CA, CERTIFICATE, KEY, Identity, host_of, tls_of

NANOSECOND = 1e-9
REVOKE_BUCKETS = (1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
"""Seconds."""
PENDING = 4096
"""Revokes without an Ack whose begin is remembered."""


class SeenRun(Protocol):
    """As much of a run as is looked at."""

    number: int
    log: Recorder
    network: Network


class MeasuredService(Protocol):
    """The service that is looked at. ``peers``: KVMs attached, or 1 for a KVM whose link is up."""

    service: str
    drivers: int

    @property
    def run(self) -> SeenRun: ...

    @property
    def peers(self) -> int: ...

    def is_ready(self) -> bool: ...

    def has_failed(self) -> bool: ...

    def sessions(self, run: Any) -> Iterable[Session]: ...


class Metrics:
    """The counts of one service. ``see``, ``fate`` and ``taken`` are called from the event loop."""

    def __init__(self, subject: MeasuredService) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        registry = self.registry
        ProcessCollector(registry=registry)
        registry.register(_State(subject))
        self._messages = Counter(
            "lbrlab_messages",
            "Messages of the contract by their fate: sent, resent, and what became of those that arrived.",
            ["direction", "message", "fate"],
            registry=registry,
        )
        self._discards = Counter(
            "lbrlab_discards", "Messages that a rule of the contract discarded.", ["message", "rule"], registry=registry
        )
        self._entries = Counter("lbrlab_entries", "VM-entries.", registry=registry)
        self._refused = Counter("lbrlab_entries_refused", "VM-entries that the host refused.", registry=registry)
        self._exits = Counter("lbrlab_exits", "VM-exits by their reason.", ["reason"], registry=registry)
        self._overrun = Counter(
            "lbrlab_sessions_overrun", "Epochs that ended because too many messages waited.", registry=registry
        )
        self._runs = Counter(
            "lbrlab_runs",
            "Runs that began, failed, were replaced by another, or refused.",
            ["event"],
            registry=registry,
        )
        self._revokes = Histogram(
            "lbrlab_revoke_seconds",
            "From the first Revoke of a grant until its Ack is taken, in the time of the run.",
            buckets=REVOKE_BUCKETS,
            registry=registry,
        )
        for event in ("begun", "failed", "replaced", "refused"):
            self._runs.labels(event)
        self._newest: dict[tuple[str, bool], int] = {}
        """Session and direction to the highest place sent."""
        self._revoked: dict[tuple[str, int], int] = {}
        """Session and grant to the time of the first Revoke."""
        self._seen: dict[type[AnyRecord], Callable[[Any], None]] = {
            Send: self._sent,
            Discard: lambda r: self._discards.labels(r.message, r.rule).inc(),
            VmEntry: lambda r: self._entries.inc(),
            VmEntryRefused: lambda r: self._refused.inc(),
            VmExit: lambda r: self._exits.labels(r.reason).inc(),
            SessionChange: lambda r: self._overrun.inc() if is_overrun(r) else None,
        }

    def begin(self) -> None:
        """A run has begun."""
        self._newest.clear()
        self._revoked.clear()
        self._runs.labels("begun").inc()

    def count_run(self, event: str) -> None:
        self._runs.labels(event).inc()

    def see(self, effects: Iterable[AnyRecord]) -> None:
        """The effects of a step."""
        for effect in effects:
            if (count := self._seen.get(type(effect))) is not None:
                count(effect)

    def fate(self, fate: str, message: str, to_host: bool) -> None:
        """A message that arrived meets its fate."""
        self._messages.labels(_direction(to_host), message, fate).inc()

    def taken(self, envelope: Envelope, now: int) -> None:
        """A message goes to the core at ``now`` nanoseconds."""
        if type(envelope.body) is Ack:
            begin = self._revoked.pop((envelope.session, envelope.body.grant), None)
            if begin is not None:
                self._revokes.observe(max(0, now - begin) * NANOSECOND)

    def _sent(self, sent: Send) -> None:
        way = sent.session, sent.to_host
        again = 0 < sent.order <= self._newest.get(way, 0)
        if sent.order and not again:
            self._newest[way] = sent.order
        if type(sent.body) is Revoke and not again:
            self._revoked.setdefault((sent.session, sent.body.grant), sent.time)
            if len(self._revoked) > PENDING:
                del self._revoked[next(iter(self._revoked))]
        fate = "resent" if again else "sent"
        self._messages.labels(_direction(sent.to_host), type(sent.body).__name__, fate).inc()

    def serve(self, address: str, identity: Identity | None) -> str:
        """Answer scrapes at ``HOST:PORT`` until the process ends; gives the address with the port that was taken. With
        an identity, only to those who show a certificate of its CA. Raises OSError."""
        host, port = host_of(address), int(address.rpartition(":")[2])
        secure: dict[str, Any] = {}
        if (own := tls_of(address, identity)) is not None:
            files = own.folder / CERTIFICATE, own.folder / KEY, own.folder / CA
            certificate, key, ca = map(str, files)
            secure = {"certfile": certificate, "keyfile": key, "client_cafile": ca, "client_auth_required": True}
        server, _ = prometheus_client.start_http_server(port, host, self.registry, **secure)
        return f"{address.rpartition(':')[0]}:{server.server_port}"


def _direction(to_host: bool) -> str:
    return "to_host" if to_host else "to_kvm"


class _State(Collector):
    """The state at the moment. It is read from another thread: each answer may be one step old."""

    def __init__(self, subject: MeasuredService) -> None:
        self._subject = subject

    def collect(self) -> Iterator[Metric]:
        subject = self._subject
        run = subject.run
        yield _one("ready", "1 if a run can begin.", subject.is_ready())
        yield _one("peers", "KVMs that are attached; of a KVM: 1 while its link is up.", subject.peers)
        yield _one("driver_streams", "Open streams of commands.", subject.drivers)
        yield _one("run_number", "The number of the newest run, 0 before the first.", run.number)
        yield _one("run_failed", "1 if the newest run has failed.", subject.has_failed())
        yield _one("run_records", "Records of the newest run that are kept in memory.", len(run.log.records))
        yield _one("run_time_seconds", "Time in the newest run.", run.log.now * NANOSECOND)
        yield from self._sessions(run)

    def _sessions(self, run: SeenRun) -> Iterator[Metric]:
        phases = GaugeMetricFamily("lbrlab_sessions", "Sessions of the newest run by phase.", labels=["phase"])
        window = _each("session_window_messages", "Messages sent and not acknowledged.")
        waiting = _each("session_waiting_messages", "Messages that wait for room in the window.")
        paused = _each("session_paused", "1 while the window is full.")
        inbox = _each("session_inbox_messages", "Messages that have arrived and wait for their fate.")
        sessions = list(self._subject.sessions(run)) if run.number else []
        for phase in SessionPhase:
            phases.add_metric([str(phase)], sum(session.phase is phase for session in sessions))
        for session in sessions:
            name = [session.name]
            window.add_metric(name, len(session.outgoing.unacknowledged))
            waiting.add_metric(name, len(session.outgoing.waiting))
            paused.add_metric(name, session.outgoing.paused)
            inbox.add_metric(name, len(run.network.waiting(session.name, session.is_host)))
        yield from (phases, window, waiting, paused, inbox)


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"lbrlab_{name}", text, value=value)


def _each(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"lbrlab_{name}", text, labels=["session"])
