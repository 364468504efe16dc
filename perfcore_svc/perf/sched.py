"""Operations on events and tasks, and what they reschedule (facts/perf 1.9, 1.10, 1.11).

Kernel names: ``perf_install_in_context``, ``perf_event_enable``, ``perf_event_disable``, ``perf_remove_from_context``,
``ctx_resched``, ``__perf_event_task_sched_out``, ``perf_event_context_sched_in``. Disabling or removing an event
reschedules nobody. A pinned group that a walk cannot put on goes to ERROR, and only an enable takes it out of there.

Out of scope: the clone-swap short cut of a task switch, which needs inherited events; those are not modelled.
"""

from __future__ import annotations

from contract.design import Save
from perfcore_svc.perf import lbr
from perfcore_svc.perf.context import Context
from perfcore_svc.perf.event import ALL, FLEXIBLE, PINNED, PerfEvent, State, check_transition
from perfcore_svc.perf.group import event_sched_out, group_sched_out
from perfcore_svc.perf.saved_lbr import SavedLbr
from perfcore_svc.perf.state import PerfState
from perfcore_svc.perf.walk import ctx_sched_out, sched_in


def install(st: PerfState, event: PerfEvent) -> None:
    """``perf_install_in_context``. Success says nothing about being scheduled. A sibling's leader has it already."""
    ctx = st.context_of(event)
    quiet = st.rules.quiet_install and event.effective_state == State.OFF and ctx.events > 0
    _add_event(st, ctx, event)
    cpu = live_on(st, event)
    if cpu >= 0 and not quiet:
        _resched(st, cpu, event)


def _add_event(st: PerfState, ctx: Context, event: PerfEvent) -> None:
    ctx.events += 1
    if ctx.events == 1 and (not event.task or st.cpu_running(event.task) >= 0):
        st.start_clock(ctx)
    event.stamp = st.context_time(ctx)
    if event.leader is event:
        ctx.add_leader(event)
    lbr.attach(ctx, event, with_event=st.design.save is Save.PERF_EVENT)


def enable(st: PerfState, event: PerfEvent) -> None:
    """``perf_event_enable``: from OFF or ERROR, in its old place in the order."""
    if event.state >= State.INACTIVE:
        return
    ctx = st.context_of(event)
    st.set_state(ctx, event, State.INACTIVE)
    event.refused = ""
    cpu = live_on(st, event)
    if cpu < 0 or event.cpu not in (-1, cpu):
        return
    if event.leader is event or event.leader.state == State.ACTIVE:
        _resched(st, cpu, event)


def disable(st: PerfState, event: PerfEvent) -> None:
    """``perf_event_disable``: a leader takes its group off; nobody takes the freed place now. ERROR stays ERROR."""
    if event.state < State.INACTIVE:
        return
    _interrupt(st, event)
    _take_off(st, event, with_group=True)
    st.set_state(st.context_of(event), event, State.OFF)


def remove(st: PerfState, event: PerfEvent) -> None:
    """``perf_remove_from_context`` with DETACH_GROUP: the siblings become leaders of their own, flexible ones, and
    those that are on stay on."""
    ctx = st.context_of(event)
    _interrupt(st, event)
    _take_off(st, event, with_group=False)
    st.update_times(ctx, event)
    if event.leader is event:
        ctx.groups(event.event_class).remove(event)
        for sibling in event.siblings:
            st.update_times(ctx, sibling)
        siblings, event.siblings = event.siblings, []
        for sibling in siblings:
            sibling.leader = sibling
            ctx.add_leader(sibling)
            if sibling.state == State.ACTIVE:
                ctx.active(sibling.event_class).append(sibling)
    else:
        event.leader.siblings.remove(event)
    ctx.events -= 1
    lbr.detach(ctx, event, for_all=_space_for_all(st))
    if not event.task and not _space_for_all(st):
        for other in st.tasks.values():
            other.lbr = other.lbr if other.lbr_events else None
    if not ctx.events:
        ctx.is_active = 0
        st.stop_clock(ctx)
    check_transition(event.name, event.state, State.EXIT)
    event.state = State.EXIT


