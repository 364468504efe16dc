"""The CPUs, events and VM entries of a trace, as its monitors see them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from contract.canonical import Event, EventName, Scoped
from contract.lbr_ring import LbrRing
from contract.reasons import NOT_THE_LBR
from contract.spec import host_of_event
from contract.trace import EventOpen


def of_host(host: int, part: Hashable) -> Scoped:
    """A part of a key whose numbers come from this host."""
    return Scoped(f"host{host}", "", part)


def event_key(event: int) -> Scoped:
    return of_host(host_of_event(event), Event(event))


def events_key(events: Iterable[int]) -> frozenset[Scoped]:
    return frozenset([event_key(event) for event in events])


class Entry(NamedTuple):
    """A VM entry, from the record VmEntry."""

    vcpu: str
    debugctl: int
    host_debugctl: int
    passthrough: bool
    switched: bool


@dataclass(slots=True)
class TracedCpu:
    lbr: LbrRing
    """The LBR of the CPU."""
    task: str = ""
    """The task on the CPU, "" for the idle task."""
    switched: bool = False
    """A guest is in guest mode and has the whole LBR to itself."""
    host_on: bool = False
    """Perf has the LBR on for host events."""
    entry: Entry | None = None
    """The last VM entry."""
    users: frozenset[tuple[bool, int]] = frozenset()
    """Whose branches were ever in this CPU's ring, as (guest mode, actor)."""

    def clone(self) -> TracedCpu:
        return TracedCpu(self.lbr.clone(), self.task, self.switched, self.host_on, self.entry, self.users)

    def key(self) -> tuple[Hashable, ...]:
        return self.lbr.key(), self.task, self.switched, self.host_on, self.entry, self.users


class Opened(NamedTuple):
    """The part of EventOpen that never changes. ``host``: the host that opened the event."""

    event: int
    host: int
    name: str
    guest: str
    cpu: int
    task: str
    pinned: bool
    select: int
    branch: tuple[str, ...]
    privilege: tuple[str, ...]
    counter: bool
    exclusive: bool
    counts_for: str


def opened(r: EventOpen) -> Opened:
    return Opened(
        event=r.event,
        host=host_of_event(r.event),
        name=r.name,
        guest=r.guest,
        cpu=r.cpu,
        task=r.task,
        pinned=r.pinned,
        select=r.select,
        branch=tuple(r.branch),
        privilege=tuple(r.privilege),
        counter=r.counter,
        exclusive=r.exclusive,
        counts_for=r.counts_for,
    )


@dataclass(slots=True)
class TracedEvent:
    opened: Opened
    """The data of its EventOpen."""
    state: str
    """Its state, as in ``enum perf_event_state``."""
    cpu: int = -1
    """The CPU that it is on or was last on; -1 for none."""
    leader: TracedEvent | None = None
    """The leader of its group; None if it is the leader itself."""
    alone: bool = False
    """It was a sibling, and its leader is closed."""
    refused: str = ""
    """The resource that perf did not have when it last tried to put the event on; "" if none."""

    def clone(self) -> TracedEvent:
        """The copy still has the leader of the original."""
        return TracedEvent(self.opened, self.state, self.cpu, self.leader, self.alone, self.refused)

    def key(self) -> Scoped:
        leader = 0 if self.leader is None else Event(self.leader.opened.event)
        name = EventName(self.opened.name)
        parts = Event(self.opened.event), name, self.opened[3:], self.state, self.cpu, leader, self.alone, self.refused
        return of_host(self.opened.host, parts)

    def wants(self, actor: str, branch: str, privilege: str) -> bool:
        """Whether the event asked for such a host-mode branch."""
        asked = self.opened
        return (not asked.task or asked.task == actor) and branch in asked.branch and privilege in asked.privilege

    @property
    def host_lbr(self) -> bool:
        return not self.opened.guest and self.opened.select >= 0

    @property
    def keeps_guests_off(self) -> bool:
        """Whether this is a host event that keeps every guest's event from the LBR."""
        return self.host_lbr or (self.opened.exclusive and not self.alone and not self.opened.guest)

    @property
    def head(self) -> TracedEvent:
        """The leader of its group."""
        return self.leader or self

    @property
    def pinned(self) -> bool:
        """A sibling whose leader is closed continues as a flexible event (``perf_group_detach``)."""
        return self.opened.pinned and not self.alone

    @property
    def can_be_on(self) -> bool:
        """Whether it is on, or is off only because it did not get the LBR: it is enabled, with its leader
        (``__perf_effective_state``), and lacks nothing else."""
        enabled = all(event.state in ("ACTIVE", "INACTIVE") for event in (self, self.head))
        return enabled and (self.state == "ACTIVE" or self.head.refused not in NOT_THE_LBR)
