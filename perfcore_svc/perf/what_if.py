"""What would come of a change, found out on a copy of everything that the perf core remembers.

Who loses the LBR is the outcome of a whole walk: classes, places in the lists, counters, exclusive events. To say it
beforehand by a rule would be to write the scheduler a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from contract.trace import TraceLog
from perfcore_svc.perf import sched
from perfcore_svc.perf.event import PerfEvent, State
from perfcore_svc.perf.state import PerfState


def put_off(
    st: PerfState,
    watched: list[PerfEvent],
    newcomers: list[PerfEvent],
    put_on: Callable[[PerfState, PerfEvent], None],
) -> list[PerfEvent]:
    """Those of ``watched`` that are ACTIVE and would not be after ``put_on`` of each newcomer."""
    on = [event for event in watched if event.state == State.ACTIVE]
    if not on:
        return []
    copy, watched_there, newcomers_there = _copy(st, on, newcomers)
    for event in newcomers_there:
        put_on(copy, event)
    return [here for here, there in zip(on, watched_there, strict=True) if there.state != State.ACTIVE]


def would_go_on(st: PerfState, event: PerfEvent, cpu: int) -> bool:
    """Whether an event of a task would be ACTIVE if it were enabled now and its task ran on ``cpu``."""
    if any(_stays_before(other, event) for other in st.cpus[cpu].on):
        return False
    copy, (there,), _ = _copy(st, [event], [])
    silicon = copy.machine.cpus[cpu]
    if silicon.task != event.task:
        copy.machine.interrupt(silicon)
        sched.task_out(copy, cpu, silicon.task)
        silicon.task = event.task
        sched.task_in(copy, cpu, event.task)
    sched.enable(copy, there)
    return there.state == State.ACTIVE


def _stays_before(other: PerfEvent, event: PerfEvent) -> bool:
    """A pinned event of the CPU that holds the LBR: no task's event moves it. The commonest answer, without a copy."""
    if other.task or not other.leader.pinned:
        return False
    return other.slot is not None and event.slot is not None and other.slot != event.slot


def install(st: PerfState, event: PerfEvent) -> None:
    """``sched.install`` of an event that its leader has not got yet."""
    if event.leader is not event:
        event.leader.siblings.append(event)
    sched.install(st, event)


def _copy(
    st: PerfState, watched: list[PerfEvent], newcomers: list[PerfEvent]
) -> tuple[PerfState, list[PerfEvent], list[PerfEvent]]:
    """With a log of its own: what happens there is not on record. What never changes is not copied."""
    machine = st.machine
    log = TraceLog()
    log.now = st.now
    known: dict[int, object] = {id(machine.log): log}
    for fixed in (machine.model, machine.passed, machine.actors, st.pmu, st.rules, st.design):
        known[id(fixed)] = fixed
    return deepcopy((st, watched, newcomers), known)
