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
    """``enum perf_event_state`` (facts/perf 1.1); at OFF or below an event is not considered by sched-in."""

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
"""Every change of state that there is (facts/perf 1.1), and what brings it about."""


def check_transition(event: str, old: State, new: State) -> None:
    if (old, new) not in TRANSITIONS:
        raise LocalContractError(f"event {event} goes from {old.name} to {new.name}, which no event does")


@dataclass(slots=True, eq=False)
class PerfEvent:
    """``cpu`` -1 follows ``task``; an empty ``task`` is a CPU event. ``oncpu`` is -1 unless ACTIVE. ``leader`` is the
    event itself unless it is a sibling; ``pinned`` and ``exclusive`` are a leader's.

    What it takes to be on: ``counters``, a mask of the counters that can count it (0: none), of which it has
    ``counter`` while ACTIVE (else -1); ``filter`` and ``slot`` (its value in the LBR shared register; None takes none);
    ``pseudo``, the one fake counter 58. ``listed``: it takes a place in the CPU's event list.

    ``kind``: lbr, bts or pt, which shut each other out, or "". ``includes_guest``: attr.exclude_guest is 0, and it
    stands in the way of a mediated vPMU. It counts at ``levels``, in host mode if ``counts_host`` and in guest mode if
    ``counts_guest``.

    ``counts_for`` names the vCPU whose counter a kernel event emulates: it counts nothing of the host.

    ``guest`` names the vCPU of a guest's event: such an event never turns the LBR on in the host. ``whole_ring``: what
    is saved for it is the whole ring. ``saved`` is the guest's LBR while the event is off, in designs that save it with
    the event. ``ran``: it has been on before. ``period``: branches between overflows (0: none), ``overflow_at`` what
    the CPU's counter shows at the next one while ACTIVE, else the branches left until then. ``interrupts``: overflows
    in this jiffy. ``enabled`` and ``running`` are nanoseconds of its context's clock up to ``stamp``.
    ``refused`` what it found no room for
    when perf last tried to put it on."""

    id: int
    name: str
    cpu: int
    task: str
    pinned: bool
    state: State
    exclusive: bool = False
    filter: BranchFilter | None = None
    slot: int | None = None
    counters: int = 0
    pseudo: bool = False
    listed: bool = True
    kind: str = ""
    includes_guest: bool = False
    guest: str = ""
    counts_for: str = ""
    levels: tuple[str, ...] = ("user", "kernel")
    counts_host: bool = True
    counts_guest: bool = True
    task_data: bool = False
    whole_ring: bool = False
    saved: SavedLbr | None = None
    leader: PerfEvent = None  # type: ignore[assignment]
    siblings: list[PerfEvent] = field(default_factory=list)
    oncpu: int = -1
    counter: int = -1
    period: int = 0
    overflow_at: int = 0
    interrupts: int = 0
    ran: bool = False
    enabled: int = 0
    running: int = 0
    stamp: int = 0
    count: int = 0
    counted_from: int = 0
    refused: str = ""

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
        """Whether one of this leader's group asks for branches: its being off is a matter of the LBR."""
        return any(event.filter is not None for event in self.group)

    @property
    def event_class(self) -> int:
        """PINNED or FLEXIBLE, which is the leader's (facts/perf 1.2)."""
        return PINNED if self.leader.pinned else FLEXIBLE


TRACERS = ("bts", "pt")
"""Kinds that take no counter but shut LBR events out, and each other (``x86_add_exclusive``)."""
PINNED = 2
FLEXIBLE = 1
ALL = PINNED | FLEXIBLE
