"""A perf event: a group leader, alone or with siblings, or a sibling."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import IntEnum

from contract.canonical import Event, EventName
from contract.errors import LocalContractError
from perfcore_svc.perf.branch_filter import BranchFilter
from perfcore_svc.perf.saved_lbr import SavedLbr


class State(IntEnum):
    """``enum perf_event_state`` (facts/perf 1.1). Sched-in ignores an event at OFF or below."""

    EXIT = -3
    ERROR = -2
    OFF = -1
    INACTIVE = 0
    ACTIVE = 1


TRANSITIONS: dict[tuple[State, State], str] = {
    (State.INACTIVE, State.ACTIVE): "its group goes on",
    (State.ACTIVE, State.INACTIVE): "its group goes off",
    (State.INACTIVE, State.ERROR): "pinned, and does not fit",
    (State.INACTIVE, State.OFF): "disabled",
    (State.OFF, State.INACTIVE): "enabled",
    (State.ERROR, State.INACTIVE): "enabled",
    (State.INACTIVE, State.EXIT): "closed",
    (State.OFF, State.EXIT): "closed",
    (State.ERROR, State.EXIT): "closed",
}
"""Every change of state (facts/perf 1.1), and its cause."""


def check_transition(event: str, old: State, new: State) -> None:
    if (old, new) not in TRANSITIONS:
        raise LocalContractError(f"event {event} goes from {old.name} to {new.name}, which no event does")


@dataclass(slots=True, eq=False)
class PerfEvent:
    """An event. Its attributes come first, then its state. ``pinned`` and ``exclusive`` have a meaning for a leader
    only."""

    id: int
    """Number of the event on this host."""
    name: str
    """Its name in the trace."""
    cpu: int
    """CPU of the event; -1: it follows ``task``."""
    task: str
    """Task of the event; "": it is a CPU event."""
    pinned: bool
    """The event is pinned; otherwise it is flexible."""
    state: State
    """Its own state; ``effective_state`` includes the leader's."""
    exclusive: bool = False
    """The group must be alone on the CPU."""
    filter: BranchFilter | None = None
    """The branch filter; None: no branch stack."""
    slot: int | None = None
    """Its value in the LBR shared register; None: it does not use the register."""
    counters: int = 0
    """Mask of the counters that can count it; 0: it needs none."""
    pseudo: bool = False
    """1 if it takes the fake counter 58, else 0."""
    listed: bool = True
    """It takes a place in the CPU's event list."""
    kind: str = ""
    """lbr, bts or pt, which exclude each other; "": none of them."""
    includes_guest: bool = False
    """``attr.exclude_guest`` is 0, and it conflicts with a mediated vPMU."""
    guest: str = ""
    """The vCPU that it stands for; "": a host event. A guest's event never turns the LBR on in the host."""
    counts_for: str = ""
    """The vCPU whose counter it emulates; "": none. Such an event counts nothing of the host."""
    levels: tuple[str, ...] = ("user", "kernel")
    """Privilege levels at which it counts."""
    counts_host: bool = True
    """It counts in host mode."""
    counts_guest: bool = True
    """It counts in guest mode."""
    task_data: bool = False
    """It needs saved LBR stacks (PERF_ATTACH_TASK_DATA)."""
    whole_ring: bool = False
    """The whole ring is saved for it."""
    saved: SavedLbr | None = None
    """The guest's LBR while the event is off, in designs that keep it with the event; else None."""
    leader: PerfEvent = None  # type: ignore[assignment]
    """The leader of its group; a leader is its own."""
    siblings: list[PerfEvent] = field(default_factory=list)
    """The siblings of a leader."""
    oncpu: int = -1
    """The CPU that it is on; -1 unless ACTIVE."""
    counter: int = -1
    """Its counter while ACTIVE; -1: none."""
    period: int = 0
    """Branches between two overflows; 0: none."""
    overflow_at: int = 0
    """While ACTIVE, the value of the CPU's count at the next overflow; otherwise the branches left until then."""
    interrupts: int = 0
    """Overflows in this jiffy."""
    ran: bool = False
    """It has been on before."""
    enabled: int = 0
    """Nanoseconds that it was enabled, up to ``stamp``."""
    running: int = 0
    """Nanoseconds that it was on, up to ``stamp``."""
    stamp: int = 0
    """Time of its context, in nanoseconds, at which its times were brought up to date."""
    count: int = 0
    """Branches counted, without those since ``counted_from``."""
    counted_from: int = 0
    """While ACTIVE, the value of the CPU's count when it went on."""
    refused: str = ""
    """The resource that perf did not have when it last tried to put the event on; "": none."""

    def __post_init__(self) -> None:
        if self.leader is None:
            self.leader = self

    def clone(self) -> PerfEvent:
        """The copy still has this one's leader, siblings and saved LBR: ``PerfState.clone`` copies those."""
        twin = PerfEvent.__new__(PerfEvent)
        twin.id, twin.name, twin.cpu, twin.task = self.id, self.name, self.cpu, self.task
        twin.pinned, twin.state, twin.exclusive = self.pinned, self.state, self.exclusive
        twin.filter, twin.slot, twin.counters = self.filter, self.slot, self.counters
        twin.pseudo, twin.listed, twin.kind = self.pseudo, self.listed, self.kind
        twin.includes_guest, twin.guest, twin.counts_for = self.includes_guest, self.guest, self.counts_for
        twin.levels, twin.counts_host, twin.counts_guest = self.levels, self.counts_host, self.counts_guest
        twin.task_data, twin.whole_ring, twin.saved = self.task_data, self.whole_ring, self.saved
        twin.leader, twin.siblings = self.leader, self.siblings
        twin.oncpu, twin.counter, twin.period = self.oncpu, self.counter, self.period
        twin.overflow_at, twin.interrupts, twin.ran = self.overflow_at, self.interrupts, self.ran
        twin.enabled, twin.running, twin.stamp = self.enabled, self.running, self.stamp
        twin.count, twin.counted_from, twin.refused = self.count, self.counted_from, self.refused
        return twin

    def key(self) -> tuple[Hashable, ...]:
        """Without its clocks and counts, which ``PerfState.key`` brings up to now."""
        attributes = (
            *(EventName(self.name), self.cpu, self.task, self.pinned, self.exclusive, self.filter, self.slot),
            *(self.counters, self.pseudo, self.listed, self.kind, self.includes_guest, self.guest, self.counts_for),
            *(self.levels, self.counts_host, self.counts_guest, self.task_data, self.whole_ring, self.period),
        )
        saved = None if self.saved is None else self.saved.key()
        group = Event(self.leader.id), tuple([Event(sibling.id) for sibling in self.siblings])
        standing = self.state, self.oncpu, self.counter, self.interrupts, self.ran, self.refused
        return Event(self.id), attributes, saved, group, standing

    @property
    def effective_state(self) -> State:
        """A member of a group whose leader is off counts as off (``__perf_effective_state``)."""
        return self.leader.state if self.leader.state <= State.OFF else self.state

    @property
    def group(self) -> list[PerfEvent]:
        """The leader and its siblings, for a leader."""
        return [self, *self.siblings]

    @property
    def waits_for_lbr(self) -> bool:
        """Whether an event of this leader's group asks for branches, so that the group may be off because of the
        LBR."""
        return any(event.filter is not None for event in self.group)

    @property
    def event_class(self) -> int:
        """PINNED or FLEXIBLE, which is the leader's (facts/perf 1.2)."""
        return PINNED if self.leader.pinned else FLEXIBLE


TRACERS = ("bts", "pt")
"""Kinds that take no counter but exclude LBR events, and each other (``x86_add_exclusive``)."""
PINNED = 2
FLEXIBLE = 1
ALL = PINNED | FLEXIBLE
