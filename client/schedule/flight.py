"""The player's knowledge of the services: messages in flight, timers, who can step. It follows from the effects of the
services' steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from operator import attrgetter
from typing import Any

import msgspec

from client.schedule.incidents import Continue, Cut, Mend, Outage, SetClock, Stall
from contract.canonical import At, Event, EventName, Message
from contract.messages import HOST, AnyMessage
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
    Stalled,
    Switch,
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
        "adrift",
        "cut",
        "down",
        "ended",
        "epochs",
        "event_hosts",
        "events",
        "guest_events",
        "guests",
        "held",
        "homeless",
        "hosts",
        "kvms",
        "lives",
        "loaded",
        "messages",
        "now",
        "owners",
        "places",
        "pmis",
        "queues",
        "record",
        "running",
        "samples",
        "sent",
        "sleeping",
        "stalled",
        "timers",
        "vcpus",
        "waiting",
    )

    def __init__(self) -> None:
        self.now = 0
        """Virtual time, nanoseconds."""
        self.queues: dict[tuple[str, bool], list[InFlight]] = {}
        """Messages by way (session, direction), oldest first."""
        self.held: set[tuple[str, bool]] = set()
        """The ways on which nothing is delivered for now."""
        self.cut: dict[str, Cut] = {}
        """Session to the cut of its link, or of one way of it, that has not been mended."""
        self.stalled: dict[str, Stall] = {}
        """The services that are stalled."""
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
        self.places: dict[str, int] = {}
        """vCPU to the number of its host; 0 if it never moved."""
        self.record = 0
        """Number of the newest record that was seen."""
        self.owners: list[int] = []
        """CPU to the number of its host. Configuration."""
        self.hosts: tuple[str, ...] = ("perfcore",)
        """The names of the hosts. Configuration."""
        self.kvms: dict[str, int] = {}
        """Session to the number of its host. Configuration."""
        self.vcpus: list[str] = []
        """The names of all vCPUs. Configuration."""
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
        self.lives: dict[str, int] = {}
        """Service to the number of its life, where that is not the first."""
        self.down: set[str] = set()
        """Services that are gone: sessions, or names of hosts."""
        self.adrift: set[str] = set()
        """KVMs whose host was gone, until they have greeted it again."""
        self.homeless: dict[str, int] = {}
        """vCPU to the CPU of its thread, which ended with its KVM or host and is to run there again."""
        self.ended: set[str] = set()
        """vCPUs that have ended with their threads."""

    def clone(self) -> Flight:
        twin = Flight()
        twin.now = self.now
        twin.queues = {way: queue[:] for way, queue in self.queues.items()}
        twin.held = self.held.copy()
        twin.cut, twin.stalled = self.cut.copy(), self.stalled.copy()
        twin.record, twin.kvms = self.record, self.kvms
        twin.timers = self.timers.copy()
        twin.sleeping = self.sleeping.copy()
        twin.sent, twin.messages = self.sent.copy(), self.messages
        twin.running, twin.loaded = self.running.copy(), self.loaded.copy()
        twin.places, twin.owners = self.places.copy(), self.owners
        twin.hosts, twin.kvms, twin.vcpus = self.hosts, self.kvms, self.vcpus
        twin.waiting = self.waiting.copy()
        twin.events, twin.samples = self.events.copy(), self.samples.copy()
        twin.guests, twin.guest_events = self.guests.copy(), self.guest_events.copy()
        twin.pmis = self.pmis.copy()
        twin.event_hosts, twin.epochs, twin.lives = self.event_hosts.copy(), self.epochs.copy(), self.lives.copy()
        twin.down, twin.adrift = self.down.copy(), self.adrift.copy()
        twin.homeless, twin.ended = self.homeless.copy(), self.ended.copy()
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
            frozenset([(cut.session, cut.to_host) for cut in self.cut.values()]),
            frozenset(self.stalled),
            frozenset(timers),
            frozenset([EventName(name) for name in self.sleeping]),
            frozenset(self.running.items()),
            frozenset(self.loaded.items()),
            frozenset(self.places.items()),
            frozenset(self.waiting.items()),
            frozenset(events),
            frozenset([(vcpu, Event(n), self.guest_events[n]) for vcpu, n in self.guests.items()]),
            frozenset(self.pmis.items()),
            frozenset([(EventName(name), host) for name, host in self.event_hosts.items() if host]),
            frozenset(self.epochs.items()),
            frozenset(self.lives.items()),
            frozenset(self.down),
            frozenset(self.adrift),
            frozenset(self.homeless.items()),
            frozenset(self.ended),
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
        self.hosts = ("perfcore", *(f"perfcore{i}" for i in range(1, len(record.hosts))))
        self.kvms, self.vcpus = record.kvms, record.vcpus

    def _switch(self, record: Switch) -> None:
        host = self.host_of(record.cpu)
        self.running.pop((host, record.prev), None)
        if record.next:
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

    def _link_cut(self, record: LinkCut) -> None:
        self.cut[record.session] = Cut(record.session, record.to_host, record.fault or "")

    def _link_mended(self, record: LinkMended) -> None:
        del self.cut[record.session]

    def _stall(self, record: Stalled) -> None:
        self.stalled[record.service] = Stall(record.service, record.fault or "")

    def _continue(self, record: Continued) -> None:
        del self.stalled[record.service]

    def _send(self, record: Send) -> None:
        message = type(record.body).__name__
        order, self.messages = self.messages, self.messages + 1
        which = self.sent[message] = self.sent.get(message, 0) + 1
        session, to_host = way = record.session, record.to_host
        if to_host:
            self.epochs[session] = record.epoch
            if self.adrift and message == "Hello":
                self.adrift.discard(session)
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
        self.down.add(record.service)
        self.stalled.pop(record.service, None)
        for session in record.sessions:
            for to_host in (True, False):
                self.queues.pop((session, to_host), None)
                self.held.discard((session, to_host))
            self.cut.pop(session, None)
        gone = record.host < 0
        self.timers = {
            key: t for key, t in self.timers.items() if t.session not in record.sessions or t.to_host != gone
        }
        for vcpu in record.vcpus:
            place = self.places.get(vcpu, 0), vcpu
            if place in self.running:
                self.homeless[vcpu] = self.running[place]
            self.loaded.pop(place, None)
        if gone:
            for vcpu in record.vcpus:
                self.waiting.pop(vcpu, None)
                self.pmis.pop(vcpu, None)
            self.ended.difference_update(record.vcpus)
        else:
            self._power_off(record)

    def _power_off(self, record: Crash) -> None:
        self.adrift.update(record.sessions)
        self.running = {at: cpu for at, cpu in self.running.items() if at[0] != record.host}
        there = {name for name, host in self.event_hosts.items() if host == record.host}
        self.events.update(dict.fromkeys(there & self.events.keys(), "CLOSED"))
        self.sleeping -= there
        self.guest_events = {n: s for n, s in self.guest_events.items() if host_of_event(n) != record.host}
        self.guests = {vcpu: n for vcpu, n in self.guests.items() if n in self.guest_events}

    def _restart(self, record: Restart) -> None:
        self.down.discard(record.service)
        self.lives[record.service] = record.life

    def _killed(self, record: Killed) -> None:
        for vcpu in record.vcpus:
            self.ended.add(vcpu)
            self.waiting.pop(vcpu, None)
            self.homeless.pop(vcpu, None)

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
        return [t for t in timers if not self.is_stalled(t.session, not t.to_host)] if self.stalled else timers

    def heads(self) -> list[InFlight]:
        """The oldest message of every direction, oldest first, but for those to a service that is stalled."""
        heads = [queue[0] for queue in self.queues.values() if queue]
        if len(heads) > 1:
            heads.sort(key=_BY_ORDER)
        return [m for m in heads if not self.is_stalled(m.session, m.to_host)] if self.stalled else heads

    def service(self, session: str, host: bool) -> str:
        """The name of one end of a session."""
        return self.hosts[self.kvms.get(session, 0)] if host else session

    def is_stalled(self, session: str, host: bool) -> bool:
        return self.service(session, host) in self.stalled

    def ends(self) -> list[Mend | Continue]:
        """The decisions that end a cut or a stall."""
        mends = [Mend(cut.session, cut.to_host, cut.fault) for cut in self.cut.values()]
        return [*mends, *(Continue(stall.service, stall.fault) for stall in self.stalled.values())]

    def may(self, incident: Outage) -> bool:
        """Whether an incident can happen now."""
        match incident:
            case Cut(session=session):
                host = self.hosts[self.kvms.get(session, 0)]
                up = session in self.kvms and not self.down & {session, host}
                return up and session not in self.cut and session not in self.adrift
            case Mend(session=session, to_host=to_host):
                return session in self.cut and self.cut[session].to_host == to_host
            case Stall(service=service):
                return service in {*self.hosts, *self.kvms} - self.down and service not in self.stalled
            case Continue(service=service):
                return service in self.stalled
            case SetClock(service=service):
                return service in self.kvms and service not in self.down

    def lost_on(self, cut: Cut | Mend) -> list[InFlight]:
        """The messages in flight on the ways that are cut."""
        ways = (True, False) if cut.to_host is None else (cut.to_host,)
        return [message for way in ways for message in self.queues.get((cut.session, way), [])]

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
        if vcpu in self.ended:
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
    Continued: Flight._continue,
    HostWait: Flight._host_wait,
    HostWake: Flight._host_wake,
    Crash: Flight._crash,
    Restart: Flight._restart,
    Killed: Flight._killed,
}
