from __future__ import annotations

from perfcore_svc.grants.revocations import Revocations
from perfcore_svc.perf import sched, walk
from perfcore_svc.perf.context import PerfCpu
from perfcore_svc.perf.event import FLEXIBLE, PINNED
from perfcore_svc.perf.kernel import Kernel
from tests.client.check.mutations import Mutation, attribute, nothing
from tests.client.check.runs import HOST, USE, ordered
from tests.designs import REVOKE_ACK, REVOKE_GP

TAKES = ordered(USE + HOST)
"""A CPU-pinned host event takes the LBR from a guest."""


def task_first(st: Kernel, pc: PerfCpu) -> None:
    """``perf_event_sched_in`` with the task before the CPU."""
    pc.task_ctx = st.tasks.get(st.machine.cpus[pc.index].task)
    for event_class in (PINNED, FLEXIBLE):
        for ctx in (pc.task_ctx, pc.ctx):
            if ctx is not None and ctx.events and not ctx.is_active & event_class:
                ctx.is_active |= event_class
                walk._walk(st, pc, ctx, event_class)


MUTATIONS = [
    Mutation(
        "task-before-cpu", "perf schedules the task's events before those of the CPU",
        attribute(sched, "sched_in", task_first), TAKES, REVOKE_GP, alone=True,
    ),
    Mutation(
        "nobody-goes-out", "perf takes no event off the CPU for a new one", attribute(sched, "ctx_sched_out", nothing),
        TAKES, REVOKE_GP, alone=True,
    ),
    Mutation(
        "lease-never-ends", "the host waits for an acknowledgement without end",
        attribute(Revocations, "_arm", nothing), TAKES, REVOKE_ACK, faults=("drop:Revoke:1",),
    ),
]  # fmt: skip
