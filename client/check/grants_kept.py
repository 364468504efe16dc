from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from itertools import starmap
from typing import ClassVar, Self

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.traced import event_key, of_host
from client.check.world import World, lbr_on
from contract.canonical import At, EventName, Grant, Place
from contract.messages import Ack, EventCreated, EventState, Revoke, SchedIn
from contract.spec import LEASE_NS, NORMAL_RATE, host_of_event
from contract.trace import ClockSet, Crash, EventClose, Granted, HostWait, HostWake, Send, VmEntry

_WITH_EVENT = (EventState, EventCreated)
_OF_GRANTS = (EventState, EventCreated, SchedIn, Revoke, Ack)


@dataclass(slots=True)
class Told:
    """The grants of one guest's event, as the host tells them."""

    grant: int = 0
    """Its newest grant; 0: none yet."""
    lease: int = 0
    """The latest end of that grant's lease, in nanoseconds; 0: none was told."""
    acknowledged: bool = False
    """KVM has acknowledged the end of that grant."""
    revoked: int = 0
    """Its newest grant that was revoked."""

    def clone(self) -> Told:
        return Told(self.grant, self.lease, self.acknowledged, self.revoked)

    def key(self) -> tuple[Hashable, ...]:
        return Grant(self.grant), At(self.lease), self.acknowledged, Grant(self.revoked)


