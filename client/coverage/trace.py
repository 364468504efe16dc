"""The items that one trace exercises.

A rule is exercised by a record in which it acts: a message that it discards, a message that only it sends, a use that
it denies. ``RULE_RECORDS`` names that record for each rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

from client.coverage.items import Item, arrow, axis_items
from client.litmus.fault import FaultRule
from contract.session import TRANSITIONS as TRANSITIONS_OF_SESSIONS
from contract.session import SessionInput, SessionPhase
from contract.trace import (
    Access,
    AnyRecord,
    ClaimChange,
    Delivery,
    Discard,
    EventChange,
    EventClose,
    EventOpen,
    EventWaits,
    Granted,
    GuestEvent,
    LbrRestore,
    LbrSave,
    Send,
    SessionChange,
    Setup,
    TaskExit,
    Timer,
    UserMsr,
    VmEntry,
    VmExit,
)
from perfcore_svc.perf.event import TRANSITIONS, State

RULE_RECORDS: dict[str, str] = {
    "R1": "Hello is sent, or a message is discarded by R1",
    "R2": "a message is sent",
    "R3": "a message is discarded by R3",
    "R4": "a message is lost or overtaken where the stream is not repaired",
    "R5": "a message is discarded by R5",
    "R6": "KVM takes or loses a grant",
    "R7": "RegisterVcpu is sent",
    "R8": "EventCreated is sent",
    "R9": "Received is sent",
    "R10": "a group that asks for the LBR waits",
    "R11": "a group that asks for the LBR waits",
    "R12": "a vCPU enters with its LBR taken away, or an access is denied, while KVM holds no grant",
    "R13": "a guest's ring is saved and restored",
    "R14": "Revoke is sent",
    "R15": "an access is denied with #GP",
    "R16": "a guest that was denied gets an event",
    "R17": "a vCPU exits",
    "R18": "Ack is sent",
    "R19": "Renew is sent, or the host's wait for an Ack has an end",
    "R20": "another thread than the vCPU's makes an ioctl",
    "R21": "Resume is sent",
    "R22": "an epoch ends, or a message is discarded by R22",
    "R23": "the thread of a vCPU exits",
    "R24": "Drain is sent",
    "R25": "a message is discarded by R25",
    "R26": "a message is discarded by R26",
}
"""Rule to the record that exercises it."""

_BY_MESSAGE = {
    "Hello": "rule R1",
    "RegisterVcpu": "rule R7",
    "EventCreated": "rule R8",
    "Received": "rule R9",
    "Revoke": "rule R14",
    "Ack": "rule R18",
    "Renew": "rule R19",
    "Resume": "rule R21",
    "Drain": "rule R24",
}


def exercised(records: Iterable[AnyRecord]) -> set[Item]:
    """Rules, messages, transitions and axis values of a trace, and the kinds of faults that its deliveries show."""
    seen = _Seen()
    handlers = _HANDLERS
    for record in records:
        if (handle := handlers.get(type(record))) is not None:
            handle(seen, record)
    return seen.items


def fault_items(faults: Sequence[FaultRule], applied: Sequence[bool]) -> set[Item]:
    """The kinds of faults that a run met, by its rules; ``applied``: whether each has changed something. ``exercised``
    gives those that deliveries show."""
    return {f"fault {rule.kind}" for rule, met in zip(faults, applied, strict=True) if met}


@cache
def _path(old: str, new: str) -> tuple[Item, ...]:
    """The changes of state that lead from one state of an event to another: a record shows only the net effect."""
    ways: list[tuple[str, ...]] = [(old,)]
    for way in ways:
        if way[-1] == new:
            return tuple(arrow("event", a, b) for a, b in pairwise(way))
        ways += [(*way, b.name) for a, b in TRANSITIONS if a.name == way[-1] and b.name not in way]
    return ()


@cache
def _arrow(group: str, old: str, new: str) -> Item:
    return arrow(group, old, new)


class _Seen:
    __slots__ = ("accepted", "denied", "ends", "epochs", "events", "items", "repaired", "saved", "ungranted", "vcpus")

    def __init__(self) -> None:
        self.items: set[Item] = set()
        self.repaired = False
        """The stream of the design is repaired."""
        self.vcpus: set[str] = set()
        self.events: dict[int, str] = {}
        """Event to its state."""
        self.ends: dict[tuple[str, bool], str] = {}
        """An end of a session (true: KVM's) to its phase."""
        self.epochs: dict[tuple[str, bool], int] = {}
        """An end of a session to its epoch."""
        self.accepted: set[tuple[str, int]] = set()
        """The Welcomes that accept, by session and number."""
        self.denied: set[str] = set()
        """vCPUs that were denied."""
        self.ungranted: set[str] = set()
        """vCPUs whose grant has ended."""
        self.saved: set[str] = set()
        """Owners whose ring was saved."""

    def setup(self, r: Setup) -> None:
        self.items |= axis_items(r.axes)
        self.repaired = r.axes["delivery"] == "repaired"
        self.vcpus = set(r.vcpus)

    def send(self, r: Send) -> None:
        kind = type(r.body).__name__
        self.items.add("rule R2")
        self.items.add(f"message {kind}")
        if (rule := _BY_MESSAGE.get(kind)) is not None:
            self.items.add(rule)
        if kind in ("Hello", "Resume"):
            self.move(r, SessionInput.GREET)
        elif kind == "Welcome":
            if getattr(r.body, "accepted", True):
                self.accepted.add((r.session, r.n))
                self.move(r, SessionInput.GREETED)
            else:
                self.move(r, SessionInput.REFUSE)

    def move(self, r: Send, given: SessionInput) -> None:
        """A greeting, or its answer. The session of a new epoch begins closed."""
        if self.epochs.get((r.session, r.to_host), r.epoch) != r.epoch:
            del self.ends[r.session, r.to_host]
            self.accepted = {(session, n) for session, n in self.accepted if session != r.session or not r.to_host}
        self.epochs[r.session, r.to_host] = r.epoch
        self.phase(r.session, r.to_host, given)

    def phase(self, session: str, to_host: bool, given: SessionInput) -> None:
        old = SessionPhase(self.ends.get((session, to_host), SessionPhase.CLOSED))
        if (new := TRANSITIONS_OF_SESSIONS.get((old, given))) is not None:
            self.items.add(_arrow("session", str(old), str(new)))
            self.ends[session, to_host] = str(new)

    def session(self, r: SessionChange) -> None:
        self.ends[r.session, r.to_host] = r.new
        self.items.add(_arrow("session", r.old, r.new))
        if r.new == SessionPhase.ENDED:
            self.items.add("rule R22")

    def delivery(self, r: Delivery) -> None:
        if r.fate in ("drop", "overtake") and not self.repaired:
            self.items.add("rule R4")
        if r.message == "Welcome" and r.fate in ("take", "overtake", "duplicate") and (r.session, r.n) in self.accepted:
            self.phase(r.session, True, SessionInput.WELCOMED)
        kind = _KINDS.get(r.fate)
        if kind is not None:
            self.items.add(kind)

    def discard(self, r: Discard) -> None:
        self.items.add(f"rule {r.rule}")

    def opened(self, r: EventOpen) -> None:
        self.events[r.event] = r.state

    def change(self, r: EventChange) -> None:
        self.items.update(_path(r.old, r.new))
        self.events[r.event] = r.new

    def closed(self, r: EventClose) -> None:
        self.items.update(_path(self.events.pop(r.event, State.INACTIVE.name), State.EXIT.name))

    def waits(self, r: EventWaits) -> None:
        if r.reason:
            self.items.add("rule R10")
            self.items.add("rule R11")

    def claim(self, r: ClaimChange) -> None:
        self.items.add(_arrow("claim", r.old, r.new))

    def granted(self, r: Granted) -> None:
        self.items.add("rule R6")
        (self.ungranted.discard if r.grant else self.ungranted.add)(r.vcpu)

    def entry(self, r: VmEntry) -> None:
        if r.vcpu in self.ungranted and not r.passthrough:
            self.items.add("rule R12")

    def exit(self, r: VmExit) -> None:
        self.items.add("rule R17")

    def access(self, r: Access) -> None:
        if r.denied:
            self.denied.add(r.vcpu)
            if r.result == "gp":
                self.items.add("rule R15")
            if r.vcpu in self.ungranted:
                self.items.add("rule R12")

    def guest_event(self, r: GuestEvent) -> None:
        if r.change == "created" and r.vcpu in self.denied:
            self.items.add("rule R16")

    def save(self, r: LbrSave) -> None:
        self.saved.add(r.owner)

    def restore(self, r: LbrRestore) -> None:
        if r.owner in self.saved:
            self.items.add("rule R13")

    def timer(self, r: Timer) -> None:
        if r.timer == "lease":
            self.items.add("rule R19")

    def user(self, r: UserMsr) -> None:
        if r.task and r.task != r.vcpu:
            self.items.add("rule R20")

    def left(self, r: TaskExit) -> None:
        if r.task in self.vcpus:
            self.items.add("rule R23")


_KINDS = {"drop": "fault drop", "duplicate": "fault duplicate", "overtake": "fault reorder", "corrupt": "fault corrupt"}
_KINDS |= {"hold": "fault hold", "release": "fault hold"}
"""Fate to the kind of fault that causes it."""

_HANDLERS: dict[type, Callable[[_Seen, Any], None]] = {
    Setup: _Seen.setup,
    Send: _Seen.send,
    SessionChange: _Seen.session,
    Delivery: _Seen.delivery,
    Discard: _Seen.discard,
    EventOpen: _Seen.opened,
    EventChange: _Seen.change,
    EventClose: _Seen.closed,
    EventWaits: _Seen.waits,
    ClaimChange: _Seen.claim,
    Granted: _Seen.granted,
    VmEntry: _Seen.entry,
    VmExit: _Seen.exit,
    Access: _Seen.access,
    GuestEvent: _Seen.guest_event,
    LbrSave: _Seen.save,
    LbrRestore: _Seen.restore,
    Timer: _Seen.timer,
    UserMsr: _Seen.user,
    TaskExit: _Seen.left,
}
