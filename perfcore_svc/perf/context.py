"""Event contexts, and what perf keeps for each CPU (``struct perf_cpu_context`` and ``struct cpu_hw_events``)."""

from __future__ import annotations

from dataclasses import dataclass, field

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
    traced_lbr: bool = False
    tick_at: int = -1


__all__ = ["FLEXIBLE", "PINNED", "Context", "PerfCpu"]