class GrantsKept(Monitor):
    __slots__ = ("held", "leased", "newest", "own_clock", "told", "waits")

    name = "grants-kept"
    definition = Definition(
        rules=("R6", "R14", "R18", "R19"),
        text=(
            "The host keeps its word about grants (R6, R14, R18, R19). A number stands for one grant of one event. "
            "After the host has sent a Revoke it does not say again that the event has this grant, or an older one. A "
            "lease that it tells ends at most 10 ms later. A host task that waits for the end of a grant continues "
            "when KVM has sent Ack, when the event is gone, or when each lease is over that the host has told for it. "
            "KVM enters no guest with the LBR after the last lease that the host has told for the grant that KVM holds."
        ),
        broken_by=(
            "A message of the host that names a grant against this; a host task that continues while such a grant "
            "still holds; or an entry with passthrough or DEBUGCTL.LBR after the end of the lease."
        ),
        evidence="News of a grant with a lease, or news of an event whose grant was revoked before.",
        reads={
            Send: "the grants and leases that the host tells, its Revokes, and KVM's Acks",
            HostWait: "the grants whose end a host task waits for",
            HostWake: "host tasks that continue",
            EventClose: "events whose grants are over",
            Granted: "the grant that KVM holds",
            VmEntry: "passthrough and DEBUGCTL.LBR",
            ClockSet: "KVMs whose clock is not the host's",
            Crash: "grants that are gone with their host",
        },
        unseen=(
            "Whether KVM has taken the news of a lease in time. A guest that stays in guest mode when its lease ends. "
            "Entries of a KVM whose clock runs at another rate, which measures leases by that clock. Designs that tell "
            "KVM of no grant."
        ),
        excuses=(("crash perfcore", "A restarted host numbers its grants from 1 again."),),
    )

    told: dict[int, Told]
    """By event. A closed event is not here."""
    newest: dict[str, tuple[int, int]]
    """Session to the epoch and the newest place of the host's messages: a place that is sent again is no news."""
    held: dict[str, int]
    """Vcpu to the grant that KVM holds for it; 0: none."""
    waits: dict[str, frozenset[tuple[int, int]]]
    """Name of an event whose opener waits, to the events and their grants that have to end first."""
    leased: bool
    """A lease was told."""
    own_clock: bool
    """The clock of a KVM has run at another rate than the host's."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.told, self.newest, self.held, self.waits = {}, {}, {}, {}
        self.leased = self.own_clock = False

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.told = {event: told.clone() for event, told in self.told.items()}
        twin.newest, twin.held, twin.waits = self.newest.copy(), self.held.copy(), self.waits.copy()
        twin.leased, twin.own_clock = self.leased, self.own_clock
        return twin

    def key(self) -> tuple[Hashable, ...]:
        waits = [(EventName(name), frozenset(starmap(_key, pairs))) for name, pairs in self.waits.items()]
        return (
            *super().key(),
            frozenset([(event_key(event), of_host(host_of_event(event), t.key())) for event, t in self.told.items()]),
            frozenset([(kvm, epoch, Place(kvm, False, place)) for kvm, (epoch, place) in self.newest.items()]),
            frozenset([(vcpu, Grant(grant)) for vcpu, grant in self.held.items()]),
            frozenset(waits),
            self.leased,
            self.own_clock,
        )

    def _send(self, r: Send) -> None:
        body = r.body
        if not isinstance(body, _OF_GRANTS):
            return
        if isinstance(body, Ack):
            self._acknowledged(self.world.kvms[r.session], body.grant)
            return
        if r.order:
            if self.newest.get(r.session, (0, 0)) >= (r.epoch, r.order):
                return
            self.newest[r.session] = r.epoch, r.order
        if isinstance(body, _WITH_EVENT):
            if body.grant:
                self._news(r, body.event, body)
        elif isinstance(body, SchedIn):
            if body.grant and (event := self.world.guest_event(body.vcpu, body.cpu)) is not None:
                self._news(r, event.opened.event, body)
        else:
            told = self.told.setdefault(body.event, Told())
            if told.revoked < body.grant:
                told.revoked = body.grant
                self.note(r.seq, "revoked", body.event)

    def _acknowledged(self, host: int, grant: int) -> None:
        for event, told in self.told.items():
            if told.grant == grant and host_of_event(event) == host:
                told.acknowledged = True

    def _news(self, r: Send, event: int, body: EventState | EventCreated | SchedIn) -> None:
        told = self.told.setdefault(event, Told())
        if body.grant != told.grant:
            self._new_grant(r, event, body.grant)
        if told.revoked:
            self.exercised = True
            if body.grant <= told.revoked:
                text = f"R14: event {event} has grant {body.grant}, which was revoked"
                self.violated(r.seq, text, self.noted("revoked", event))
        if body.expires:
            self.exercised = self.leased = True
            if body.expires > r.time + LEASE_NS:
                self.violated(r.seq, f"R19: the lease of grant {body.grant} ends in {body.expires - r.time} ns")
            if body.expires > told.lease:
                told.lease = body.expires
                self.note(r.seq, "lease", event)

    def _new_grant(self, r: Send, event: int, grant: int) -> None:
        host, told = host_of_event(event), self.told[event]
        if grant < told.grant:
            self.violated(r.seq, f"R6: event {event} has grant {grant} after {told.grant}")
        for other, of in self.told.items():
            if of.grant == grant and host_of_event(other) == host:
                self.violated(r.seq, f"R6: grant {grant} is of event {other} and of event {event}")
        told.grant, told.lease, told.acknowledged = grant, 0, False

    def _wait(self, r: HostWait) -> None:
        host = next((e.opened.host for e in self.world.events.values() if e.opened.name == r.name), 0)
        of = {told.grant: event for event, told in self.told.items() if host_of_event(event) == host}
        self.waits[r.name] = frozenset([(of[grant], grant) for grant in r.grants if grant in of])
        self.note(r.seq, "waits", r.name)

    def _wake(self, r: HostWake) -> None:
        for event, grant in sorted(self.waits.pop(r.name, ())):
            told = self.told.get(event)
            if told is not None and told.grant == grant and told.lease > r.time and not told.acknowledged:
                text = f"R18: {r.name} continues, and grant {grant} is not acknowledged and holds until {told.lease} ns"
                self.violated(r.seq, text, self.noted("waits", r.name))

    def _close(self, r: EventClose) -> None:
        self.told.pop(r.event, None)

    def _granted(self, r: Granted) -> None:
        self.held[r.vcpu] = r.grant

    def _entry(self, r: VmEntry) -> None:
        if not self.leased or self.own_clock or not (r.passthrough or lbr_on(r.debugctl)):
            return
        event = self.world.guest_event(r.vcpu, r.cpu)
        told = self.told.get(event.opened.event) if event is not None else None
        if event is None or told is None or told.grant != self.held.get(r.vcpu):
            return
        if 0 < told.lease <= r.time:
            text = f"R19: {r.vcpu} enters with the LBR, and the lease of grant {told.grant} ended at {told.lease} ns"
            self.violated(r.seq, text, self.noted("lease", event.opened.event))

    def _clock(self, r: ClockSet) -> None:
        self.own_clock = self.own_clock or r.rate != NORMAL_RATE

    def _crash(self, r: Crash) -> None:
        self.held = {vcpu: grant for vcpu, grant in self.held.items() if vcpu not in r.vcpus}
        if r.host >= 0:
            self.told = {event: told for event, told in self.told.items() if host_of_event(event) != r.host}

    HANDLERS: ClassVar = {
        Send: _send,
        HostWait: _wait,
        HostWake: _wake,
        EventClose: _close,
        Granted: _granted,
        VmEntry: _entry,
        ClockSet: _clock,
        Crash: _crash,
    }


def _key(event: int, grant: int) -> Hashable:
    return event_key(event), of_host(host_of_event(event), Grant(grant))
