"""Host events that make way for a guest, if the design lets the guest own the PMU while it runs (facts/perf 4.2).

There is no sched-in meanwhile: a task that would cause one sends an interrupt, which is an exit. Pinned events survive
as INACTIVE, and the time of the guest does not count for the host's events.
"""

from __future__ import annotations

from perfcore_svc.perf import lbr
from perfcore_svc.perf.context import Context, PerfCpu
from perfcore_svc.perf.event import FLEXIBLE, PINNED, PerfEvent
from perfcore_svc.perf.group import group_sched_in, group_sched_out
from perfcore_svc.perf.kernel import Kernel


def make_way(kernel: Kernel, pc: PerfCpu) -> None:
    """``perf_load_guest_context``: every event of the core PMU goes off while a guest runs here."""
    for ctx in _contexts(pc):
        kernel.stop_clock(ctx)
    pc.parked = [
        (ctx, leader)
        for event_class in (PINNED, FLEXIBLE)
        for ctx in _contexts(pc)
        for leader in ctx.active(event_class)
        if _of_core_pmu(leader)
    ]
    before = lbr.disable_all(kernel.machine, pc)
    for ctx, leader in pc.parked:
        group_sched_out(kernel, pc, ctx, leader)
    lbr.enable_all(kernel.machine, pc, before)


def take_back(kernel: Kernel, pc: PerfCpu) -> None:
    """``perf_put_guest_context``. No event was scheduled meanwhile, so all find their places free."""
    for ctx in _contexts(pc):
        kernel.start_clock(ctx)
    before = lbr.disable_all(kernel.machine, pc)
    for ctx, leader in pc.parked:
        group_sched_in(kernel, pc, ctx, leader)
    pc.parked.clear()
    lbr.enable_all(kernel.machine, pc, before)


def _contexts(pc: PerfCpu) -> list[Context]:
    return [ctx for ctx in (pc.ctx, pc.task_ctx) if ctx is not None and ctx.events]


def _of_core_pmu(leader: PerfEvent) -> bool:
    """Whether the event uses the core PMU. A guest's own counter does not here, and PT is a separate PMU."""
    return not leader.counts_for and leader.kind != "pt"
