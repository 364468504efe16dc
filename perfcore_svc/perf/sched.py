"""Operations on events and tasks, and the reschedules that they cause (facts/perf 1.9, 1.10, 1.11).

Kernel names: ``perf_install_in_context``, ``perf_event_enable``, ``perf_event_disable``, ``perf_remove_from_context``,
``ctx_resched``, ``__perf_event_task_sched_out``, ``perf_event_context_sched_in``. Disabling or removing an event causes
no reschedule. A pinned group that a walk cannot put on goes to ERROR, and only an enable ends that.

Out of scope: the context exchange of a task switch between clones, which needs inherited events; those are not
modelled.
"""

from __future__ import annotations

from contract.design import Save
from perfcore_svc.perf import lbr
from perfcore_svc.perf.context import Context
from perfcore_svc.perf.event import ALL, FLEXIBLE, PINNED, PerfEvent, State, check_transition
from perfcore_svc.perf.group import event_sched_out, group_sched_out
from perfcore_svc.perf.kernel import Kernel
from perfcore_svc.perf.saved_lbr import SavedLbr
from perfcore_svc.perf.walk import ctx_sched_out, sched_in


def install(kernel: Kernel, event: PerfEvent) -> None:
    """``perf_install_in_context``. Success says nothing about being scheduled. A sibling's leader has it already."""
    ctx = kernel.context_of(event)
    quiet = kernel.rules.quiet_install and event.effective_state == State.OFF and ctx.events > 0
    _add_event(kernel, ctx, event)
    cpu = live_on(kernel, event)
    if cpu >= 0 and not quiet:
        _resched(kernel, cpu, event)


def _add_event(kernel: Kernel, ctx: Context, event: PerfEvent) -> None:
    ctx.events += 1
    if ctx.events == 1 and (not event.task or kernel.cpu_running(event.task) >= 0):
        kernel.start_clock(ctx)
    event.stamp = kernel.context_time(ctx)
    if event.leader is event:
        ctx.add_leader(event)
    lbr.attach(ctx, event, with_event=kernel.design.save is Save.PERF_EVENT)


def enable(kernel: Kernel, event: PerfEvent) -> None:
    """``perf_event_enable``: from OFF or ERROR, in its old place in the order."""
    if event.state >= State.INACTIVE:
        return
    ctx = kernel.context_of(event)
    kernel.set_state(ctx, event, State.INACTIVE)
    event.refused = ""
    cpu = live_on(kernel, event)
    if cpu < 0 or event.cpu not in (-1, cpu):
        return
    if event.leader is event or event.leader.state == State.ACTIVE:
        _resched(kernel, cpu, event)


def disable(kernel: Kernel, event: PerfEvent) -> None:
    """``perf_event_disable``: a leader takes its group off. No event takes the freed place now. ERROR stays ERROR."""
    if event.state < State.INACTIVE:
        return
    _interrupt(kernel, event)
    _take_off(kernel, event, with_group=True)
    kernel.set_state(kernel.context_of(event), event, State.OFF)


def remove(kernel: Kernel, event: PerfEvent) -> None:
    """``perf_remove_from_context`` with DETACH_GROUP: the siblings become leaders of their own, flexible ones, and
    those that are on stay on."""
    ctx = kernel.context_of(event)
    _interrupt(kernel, event)
    _take_off(kernel, event, with_group=False)
    kernel.update_times(ctx, event)
    if event.leader is event:
        ctx.groups(event.event_class).remove(event)
        for sibling in event.siblings:
            kernel.update_times(ctx, sibling)
        siblings, event.siblings = event.siblings, []
        for sibling in siblings:
            sibling.leader = sibling
            ctx.add_leader(sibling)
            if sibling.state == State.ACTIVE:
                ctx.active(sibling.event_class).append(sibling)
    else:
        event.leader.siblings.remove(event)
    ctx.events -= 1
    lbr.detach(ctx, event, for_all=_space_for_all(kernel))
    if not event.task and not _space_for_all(kernel):
        for other in kernel.tasks.values():
            other.lbr = other.lbr if other.lbr_events else None
    if not ctx.events:
        ctx.is_active = 0
        if kernel.rules.removal_ends_rotation:
            ctx.rotate_necessary = False
        kernel.stop_clock(ctx)
    check_transition(event.name, event.state, State.EXIT)
    event.state = State.EXIT


