"""Ticks of the multiplex timer that change nothing, carried out at once.

A group that cannot get its resource keeps the timer armed. If a tick leaves everything as the tick before it did, all
further ticks do, until another CPU's tick. They differ in time and in the number of operations only.
"""

from __future__ import annotations

from collections.abc import Hashable

from perfcore_svc.perf.context import PerfCpu
from perfcore_svc.perf.kernel import Kernel


class IdleTicks:
    """The ticks of one advance of time."""

    __slots__ = ("kernel", "left")

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.left: dict[int, Hashable] = {}
        """For each CPU the state that its last tick left."""

    def skip(self, pc: PerfCpu, operations: dict[str, int], until: int, most: int) -> int:
        """A CPU has ticked, and its timer is armed again. Carry out the ticks up to ``until`` nanoseconds that change
        nothing, at ``most`` so many. ``operations``: their numbers before the tick. Gives the number of ticks."""
        kernel = self.kernel
        before, now = self.left.get(pc.index), _standing(kernel, pc)
        self.left[pc.index] = now
        if now is None or now != before:
            return 0
        for other in kernel.cpus:
            if other is not pc and other.tick_at >= 0:
                until = min(until, other.tick_at - 1)
        interval = kernel.mux_interval[pc.index]
        ticks = min((until - pc.tick_at) // interval + 1, most)
        if ticks <= 0:
            return 0
        pc.tick_at += ticks * interval
        kernel.clock.now = pc.tick_at - interval
        for operation, times in kernel.machine.operations.items():
            kernel.machine.count(operation, ticks * (times - operations.get(operation, 0)))
        return ticks


def _standing(kernel: Kernel, pc: PerfCpu) -> Hashable:
    """Everything that a tick reads and can change, if it takes no event off and puts none on; with the number of
    effects and of events that have changed in this step. None while a flexible event is on: a tick takes it off, so
    that its counts change."""
    contexts = []
    for ctx in (pc.ctx, pc.task_ctx):
        if ctx is None:
            continue
        if ctx.flexible_active:
            return None
        stacks = 0 if ctx.lbr is None else ctx.lbr.callstack_users
        waiting = tuple([(leader.id, leader.refused) for leader in ctx.flexible])
        contexts.append((ctx.task, ctx.rotate_necessary, ctx.is_active, stacks, waiting))
    flags = pc.br_sel, pc.save_select, pc.shut_out, pc.callstack_users
    return len(kernel.effects.records), len(kernel.changed), flags, tuple(contexts)
