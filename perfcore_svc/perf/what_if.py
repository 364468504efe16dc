"""The result of a change, found on a copy of the whole state of the perf core.

Which event loses the LBR is the outcome of a whole walk: classes, places in the lists, counters, exclusive events. A
rule that predicts it would be a second copy of the scheduler.
"""

from __future__ import annotations

from collections.abc import Callable

from contract.effects import Clock, Unseen
from perfcore_svc.machine.machine import Machine
from perfcore_svc.perf import sched
from perfcore_svc.perf.event import PerfEvent, State
from perfcore_svc.perf.kernel import Kernel
from perfcore_svc.perf.pmi import PmiLine


def put_off(
    kernel: Kernel,
    watched: list[PerfEvent],
    newcomers: list[PerfEvent],
    put_on: Callable[[Kernel, PerfEvent], None],
) -> list[PerfEvent]:
    """The events of ``watched`` that are ACTIVE and would no longer be after ``put_on`` of each new event."""
    on = [event for event in watched if event.state == State.ACTIVE]
    if not on:
        return []
    copy, watched_there, newcomers_there = _copy(kernel, on, newcomers)
    for event in newcomers_there:
        put_on(copy, event)
    return [here for here, there in zip(on, watched_there, strict=True) if there.state != State.ACTIVE]


def would_go_on(kernel: Kernel, event: PerfEvent, cpu: int) -> bool:
    """Whether an event of a task would be ACTIVE if it were enabled now and its task ran on ``cpu``."""
    if any(_stays_before(other, event) for other in kernel.cpus[cpu].active):
        return False
    copy, (there,), _ = _copy(kernel, [event], [])
    silicon = copy.machine.cpus[cpu]
    if silicon.task != event.task:
        copy.machine.interrupt(silicon)
        sched.task_out(copy, cpu, silicon.task)
        silicon.task = event.task
        sched.task_in(copy, cpu, event.task)
    sched.enable(copy, there)
    return there.state == State.ACTIVE


def _stays_before(other: PerfEvent, event: PerfEvent) -> bool:
    """A pinned event of the CPU that holds the LBR: no task's event moves it. This is the most frequent answer, and
    needs no copy."""
    if other.task or not other.leader.pinned:
        return False
    return other.slot is not None and event.slot is not None and other.slot != event.slot


def install(kernel: Kernel, event: PerfEvent) -> None:
    """``sched.install`` of an event that its leader has not got yet."""
    if event.leader is not event:
        event.leader.siblings.append(event)
    sched.install(kernel, event)


def _copy(
    kernel: Kernel, watched: list[PerfEvent], newcomers: list[PerfEvent]
) -> tuple[Kernel, list[PerfEvent], list[PerfEvent]]:
    """A copy whose effects nobody sees. Constant parts are shared."""
    state, twins = kernel.state.copied(newcomers)
    silicon = kernel.machine.state.clone()
    machine = Machine(kernel.machine.board, silicon, Unseen(Clock(kernel.now)))
    copy = Kernel(state, machine, kernel.pmu, kernel.rules, kernel.design)
    machine.pmi = PmiLine(copy)
    return copy, [twins[event.id] for event in watched], [twins[event.id] for event in newcomers]
