"""Event contexts, and the data that perf keeps for each CPU (``struct perf_cpu_context`` and ``struct
cpu_hw_events``)."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from contract.canonical import At, Event, bank
from perfcore_svc.perf.branch_filter import BranchFilter
from perfcore_svc.perf.event import FLEXIBLE, PINNED, PerfEvent
from perfcore_svc.perf.saved_lbr import SavedLbr


@dataclass(slots=True, eq=False)
class Context:
    """The events of one CPU or of one task (``struct perf_event_context``)."""

    task: str
    """Name of the task; "": the context of a CPU."""
    pinned: list[PerfEvent] = field(default_factory=list)
    """Pinned leaders in tree order (facts/perf 1.4); a new one is at the tail. The subtrees of cpu -1 and of this CPU
    are one list, because their indices are counted together."""
    flexible: list[PerfEvent] = field(default_factory=list)
    """Flexible leaders, in the same order."""
    pinned_active: list[PerfEvent] = field(default_factory=list)
    """Pinned leaders that are on, in the order in which they went on."""
    flexible_active: list[PerfEvent] = field(default_factory=list)
    """Flexible leaders that are on, in the order in which they went on."""
    events: int = 0
    """Number of events, siblings included (``nr_events``)."""
    is_active: int = 0
    """The classes that are scheduled in, as a mask; 0: none."""
    rotate_necessary: bool = False
    """A flexible group waits, so the next tick rotates the list."""
    time: int = 0
    """The clock of the context in nanoseconds, at ``updated_at`` while it runs."""
    updated_at: int = 0
    """Virtual nanoseconds at which ``time`` was last brought up to date."""
    ticking: bool = False
    """The clock of the context runs."""
    lbr: SavedLbr | None = None
    """The LBR saved for the task; None: it has no space for one."""
    lbr_events: int = 0
    """Number of events that need this space."""

    def clone(self, events: dict[int, PerfEvent], saved: Callable[[SavedLbr | None], SavedLbr | None]) -> Context:
        """With these events by id instead of its own, and the copies of saved LBRs that ``saved`` gives."""
        return Context(
            self.task,
            [events[event.id] for event in self.pinned],
            [events[event.id] for event in self.flexible],
            [events[event.id] for event in self.pinned_active],
            [events[event.id] for event in self.flexible_active],
            self.events,
            self.is_active,
            self.rotate_necessary,
            self.time,
            self.updated_at,
            self.ticking,
            saved(self.lbr),
            self.lbr_events,
        )

    def at(self, now: int) -> int:
        """The context's clock at ``now``."""
        return self.time + now - self.updated_at if self.ticking else self.time

    @property
    def idle(self) -> bool:
        """Whether this is as good as no context."""
        return not self.events and self.lbr is None and not self.rotate_necessary

    def key(self) -> tuple[Hashable, ...]:
        """Without its clock: the times of its events are in their keys."""
        lists = tuple([ids(each) for each in (self.pinned, self.flexible, self.pinned_active, self.flexible_active)])
        standing = self.events, self.is_active, self.rotate_necessary, self.ticking, self.lbr_events
        return self.task, lists, standing, None if self.lbr is None else self.lbr.key()

    def groups(self, event_class: int) -> list[PerfEvent]:
        return self.pinned if event_class == PINNED else self.flexible

    def active(self, event_class: int) -> list[PerfEvent]:
        return self.pinned_active if event_class == PINNED else self.flexible_active

    def add_leader(self, leader: PerfEvent) -> None:
        self.groups(leader.event_class).append(leader)

    def to_tail(self, leader: PerfEvent) -> None:
        self.flexible.remove(leader)
        self.flexible.append(leader)


