"""Putting a group on a CPU and taking it off: all or nothing (facts/perf 1.8, 2.2).

A transaction only collects; the test for resources comes at its end. But the LBR hook runs for each event as it is
collected, so a group that does not fit leaves the hook's traces behind (facts/perf 2.7).
"""

from __future__ import annotations

from contract.design import LosingAdd
from contract.reasons import NO_COUNTER, NO_LBR, NO_PLACE
from perfcore_svc.perf import lbr
from perfcore_svc.perf.context import Context, PerfCpu
from perfcore_svc.perf.counting import counted
from perfcore_svc.perf.event import PerfEvent, State
from perfcore_svc.perf.kernel import Kernel


def group_sched_in(kernel: Kernel, pc: PerfCpu, ctx: Context, leader: PerfEvent) -> bool:
    """Put a group on. True if it is on; otherwise its leader holds the reason."""
    members = [event for event in leader.group if event.state == State.INACTIVE]
    filter_before = pc.br_sel
    for event in members:
        if event.filter is not None:
            lbr.lbr_add(kernel.machine, pc, ctx, event, shut_out=kernel.design.shut_out, select=kernel.saves_select)
    kernel.refuse(leader, _commit(kernel, pc, members))
    if leader.refused:
        for event in members:
            if event.filter is not None:
                lbr.lbr_del(pc, ctx, event)
                if kernel.design.losing_add is LosingAdd.UNDONE:
                    pc.br_sel = filter_before
        return False
    for event in members:
        kernel.set_state(ctx, event, State.ACTIVE)
        event.oncpu = pc.index
        event.counted_from = counted(kernel.machine.cpus[pc.index], event)
        event.overflow_at += event.counted_from
        pc.active_oncpu += 1
        pc.exclusive = pc.exclusive or event.exclusive
        if event.guest:
            lbr.guest_on(kernel.machine, pc, event)
    return True


def _commit(kernel: Kernel, pc: PerfCpu, members: list[PerfEvent]) -> str:
    """``x86_schedule_events`` for the events that are on and the new ones: the shared LBR register, then counters.
    Gives the resource that is missing, "" if all fit."""
    if sum(e.listed for e in pc.active) + sum(e.listed for e in members) > kernel.pmu.places:
        return NO_PLACE
    slot, users = pc.slot, pc.slot_users
    for event in members:
        if event.slot is None:
            continue
        if users and slot != event.slot:
            return NO_LBR
        slot, users = event.slot, users + 1
    pseudo = sum(e.pseudo for e in members)
    if pseudo + pc.pseudo_used > 1 or not kernel.pmu.assign(pc, members):
        return NO_COUNTER
    pc.slot, pc.slot_users = slot, users
    pc.pseudo_used = pc.pseudo_used or pseudo > 0
    pc.active += members
    return ""


def group_sched_out(kernel: Kernel, pc: PerfCpu, ctx: Context, leader: PerfEvent) -> None:
    for event in leader.group:
        event_sched_out(kernel, pc, ctx, event)


def event_sched_out(kernel: Kernel, pc: PerfCpu, ctx: Context, event: PerfEvent) -> None:
    if event.state != State.ACTIVE:
        return
    if event.guest:
        lbr.guest_off(kernel.machine, pc, event)
    if event.filter is not None:
        lbr.lbr_del(pc, ctx, event)
    if event.slot is not None:
        pc.slot_users -= 1
    if event.pseudo:
        pc.pseudo_used = False
    pc.active.remove(event)
    event.counter = -1
    now = counted(kernel.machine.cpus[pc.index], event)
    event.count += now - event.counted_from
    # A throttled event has counted past its overflow: it starts a new period.
    event.overflow_at = event.overflow_at - now if event.overflow_at > now else event.period
    event.interrupts = 0
    kernel.set_state(ctx, event, State.INACTIVE)
    event.oncpu, event.ran = -1, True
    pc.active_oncpu -= 1
    if event.exclusive or not pc.active_oncpu:
        pc.exclusive = False
