"""Event contexts, and what perf keeps for each CPU (``struct perf_cpu_context`` and ``struct cpu_hw_events``)."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from contract.canonical import At, Event, bank
from perfcore_svc.perf.branch_filter import BranchFilter
from perfcore_svc.perf.event import FLEXIBLE, PINNED, PerfEvent
from perfcore_svc.perf.saved_lbr import SavedLbr


@dataclass(slots=True, eq=False)
class Context:
    """Events of one CPU (``task`` is "") or of one task.

    ``pinned`` and ``flexible`` hold leaders in tree order (facts/perf 1.4): a new one is at the tail; the subtrees
    of cpu -1 and of this CPU are one list, as their indices are counted together. ``pinned_active`` and
    ``flexible_active`` are those that are on, in the order of going on. ``is_active`` are the classes scheduled in.
    ``time`` is the context's clock in nanoseconds, as of ``since`` while ``ticking``."""

    task: str
    pinned: list[PerfEvent] = field(default_factory=list)
    flexible: list[PerfEvent] = field(default_factory=list)
    pinned_active: list[PerfEvent] = field(default_factory=list)
    flexible_active: list[PerfEvent] = field(default_factory=list)
    events: int = 0
    is_active: int = 0
    rotate_necessary: bool = False
    time: int = 0
    since: int = 0
    ticking: bool = False
    lbr: SavedLbr | None = None
    lbr_events: int = 0

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
            self.since,
            self.ticking,
            saved(self.lbr),
            self.lbr_events,
        )

    def at(self, now: int) -> int:
        """The context's clock at ``now``."""
        return self.time + now - self.since if self.ticking else self.time

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
    """``task_ctx`` is the context of the task on this CPU while it has events that may be in.

    ``slot``/``slot_users``: the LBR shared register. ``on``: the events that are on.
    ``active_oncpu`` counts events that are on, ``exclusive`` that one of them is exclusive. ``lbr_users`` counts ACTIVE
    LBR events, guests' included; ``host_users`` without them. ``callstack_users`` counts CPU-wide call-stack events
    whose tasks' stacks are saved. ``shut_out``: a guest's event keeps the host off the LBR. ``reset_clears_select``: a
    reset with such an event on clears LBR_SELECT too. ``kept_with_event``: a guest's event is on whose LBR is saved
    when it goes off. ``br_sel`` is the software filter of whoever was added last, won or not. ``parked`` are the groups
    that are off while a guest runs here. ``lbr_stack`` is what perf read last: a sample carries it. ``tick_at``: when
    the multiplex timer fires next, nanoseconds; -1 while it is not armed."""

    index: int
    ctx: Context
    task_ctx: Context | None = None
    slot: int = 0
    slot_users: int = 0
    on: list[PerfEvent] = field(default_factory=list)
    pseudo_used: bool = False
    active_oncpu: int = 0
    exclusive: bool = False
    lbr_users: int = 0
    callstack_users: int = 0
    host_users: int = 0
    shut_out: bool = False
    save_select: bool = False
    reset_clears_select: bool = False
    kept_with_event: bool = False
    of_guest: bool = False
    br_sel: BranchFilter | None = None
    parked: list[tuple[Context, PerfEvent]] = field(default_factory=list)
    last_saved: SavedLbr | None = None
    last_log_id: int = 0
    lbr_stack: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    tick_at: int = -1

    def clone(
        self,
        contexts: dict[int, Context],
        events: dict[int, PerfEvent],
        saved: Callable[[SavedLbr | None], SavedLbr | None],
    ) -> PerfCpu:
        """``contexts``: the copy of each by the id of the object."""
        twin = PerfCpu(self.index, contexts[id(self.ctx)])
        twin.task_ctx = None if self.task_ctx is None else contexts[id(self.task_ctx)]
        twin.slot, twin.slot_users, twin.on = self.slot, self.slot_users, [events[event.id] for event in self.on]
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
            ids(self.on),
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