@dataclass(slots=True)
class PerfCpu:
    """The data that perf keeps for one CPU."""

    index: int
    """Number of the CPU. Configuration."""
    ctx: Context
    """The context of the CPU."""
    task_ctx: Context | None = None
    """The context of the task on this CPU, while events of it may be on; else None."""
    slot: int = 0
    """The value in the LBR shared register, while ``slot_users`` is not 0."""
    slot_users: int = 0
    """Number of events on this CPU that share that value."""
    active: list[PerfEvent] = field(default_factory=list)
    """The events that are on, in the order in which they went on."""
    pseudo_used: bool = False
    """An event has the fake counter 58."""
    active_oncpu: int = 0
    """Number of events that are on."""
    exclusive: bool = False
    """One of the events that are on is exclusive."""
    lbr_users: int = 0
    """Number of LBR events that are on, guests' events included."""
    callstack_users: int = 0
    """Number of CPU-wide call-stack events that are on and for which the stacks of tasks are saved."""
    host_users: int = 0
    """Number of host LBR events that are on."""
    shut_out: bool = False
    """A guest's event that is on keeps the host from using the LBR."""
    save_select: bool = False
    """Saves and restores include LBR_SELECT, because a guest's event is on."""
    reset_clears_select: bool = False
    """A reset while ``save_select`` is set clears LBR_SELECT, too. Configuration."""
    kept_with_event: bool = False
    """A guest's event is on whose LBR is saved when it goes off."""
    of_guest: bool = False
    """The ring holds the records of a guest whose whole ring is kept."""
    br_sel: BranchFilter | None = None
    """The software filter of the event that was added last, even if it did not fit; None: none yet."""
    parked: list[tuple[Context, PerfEvent]] = field(default_factory=list)
    """The groups that are off while a guest runs here, each with its context."""
    last_saved: SavedLbr | None = None
    """The copy that this CPU saved last; None after a reset."""
    last_log_id: int = 0
    """The ``log_id`` of that copy at that time."""
    lbr_stack: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    """FROM and TO of the entries that perf read last, newest first. A sample contains them."""
    tick_at: int = -1
    """The nanosecond at which the multiplex timer fires next; -1: it is not armed."""

    def clone(
        self,
        contexts: dict[int, Context],
        events: dict[int, PerfEvent],
        saved: Callable[[SavedLbr | None], SavedLbr | None],
    ) -> PerfCpu:
        """``contexts``: the copy of each by the id of the object."""
        twin = PerfCpu(self.index, contexts[id(self.ctx)])
        twin.task_ctx = None if self.task_ctx is None else contexts[id(self.task_ctx)]
        twin.slot, twin.slot_users, twin.active = (
            self.slot,
            self.slot_users,
            [events[event.id] for event in self.active],
        )
        twin.pseudo_used, twin.active_oncpu, twin.exclusive = self.pseudo_used, self.active_oncpu, self.exclusive
        twin.lbr_users, twin.callstack_users, twin.host_users = self.lbr_users, self.callstack_users, self.host_users
        twin.shut_out, twin.save_select, twin.of_guest = self.shut_out, self.save_select, self.of_guest
        twin.reset_clears_select, twin.kept_with_event = self.reset_clears_select, self.kept_with_event
        twin.br_sel, twin.lbr_stack, twin.tick_at = self.br_sel, self.lbr_stack, self.tick_at
        twin.parked = [(contexts[id(ctx)], events[event.id]) for ctx, event in self.parked]
        twin.last_saved, twin.last_log_id = saved(self.last_saved), self.last_log_id
        return twin

    def key(self, owners: dict[int, Hashable]) -> tuple[Hashable, ...]:
        """``owners`` of saved LBRs, by the id of the object."""
        task_ctx = None if self.task_ctx is None or self.task_ctx.idle else self.task_ctx.task
        last = self.last_saved
        untouched = None
        if last is not None and last.valid and last.log_id == self.last_log_id:
            untouched = owners.get(id(last))
        flags = self.pseudo_used, self.exclusive, self.shut_out, self.save_select, self.kept_with_event, self.of_guest
        users = self.active_oncpu, self.lbr_users, self.callstack_users, self.host_users, self.slot_users
        parked = tuple([(ctx.task, Event(event.id)) for ctx, event in self.parked])
        stack = tuple([bank(each) for each in self.lbr_stack])
        slot = self.slot if self.slot_users else 0
        return (
            self.ctx.key(),
            task_ctx,
            slot,
            users,
            ids(self.active),
            flags,
            self.br_sel,
            parked,
            untouched,
            stack,
            At(self.tick_at),
        )


def ids(events: list[PerfEvent]) -> tuple[Hashable, ...]:
    return tuple([Event(event.id) for event in events])


__all__ = ["FLEXIBLE", "PINNED", "Context", "PerfCpu"]
