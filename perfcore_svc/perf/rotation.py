"""The multiplex timer (facts/perf 1.12): the groups that a tick moves, and the advance of time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from perfcore_svc.perf import lbr
from perfcore_svc.perf.context import Context, PerfCpu
from perfcore_svc.perf.event import FLEXIBLE, PerfEvent
from perfcore_svc.perf.kernel import Kernel
from perfcore_svc.perf.kernel_rules import RotationRule
from perfcore_svc.perf.walk import ctx_sched_out, next_tick, sched_in

TICKS_AT_ONCE = 2000
"""The most ticks that one command fires: some 0.1 s of work."""


def advance(kernel: Kernel, until: int, guest_moved: Callable[[], None]) -> bool:
    """Advance virtual time to ``until`` nanoseconds, and fire the timers on the way in the order of time, then of CPU.
    A timer that ran out while the host was stalled fires at once. ``guest_moved`` is called right after a tick that
    took a guest's event off or put one on. False if it stops before ``until``, because TICKS_AT_ONCE have fired, with
    all others of that moment."""
    for tick in count():
        due = [pc for pc in kernel.cpus if 0 <= pc.tick_at <= until]
        if not due:
            break
        pc = min(due, key=lambda c: (c.tick_at, c.index))
        if tick >= TICKS_AT_ONCE and pc.tick_at > kernel.clock.now:
            return False
        kernel.clock.now = max(kernel.clock.now, pc.tick_at)
        kernel.machine.interrupt(kernel.machine.cpus[pc.index])
        pc.tick_at = next_tick(kernel, pc) if rotate_context(kernel, pc) else -1
        if any(event.guest for event, _ in kernel.changed.values()):
            guest_moved()
    kernel.clock.now = until
    return True


def rotate_context(kernel: Kernel, pc: PerfCpu) -> bool:
    """``perf_rotate_context``. False if no group waits, and the timer stops."""
    task_ctx = pc.task_ctx if pc.task_ctx is not None and pc.task_ctx.rotate_necessary else None
    cpu_rotates = pc.ctx.rotate_necessary
    if not cpu_rotates and task_ctx is None:
        return False
    before = lbr.disable_all(kernel.machine, pc)
    task_event = _to_rotate(kernel, pc, task_ctx) if task_ctx is not None else None
    cpu_event = _to_rotate(kernel, pc, pc.ctx) if cpu_rotates else None
    if pc.task_ctx is not None and (task_event is not None or cpu_event is not None):
        ctx_sched_out(kernel, pc, pc.task_ctx, FLEXIBLE)
    if cpu_event is not None:
        ctx_sched_out(kernel, pc, pc.ctx, FLEXIBLE)
        pc.ctx.to_tail(cpu_event)
    if task_event is not None and task_ctx is not None:
        task_ctx.to_tail(task_event)
    sched_in(kernel, pc)
    lbr.enable_all(kernel.machine, pc, before)
    return True


def _to_rotate(kernel: Kernel, pc: PerfCpu, ctx: Context) -> PerfEvent | None:
    """``ctx_first_active``, since v5.5 ``ctx_event_to_rotate``."""
    if kernel.rules.rotation is RotationRule.FIRST_ACTIVE:
        return ctx.flexible_active[0] if ctx.flexible_active else None
    ctx.rotate_necessary = False
    if ctx.flexible_active:
        return ctx.flexible_active[0]
    for cpu in (-1, pc.index):
        for leader in ctx.flexible:
            if leader.cpu == cpu:
                return leader
    return None
