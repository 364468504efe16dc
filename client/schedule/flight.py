"""What the player knows of the two services, all of it read off the trace: messages in flight, who can step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from contract.messages import HOST
from contract.session import Phase
from contract.spec import cpu_owners
from contract.trace import (
    AnyRecord,
    Delivery,
    EventChange,
    EventClose,
    EventOpen,
    GuestPmi,
    HostWait,
    HostWake,
    Send,
    SessionChange,
    Setup,
    Switch,
    Timer,
    VcpuLoad,
    VcpuPut,
    VcpuWait,
    VcpuWake,
)

IOCTL = "the end of an ioctl"
"""What a vCPU waits for while an ioctl of user space has its mutex."""


@dataclass(slots=True)
class InFlight:
    """``order`` is the record that sent it; ``which`` counts messages of its kind from 1."""

    session: str
    to_host: bool
    n: int
    message: str
    order: int
    which: int

    @property
    def receiver(self) -> str:
        return HOST if self.to_host else self.session


@dataclass(slots=True)
class Armed:
    """A timer of an end of a session, which is KVM's (``to_host``) or the host's; see ``contract.trace.Timer``."""

    session: str
    to_host: bool
    what: str
    due: int
    awaited: bool


class Flight:
    """``now``: virtual time in nanoseconds. ``queues``: messages by way (session, direction), oldest first. ``timers``:
    those that are armed. ``sleeping``: host events whose opener waits. ``running``: task to CPU, on each host.
    ``loaded``: vCPU to the CPU that the KVM of each host believes in. ``waiting``: vCPU to the message it sleeps for.
    ``events``: host event to state; ``guests``: vCPU to the number of its event, ``guest_events``: that to state.
    ``places``: vCPU to the number of its host (0 where it never moved). ``pmis``: vCPU to the PMIs it has taken."""

    __slots__ = (
        "events",
        "guest_events",
        "guests",
        "loaded",
        "now",
        "owners",
        "places",
        "pmis",
        "queues",
        "running",
        "seen",
        "sent",
        "sleeping",
        "timers",
        "waiting",
    )

    def __init__(self) -> None:
        self.now = 0
        self.queues: dict[tuple[str, bool], list[InFlight]] = {}
        self.timers: dict[tuple[str, bool, str], Armed] = {}
        self.sleeping: set[str] = set()
        self.sent: dict[str, int] = {}
        self.running: dict[tuple[int, str], int] = {}
        self.loaded: dict[tuple[int, str], int] = {}
        self.places: dict[str, int] = {}
        self.owners: list[int] = []
        self.waiting: dict[str, str] = {}
        self.events: dict[str, str] = {}
        self.guests: dict[str, int] = {}
        self.guest_events: dict[int, str] = {}
        self.pmis: dict[str, int] = {}
        self.seen = 0

    def follow(self, records: list[AnyRecord]) -> None:
        """Take in the records that are new since the last call."""
        for record in records[self.seen :]:
            if (take_in := _TAKE_IN.get(type(record))) is not None:
                take_in(self, record)
        self.seen = len(records)

    def take_in(self, record: AnyRecord) -> None:
        """Take in one record, by itself."""
        if (take_in := _TAKE_IN.get(type(record))) is not None:
            take_in(self, record)

    def host_of(self, cpu: int) -> int:
        return self.owners[cpu] if cpu < len(self.owners) else 0

    def _setup(self, record: Setup) -> None:
        self.owners = cpu_owners(record.hosts, record.cpus)

    def _switch(self, record: Switch) -> None:
        host = self.host_of(record.cpu)
        self.running.pop((host, record.prev), None)
        self.running[host, record.next] = record.cpu

    def _load(self, record: VcpuLoad) -> None:
        self.loaded[self.host_of(record.cpu), record.vcpu] = record.cpu

    def _put(self, record: VcpuPut) -> None:
        self.loaded.pop((self.host_of(record.cpu), record.vcpu), None)

    def _wait(self, record: VcpuWait) -> None:
        self.waiting[record.vcpu] = record.message

    def _wake(self, record: VcpuWake) -> None:
        self.waiting.pop(record.vcpu, None)

    def _pmi(self, record: GuestPmi) -> None:
        if not record.masked:
            self.pmis[record.vcpu] = self.pmis.get(record.vcpu, 0) + 1

    def _host_wait(self, record: HostWait) -> None:
        self.sleeping.add(record.name)

    def _host_wake(self, record: HostWake) -> None:
        self.sleeping.discard(record.name)

    def _send(self, record: Send) -> None:
        message = type(record.body).__name__
        which = self.sent[message] = self.sent.get(message, 0) + 1
        sent = InFlight(record.session, record.to_host, record.n, message, record.seq, which)
        self.queues.setdefault((record.session, record.to_host), []).append(sent)

    def _delivery(self, record: Delivery) -> None:
        if record.how != "double":
            queue = self.queues[record.session, record.to_host]
            queue.remove(next(m for m in queue if m.n == record.n))

    def _session_change(self, record: SessionChange) -> None:
        """What an end has sent is lost with its link."""
        if record.new == Phase.LOST:
            self.queues.pop((record.session, record.to_host), None)

    def _open(self, record: EventOpen) -> None:
        if record.guest:
            self.guests[record.guest] = record.event
            self.guest_events[record.event] = record.state
        else:
            self.events[record.name] = record.state

    def _change(self, record: EventChange) -> None:
        if record.event in self.guest_events:
            self.guest_events[record.event] = record.new
        elif record.name in self.events:
            self.events[record.name] = record.new

    def _close(self, record: EventClose) -> None:
        if record.event in self.guest_events:
            del self.guest_events[record.event]
        elif record.name in self.events:
            self.events[record.name] = "CLOSED"

    def _timer(self, record: Timer) -> None:
        key = record.session, record.to_host, record.what
        self.timers.pop(key, None)
        if record.due >= 0:
            self.timers[key] = Armed(*key, record.due, record.awaited)

    def state_of(self, event: str, vcpu: str) -> str:
        """The state of a host event, or of the newest event that stands for a vCPU."""
        if vcpu:
            return self.guest_events.get(self.guests.get(vcpu, 0), "none")
        return self.events.get(event, "none")

    def armed(self) -> list[Armed]:
        """The timers, that which runs out first before the others."""
        return sorted(self.timers.values(), key=lambda t: (t.due, t.session, t.to_host, t.what))

    def heads(self) -> list[InFlight]:
        """The oldest message of every way, oldest first."""
        return sorted((q[0] for q in self.queues.values() if q), key=lambda m: m.order)

    def behind(self, message: InFlight) -> list[InFlight]:
        """Messages that could overtake this one."""
        return self.queues[message.session, message.to_host][1:]

    def blocked(self, vcpu: str, *, by_ioctl: bool = False) -> str:
        """Why the vCPU's thread cannot step now; "" if it can. ``by_ioctl``: it is the thread's own ioctl that goes
        on."""
        if vcpu in self.waiting and not (by_ioctl and self.waiting[vcpu] == IOCTL):
            return f"waits for {self.waiting[vcpu]}"
        place = self.places.get(vcpu, 0), vcpu
        cpu = self.running.get(place)
        if cpu is None:
            return "its thread is on no CPU"
        return "" if self.loaded.get(place) == cpu else f"KVM has not taken SchedIn for cpu{cpu}"


_TAKE_IN: dict[type, Callable[[Flight, Any], None]] = {
    Setup: Flight._setup,
    Send: Flight._send,
    Delivery: Flight._delivery,
    SessionChange: Flight._session_change,
    Switch: Flight._switch,
    VcpuLoad: Flight._load,
    VcpuPut: Flight._put,
    VcpuWait: Flight._wait,
    VcpuWake: Flight._wake,
    GuestPmi: Flight._pmi,
    EventOpen: Flight._open,
    EventChange: Flight._change,
    EventClose: Flight._close,
    Timer: Flight._timer,
    HostWait: Flight._host_wait,
    HostWake: Flight._host_wake,
}