def _interrupt(st: PerfState, event: PerfEvent) -> None:
    """``event_function_call``: where the event's context is in, that CPU does it itself."""
    cpu = live_on(st, event)
    if cpu >= 0 and st.context_of(event).is_active:
        st.machine.interrupt(st.machine.cpus[cpu])


def _take_off(st: PerfState, event: PerfEvent, *, with_group: bool) -> None:
    if event.state != State.ACTIVE:
        return
    pc = st.cpus[event.oncpu]
    ctx = st.context_of(event)
    lbr.disable_all(st.machine, pc)
    if event.leader is event:
        ctx.active(event.event_class).remove(event)
    if event.leader is event and with_group:
        group_sched_out(st, pc, ctx, event)
    else:
        event_sched_out(st, pc, ctx, event)
    lbr.enable_all(st.machine, pc)


def live_on(st: PerfState, event: PerfEvent) -> int:
    """The CPU whose scheduling this event is part of now, or -1."""
    return st.cpu_running(event.task) if event.task else event.cpu


def _resched(st: PerfState, cpu: int, event: PerfEvent) -> None:
    """``ctx_resched`` after ``event`` was installed or enabled (facts/perf 1.9)."""
    pc = st.cpus[cpu]
    pinned = event.event_class == PINNED
    classes = ALL if pinned else FLEXIBLE
    st.machine.interrupt(st.machine.cpus[cpu])
    lbr.disable_all(st.machine, pc)
    if pc.task_ctx is not None:
        ctx_sched_out(st, pc, pc.task_ctx, classes)
    if not event.task:
        ctx_sched_out(st, pc, pc.ctx, classes)
    elif pinned:
        ctx_sched_out(st, pc, pc.ctx, FLEXIBLE)
    sched_in(st, pc)
    lbr.enable_all(st.machine, pc)


# Task switch -----------------------------------------------------------------------------------------------


def _space_for_all(st: PerfState) -> bool:
    """``attach_global_ctx_data``: since v6.15 a CPU-wide call-stack event gives every task space."""
    return st.rules.lbr_data_on_task and any(pc.ctx.lbr_events for pc in st.cpus)


def _switching(st: PerfState, task: str) -> Context | None:
    """The context of a task on the way out or in."""
    if task and _space_for_all(st):
        ctx = st.tasks.setdefault(task, Context(task))
        ctx.lbr = ctx.lbr or SavedLbr()
    return st.tasks.get(task)


def _wide_users(st: PerfState) -> int:
    return sum(pc.callstack_users for pc in st.cpus)


def task_out(st: PerfState, cpu: int, task: str) -> None:
    """``__perf_event_task_sched_out``: save first, while the task's events are still on."""
    pc = st.cpus[cpu]
    ctx = _switching(st, task)
    lbr.disable_all(st.machine, pc)
    lbr.sched_task(st.machine, pc, ctx, _wide_users(st), switch_in=False)
    if ctx is not None:
        ctx_sched_out(st, pc, ctx, ALL)
        st.stop_clock(ctx)
    pc.task_ctx = None
    lbr.enable_all(st.machine, pc)


def task_in(st: PerfState, cpu: int, task: str) -> None:
    """``__perf_event_task_sched_in``: pinned events of the task, ERROR and OFF ones too, go before the CPU's
    flexible."""
    pc = st.cpus[cpu]
    ctx = _switching(st, task)
    lbr.disable_all(st.machine, pc)
    if ctx is not None and ctx.events:
        st.start_clock(ctx)
        if ctx.pinned:
            ctx_sched_out(st, pc, pc.ctx, FLEXIBLE)
        sched_in(st, pc)
    lbr.sched_task(st.machine, pc, ctx, _wide_users(st), switch_in=True)
    lbr.enable_all(st.machine, pc)
