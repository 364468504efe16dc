"""Event contexts, and what perf keeps for each CPU (``struct perf_cpu_context`` and ``struct cpu_hw_events``)."""

from __future__ import annotations

from dataclasses import dataclass, field

from perfcore_svc.perf.branch_filter import BranchFilter
from perfcore_svc.perf.event import PerfEvent

PINNED = 2
FLEXIBLE = 1
ALL = PINNED | FLEXIBLE


@dataclass(slots=True)
class TaskLbr:
    """A task's saved LBR (``struct x86_perf_task_context``): entries newest first, ``valid`` of them."""

    valid: bool = False
    tos: int = 0
    select: int = 0
    from_ip: list[int] = field(default_factory=list)
    to_ip: list[int] = field(default_factory=list)
    info: list[int] = field(default_factory=list)
    log_id: int = 0
    callstack_users: int = 0


@dataclass(slots=True)
class Context:
    """Events of one CPU (``task`` is "") or of one task. ``pinned`` and ``flexible`` hold leaders in tree order: a new
    or re-inserted one is at the tail. ``is_active`` are the classes scheduled in now."""

    task: str
    pinned: list[PerfEvent] = field(default_factory=list)
    flexible: list[PerfEvent] = field(default_factory=list)
    is_active: int = 0
    rotate_necessary: bool = False
    lbr: TaskLbr | None = None

    def groups(self, event_class: int) -> list[PerfEvent]:
        return self.pinned if event_class == PINNED else self.flexible

    def add(self, event: PerfEvent) -> None:
        self.groups(PINNED if event.pinned else FLEXIBLE).append(event)
        if event.task_data and self.lbr is None:
            self.lbr = TaskLbr()

    def remove(self, event: PerfEvent) -> None:
        self.groups(PINNED if event.pinned else FLEXIBLE).remove(event)
        if not any(e.task_data for e in self.pinned + self.flexible):
            self.lbr = None
        if not (self.pinned or self.flexible):
            self.is_active = 0

    @property
    def empty(self) -> bool:
        return not (self.pinned or self.flexible)


@dataclass(slots=True)
class PerfCpu:
    """``task_ctx`` is the context of the task on this CPU while any class of it is in.

    ``slot``/``slot_users``: the LBR shared register. ``lbr_users`` counts ACTIVE LBR events, guests' included;
    ``host_users`` without them. ``shut_out``: a guest's event keeps the host off the LBR. ``br_sel`` is the software
    filter of whoever was added last, won or not. ``lbr_stack`` is what perf read last: a sample carries it."""

    index: int
    ctx: Context
    task_ctx: Context | None = None
    slot: int = 0
    slot_users: int = 0
    counters_used: int = 0
    pseudo_used: bool = False
    lbr_users: int = 0
    host_users: int = 0
    shut_out: bool = False
    save_select: bool = False
    br_sel: BranchFilter | None = None
    last_task_ctx: Context | None = None
    last_log_id: int = 0
    lbr_stack: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    traced_lbr: tuple[bool, int] = (False, 0)
