"""Contexts in and out, a class at a time (facts/perf 1.5, 1.6, 1.7).

The order is CPU-pinned, task-pinned, CPU-flexible, task-flexible. A class that is in is not walked again: a waiting
group is tried only after its class went out. The first group that does not fit keeps off all groups behind it in the
same list, whatever they need. Each list is treated separately.
"""

from __future__ import annotations

from contract.reasons import BEHIND, NOT_ALONE
from perfcore_svc.perf.context import Context, PerfCpu
from perfcore_svc.perf.event import FLEXIBLE, PINNED, PerfEvent, State
from perfcore_svc.perf.group import group_sched_in, group_sched_out
from perfcore_svc.perf.kernel import Kernel
from perfcore_svc.perf.kernel_rules import ExclusiveRule

EXCLUSIVE_ON = "an exclusive event is on"


def sched_in(kernel: Kernel, pc: PerfCpu) -> None:
    """``perf_event_sched_in``."""
    pc.task_ctx = kernel.tasks.get(kernel.machine.cpus[pc.index].task)
    for event_class in (PINNED, FLEXIBLE):
        for ctx in (pc.ctx, pc.task_ctx):
            if ctx is not None and ctx.events and not ctx.is_active & event_class:
                ctx.is_active |= event_class
                _walk(kernel, pc, ctx, event_class)


def _walk(kernel: Kernel, pc: PerfCpu, ctx: Context, event_class: int) -> None:
    """``merge_sched_in`` for each leader in tree order."""
    door_open = True
    for leader in ctx.groups(event_class):
        if leader.state <= State.OFF or leader.cpu not in (-1, pc.index):
            continue
        tried = _can_go_on(kernel, pc, ctx, leader, door_open)
        if tried and group_sched_in(kernel, pc, ctx, leader):
            ctx.active(event_class).append(leader)
            continue
        if not tried:
            kernel.refuse(leader, _why_not(pc, door_open))
        if event_class == PINNED:
            kernel.set_state(ctx, leader, State.ERROR)
            kernel.doings.failed.append((leader, pc.index))
            door_open = door_open and not kernel.rules.pinned_failure_shuts_door
        elif tried or kernel.rules.refusal_shuts_door:
            door_open = False
            ctx.rotate_necessary = True
            arm_tick(kernel, pc)


def _can_go_on(kernel: Kernel, pc: PerfCpu, ctx: Context, leader: PerfEvent, door_open: bool) -> bool:
    """``group_can_go_on``."""
    if pc.exclusive:
        return False
    if leader.exclusive:
        if kernel.rules.exclusive is ExclusiveRule.ANY_EVENT_ON:
            return door_open and pc.active_oncpu == 0
        return door_open and not ctx.active(leader.event_class)
    return door_open


def _why_not(pc: PerfCpu, door_open: bool) -> str:
    if pc.exclusive:
        return EXCLUSIVE_ON
    return NOT_ALONE if door_open else BEHIND


def ctx_sched_out(kernel: Kernel, pc: PerfCpu, ctx: Context, classes: int) -> None:
    keeps = kernel.rules.idle_context_keeps_rotation and not ctx.pinned_active and not ctx.flexible_active
    for event_class in (PINNED, FLEXIBLE):
        if not classes & event_class & ctx.is_active:
            continue
        ctx.is_active &= ~event_class
        if event_class == FLEXIBLE and not keeps:
            ctx.rotate_necessary = False
        active = ctx.active(event_class)
        for leader in active:
            group_sched_out(kernel, pc, ctx, leader)
        active.clear()


def arm_tick(kernel: Kernel, pc: PerfCpu) -> None:
    """``perf_mux_hrtimer_restart``: at the next point of the timer's grid, if it is not armed already."""
    if pc.tick_at < 0:
        pc.tick_at = next_tick(kernel, pc)


def next_tick(kernel: Kernel, pc: PerfCpu) -> int:
    interval = kernel.mux_interval[pc.index]
    return kernel.now + interval - (kernel.now - kernel.mux_phase[pc.index]) % interval
