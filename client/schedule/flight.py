"""The player's knowledge of the services: messages in flight, timers, who can step. It follows from the effects of the
services' steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from operator import attrgetter
from typing import Any

import msgspec

from client.schedule.incidents import Cut, Mend
from client.schedule.outages import Outages
from contract.canonical import At, Event, EventName, Message
from contract.messages import HOST, AnyMessage, SchedIn
from contract.network import HOLD, LOSE, RELEASE, UNMOVED
from contract.session import SessionPhase
from contract.spec import cpu_owners, host_of_event
from contract.trace import (
    AnyRecord,
    Continued,
    Crash,
    Delivery,
    EventChange,
    EventClose,
    EventOpen,
    GuestPmi,
    HostWait,
    HostWake,
    Killed,
    LinkCut,
    LinkMended,
    Restart,
    SampleTaken,
    Send,
    SessionChange,
    Setup,
    ShuttingDown,
    Stalled,
    Switch,
    TaskExit,
    Timer,
    VcpuLoad,
    VcpuPut,
    VcpuWait,
    VcpuWake,
)

IOCTL = "the end of an ioctl"
"""The thing that a vCPU waits for while an ioctl of user space has its mutex."""


class InFlight(msgspec.Struct, frozen=True, gc=False):
    session: str
    to_host: bool
    n: int
    """Its number in its direction."""
    message: str
    """Its kind: a class of ``contract.messages``."""
    order: int
    """Number of messages that were sent before it, in all directions."""
    ordinal: int
    """Its number among the messages of its kind, from 1."""
    body: AnyMessage
    """The message itself."""
    time: int
    """Virtual time of sending, nanoseconds."""
    record: int
    """Number of the record of sending."""

    @property
    def receiver(self) -> str:
        return HOST if self.to_host else self.session


class Armed(msgspec.Struct, frozen=True, gc=False):
    """A timer of an end of a session, which is KVM's (``to_host``) or the host's; see ``contract.trace.Timer``."""

    session: str
    to_host: bool
    timer: str
    due: int
    awaited: bool


_ENDS_OF_HOLD = frozenset({RELEASE, LOSE})
_BY_ORDER = attrgetter("order")
_BY_DUE = attrgetter("due", "session", "to_host", "timer")


class Flight:
    __slots__ = (
        "epochs",
        "event_hosts",
        "events",
        "exited",
        "guest_events",
        "guests",
        "held",
        "loaded",
        "messages",
        "now",
        "outages",
        "owners",
        "places",
        "pmis",
        "queues",
        "record",
        "running",
        "samples",
        "sent",
        "sleeping",
        "timers",
        "waiting",
    )

    def __init__(self) -> None:
        self.now = 0
        """Virtual time, nanoseconds."""
        self.queues: dict[tuple[str, bool], list[InFlight]] = {}
        """Messages by way (session, direction), oldest first."""
        self.held: set[tuple[str, bool]] = set()
        """The ways on which nothing is delivered for now."""
        self.timers: dict[tuple[str, bool, str], Armed] = {}
        """The timers that are armed, by session, end and name."""
        self.sleeping: set[str] = set()
        """Host events whose opener waits."""
        self.sent: dict[str, int] = {}
        """Number of messages of each kind that were sent."""
        self.messages = 0
        """Number of messages that were sent."""
        self.running: dict[tuple[int, str], int] = {}
        """Task to its CPU, on each host."""
        self.loaded: dict[tuple[int, str], int] = {}
        """vCPU to its CPU in the view of the KVM of each host."""
        self.exited: set[tuple[int, str]] = set()
        """Threads of vCPUs that have exited, of each host, until the host has sent SchedIn for the next."""
        self.places: dict[str, int] = {}
        """vCPU to the number of its host; 0 if it never moved."""
        self.record = 0
        """Number of the newest record that was seen."""
        self.owners: list[int] = []
        """CPU to the number of its host. Configuration."""
        self.waiting: dict[str, str] = {}
        """vCPU to the message that it sleeps for."""
        self.events: dict[str, str] = {}
        """Host event to its state."""
        self.samples: Counter[str] = Counter()
        """Host event to its overflows so far."""
        self.guests: dict[str, int] = {}
        """vCPU to the number of the newest event that stands for it."""
        self.guest_events: dict[int, str] = {}
        """The number of a guest's event to its state."""
        self.pmis: dict[str, int] = {}
        """vCPU to the PMIs that it has taken."""
        self.event_hosts: dict[str, int] = {}
        """Host event to the number of its host."""
        self.epochs: dict[str, int] = {}
        """Session to the newest epoch that its KVM has used."""
        self.outages = Outages()
        """The services, links and threads that are out of action."""

    def clone(self) -> Flight:
        twin = Flight()
        twin.now = self.now
        twin.queues = {way: queue[:] for way, queue in self.queues.items()}
        twin.held = self.held.copy()
        twin.record = self.record
        twin.timers = self.timers.copy()
        twin.sleeping = self.sleeping.copy()
        twin.sent, twin.messages = self.sent.copy(), self.messages
        twin.running, twin.loaded = self.running.copy(), self.loaded.copy()
        twin.exited = self.exited.copy()
        twin.places, twin.owners = self.places.copy(), self.owners
        twin.waiting = self.waiting.copy()
        twin.events, twin.samples = self.events.copy(), self.samples.copy()
        twin.guests, twin.guest_events = self.guests.copy(), self.guest_events.copy()
        twin.pmis = self.pmis.copy()
        twin.event_hosts, twin.epochs = self.event_hosts.copy(), self.epochs.copy()
        twin.outages = self.outages.clone()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        """For ``contract.canonical``. Which message of its kind a message is, and the order of two ways, only the
        schedule asks."""
        queues = [(way, tuple([Message(*way, m.n) for m in queue])) for way, queue in self.queues.items() if queue]
        timers = [(key, At(armed.due), armed.awaited) for key, armed in self.timers.items()]
        events = [(EventName(name), state, self.samples[name]) for name, state in self.events.items()]
        return (
            frozenset(queues),
            frozenset(self.held),
            frozenset(timers),
            frozenset([EventName(name) for name in self.sleeping]),
            frozenset(self.running.items()),
            frozenset(self.loaded.items()),
            frozenset(self.exited),
            frozenset(self.places.items()),
            frozenset(self.waiting.items()),
            frozenset(events),
            frozenset([(vcpu, Event(n), self.guest_events[n]) for vcpu, n in self.guests.items()]),
            frozenset(self.pmis.items()),
            frozenset([(EventName(name), host) for name, host in self.event_hosts.items() if host]),
            frozenset(self.epochs.items()),
            self.outages.key(),
        )

    def follow(self, effects: Iterable[AnyRecord]) -> None:
        """Take in the effects of a step."""
        known, effect = _TAKE_IN, None
        for effect in effects:
            if (kind := type(effect)) in known:
                known[kind](self, effect)
        if effect is not None:
            self.record = effect.seq

    def forget(self, event: str) -> None:
        """This host event can no longer be named."""
        self.events.pop(event, None)
        self.event_hosts.pop(event, None)
        self.samples.pop(event, None)

    def host_of(self, cpu: int) -> int:
        return self.owners[cpu] if cpu < len(self.owners) else 0

    def _setup(self, record: Setup) -> None:
        self.owners = cpu_owners(record.hosts, record.cpus)
        self.outages.setup(record)

    def _switch(self, record: Switch) -> None:
        host = self.host_of(record.cpu)
        self.running.pop((host, record.prev), None)
        if record.next:
            self.running[host, record.next] = record.cpu

    def _load(self, record: VcpuLoad) -> None:
        """The SchedIn that KVM has taken can be about a thread that has exited since."""
        thread = self.host_of(record.cpu), record.vcpu
        if thread not in self.exited:
            self.loaded[thread] = record.cpu

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

    def _link_cut(self, record: LinkCut) -> None:
        self.outages.link_cut(record)

    def _link_mended(self, record: LinkMended) -> None:
        self.outages.link_mended(record)

    def _shutting_down(self, record: ShuttingDown) -> None:
        self.outages.shutting_down(record)

    def _stall(self, record: Stalled) -> None:
        self.outages.service_stalled(record)

    def _continue(self, record: Continued) -> None:
        self.outages.service_continued(record)

    def _send(self, record: Send) -> None:
        message = type(record.body).__name__
        order, self.messages = self.messages, self.messages + 1
        which = self.sent[message] = self.sent.get(message, 0) + 1
        session, to_host = way = record.session, record.to_host
        if to_host:
            self.epochs[session] = record.epoch
            if self.outages.adrift and message == "Hello":
                self.outages.adrift.discard(session)
        elif self.exited and isinstance(record.body, SchedIn):
            self.exited.discard((self.outages.kvms[session], record.body.vcpu))
        sent = InFlight(session, to_host, record.n, message, order, which, record.body, record.time, record.seq)
        if (queue := self.queues.get(way)) is None:
            self.queues[way] = [sent]
        else:
            queue.append(sent)

    def _delivery(self, record: Delivery) -> None:
        way = record.session, record.to_host
        how = record.fate
        if how == HOLD:
            self.held.add(way)
        elif self.held and how in _ENDS_OF_HOLD:
            self.held.discard(way)
        if how not in UNMOVED:
            queue, n = self.queues[way], record.n
            del queue[0 if queue[0].n == n else next(i for i, message in enumerate(queue) if message.n == n)]

    def _session_change(self, record: SessionChange) -> None:
        """The messages that an end has sent are lost with its link."""
        if record.new == SessionPhase.LOST:
            self.queues.pop((record.session, record.to_host), None)
            self.held.discard((record.session, record.to_host))

    def _open(self, record: EventOpen) -> None:
        if record.guest:
            self.guests[record.guest] = record.event
            self.guest_events[record.event] = record.state
        else:
            self.events[record.name] = record.state
            self.event_hosts[record.name] = host_of_event(record.event)

    def _change(self, record: EventChange) -> None:
        if record.event in self.guest_events:
            self.guest_events[record.event] = record.new
        elif record.name in self.events:
            self.events[record.name] = record.new

    def _close(self, record: EventClose) -> None:
        if record.event in self.guest_events:
            del self.guest_events[record.event]
            self.guests = {vcpu: n for vcpu, n in self.guests.items() if n != record.event}
        elif record.name in self.events:
            self.events[record.name] = "CLOSED"

    def _sample(self, record: SampleTaken) -> None:
        if record.overflow and record.name in self.events:
            self.samples[record.name] += 1

    def _timer(self, record: Timer) -> None:
        key = record.session, record.to_host, record.timer
        self.timers.pop(key, None)
        if record.due >= 0:
            self.timers[key] = Armed(*key, record.due, record.awaited)

    def _crash(self, record: Crash) -> None:
        for session in record.sessions:
            for to_host in (True, False):
                self.queues.pop((session, to_host), None)
                self.held.discard((session, to_host))
        of_kvm = record.host < 0
        self.timers = {
            key: t for key, t in self.timers.items() if t.session not in record.sessions or t.to_host != of_kvm
        }
        threads = {vcpu: (self.places.get(vcpu, 0), vcpu) for vcpu in record.vcpus}
        cpus = {vcpu: self.running[thread] for vcpu, thread in threads.items() if thread in self.running}
        for thread in threads.values():
            self.loaded.pop(thread, None)
        self.outages.crashed(record, cpus)
        if of_kvm:
            for vcpu in record.vcpus:
                self.waiting.pop(vcpu, None)
                self.pmis.pop(vcpu, None)
        else:
            self._power_off(record)

    def _power_off(self, record: Crash) -> None:
        self.running = {at: cpu for at, cpu in self.running.items() if at[0] != record.host}
        there = {name for name, host in self.event_hosts.items() if host == record.host}
        self.events.update(dict.fromkeys(there & self.events.keys(), "CLOSED"))
        self.sleeping -= there
        self.guest_events = {n: s for n, s in self.guest_events.items() if host_of_event(n) != record.host}
        self.guests = {vcpu: n for vcpu, n in self.guests.items() if n in self.guest_events}

    def _restart(self, record: Restart) -> None:
        self.outages.restarted(record)

    def _killed(self, record: Killed) -> None:
        self.outages.killed(record)
        for vcpu in record.vcpus:
            self.waiting.pop(vcpu, None)

    def _task_exit(self, record: TaskExit) -> None:
        """KVM can believe that the thread is loaded, if SchedOut is under way."""
        thread = record.host, record.task
        self.exited.add(thread)
        self.loaded.pop(thread, None)
        if self.outages.stopping:
            self.outages.exited(record)

    def state_of(self, event: str, vcpu: str) -> str:
        """The state of a host event, or of the newest event that stands for a vCPU."""
        if vcpu:
            return self.guest_events.get(self.guests.get(vcpu, 0), "none")
        return self.events.get(event, "none")

    def armed(self) -> list[Armed]:
        """The timers, in the order in which they run out, but for those of a service that is stalled."""
        timers = list(self.timers.values())
        if len(timers) > 1:
            timers.sort(key=_BY_DUE)
        outages = self.outages
        return [t for t in timers if not outages.is_stalled(t.session, not t.to_host)] if outages.stalled else timers

    def heads(self) -> list[InFlight]:
        """The oldest message of every direction, oldest first, but for those to a service that is stalled."""
        heads = [queue[0] for queue in self.queues.values() if queue]
        if len(heads) > 1:
            heads.sort(key=_BY_ORDER)
        outages = self.outages
        return [m for m in heads if not outages.is_stalled(m.session, m.to_host)] if outages.stalled else heads

    def lost_on(self, cut: Cut | Mend) -> list[InFlight]:
        """The messages in flight on the ways that are cut."""
        ways = (True, False) if cut.to_host is None else (cut.to_host,)
        return [message for way in ways for message in self.queues.get((cut.session, way), [])]

    def sent_since(self, order: int) -> list[InFlight]:
        """The messages in flight with this ``order`` or a later one, in order."""
        found: list[InFlight] = []
        for queue in self.queues.values():
            at = len(queue)
            while at and queue[at - 1].order >= order:
                at -= 1
            found += queue[at:]
        if len(found) > 1:
            found.sort(key=_BY_ORDER)
        return found

    def is_held(self, message: InFlight) -> bool:
        return (message.session, message.to_host) in self.held

    def behind(self, message: InFlight) -> list[InFlight]:
        """Messages that could overtake this one. A number names the oldest message that has it, and each epoch numbers
        its messages from 1."""
        first, *others = self.queues[message.session, message.to_host]
        numbers, found = {first.n}, []
        for other in others:
            if other.n not in numbers:
                numbers.add(other.n)
                found.append(other)
        return found

    def blocked(self, vcpu: str, *, by_ioctl: bool = False) -> str:
        """Why the vCPU's thread cannot step now; "" if it can. ``by_ioctl``: the thread's own ioctl continues."""
        if vcpu in self.outages.ended:
            return "its thread has ended"
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
    SampleTaken: Flight._sample,
    Timer: Flight._timer,
    LinkCut: Flight._link_cut,
    LinkMended: Flight._link_mended,
    Stalled: Flight._stall,
    ShuttingDown: Flight._shutting_down,
    TaskExit: Flight._task_exit,
    Continued: Flight._continue,
    HostWait: Flight._host_wait,
    HostWake: Flight._host_wake,
    Crash: Flight._crash,
    Restart: Flight._restart,
    Killed: Flight._killed,
}