def _interrupt(kernel: Kernel, event: PerfEvent) -> None:
    """``event_function_call``: the CPU on which the event's context is scheduled in carries out the change."""
    cpu = live_on(kernel, event)
    if cpu >= 0 and kernel.context_of(event).is_active:
        kernel.machine.interrupt(kernel.machine.cpus[cpu])


def _take_off(kernel: Kernel, event: PerfEvent, *, with_group: bool) -> None:
    if event.state != State.ACTIVE:
        return
    pc = kernel.cpus[event.oncpu]
    ctx = kernel.context_of(event)
    before = lbr.disable_all(kernel.machine, pc)
    if event.leader is event:
        ctx.active(event.event_class).remove(event)
    if event.leader is event and with_group:
        group_sched_out(kernel, pc, ctx, event)
    else:
        event_sched_out(kernel, pc, ctx, event)
    lbr.enable_all(kernel.machine, pc, before)


def live_on(kernel: Kernel, event: PerfEvent) -> int:
    """The CPU whose scheduling includes this event now, or -1."""
    return kernel.cpu_running(event.task) if event.task else event.cpu


def _resched(kernel: Kernel, cpu: int, event: PerfEvent) -> None:
    """``ctx_resched`` after ``event`` was installed or enabled (facts/perf 1.9)."""
    pc = kernel.cpus[cpu]
    pinned = event.event_class == PINNED
    classes = ALL if pinned else FLEXIBLE
    kernel.machine.interrupt(kernel.machine.cpus[cpu])
    before = lbr.disable_all(kernel.machine, pc)
    if pc.task_ctx is not None:
        ctx_sched_out(kernel, pc, pc.task_ctx, classes)
    if not event.task:
        ctx_sched_out(kernel, pc, pc.ctx, classes)
    elif pinned:
        ctx_sched_out(kernel, pc, pc.ctx, FLEXIBLE)
    sched_in(kernel, pc)
    lbr.enable_all(kernel.machine, pc, before)


# Task switch -----------------------------------------------------------------------------------------------


def _space_for_all(kernel: Kernel) -> bool:
    """``attach_global_ctx_data``: since v6.15 a CPU-wide call-stack event gives every task space."""
    return kernel.rules.lbr_data_on_task and any(pc.ctx.lbr_events for pc in kernel.cpus)


def _switching(kernel: Kernel, task: str) -> Context | None:
    """The context of a task on the way out or in."""
    if task and _space_for_all(kernel):
        ctx = kernel.tasks.setdefault(task, Context(task))
        ctx.lbr = ctx.lbr or SavedLbr()
    return kernel.tasks.get(task)


def _wide_users(kernel: Kernel) -> int:
    return sum(pc.callstack_users for pc in kernel.cpus)


def task_out(kernel: Kernel, cpu: int, task: str) -> None:
    """``__perf_event_task_sched_out``: save first, while the task's events are still on."""
    pc = kernel.cpus[cpu]
    ctx = _switching(kernel, task)
    before = lbr.disable_all(kernel.machine, pc)
    lbr.sched_task(kernel.machine, pc, ctx, _wide_users(kernel), switch_in=False)
    if ctx is not None:
        ctx_sched_out(kernel, pc, ctx, ALL)
        kernel.stop_clock(ctx)
    pc.task_ctx = None
    lbr.enable_all(kernel.machine, pc, before)


def task_in(kernel: Kernel, cpu: int, task: str) -> None:
    """``__perf_event_task_sched_in``: pinned events of the task, also in ERROR and OFF, take precedence over the CPU's
    flexible ones."""
    pc = kernel.cpus[cpu]
    ctx = _switching(kernel, task)
    before = lbr.disable_all(kernel.machine, pc)
    if ctx is not None and ctx.events:
        kernel.start_clock(ctx)
        if ctx.pinned:
            ctx_sched_out(kernel, pc, pc.ctx, FLEXIBLE)
        sched_in(kernel, pc)
    lbr.sched_task(kernel.machine, pc, ctx, _wide_users(kernel), switch_in=True)
    lbr.enable_all(kernel.machine, pc, before)
