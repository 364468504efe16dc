"""The counts and lists of the perf core, compared with its events."""

from __future__ import annotations

from contract.reasons import NOT_ALONE
from perfcore_svc.perf.context import Context
from perfcore_svc.perf.event import ALL, FLEXIBLE, PINNED, PerfEvent, State
from perfcore_svc.perf.walk import EXCLUSIVE_ON
from tests.perfcore_svc.hosts import Host


def active_on(host: Host, cpu: int) -> list[PerfEvent]:
    return [e for e in host.perf.events.values() if e.state == State.ACTIVE and e.oncpu == cpu]


def ids(events: list[PerfEvent]) -> list[int]:
    return sorted(e.id for e in events)


def check_counters(host: Host) -> None:
    """No counter is used twice, each within its event's mask; no more events than places."""
    state = host.perf.kernel
    for pc in state.cpus:
        on = active_on(host, pc.index)
        holders = [e for e in on if e.counters]
        used = [e.counter for e in holders]
        assert len(set(used)) == len(used) <= state.pmu.places
        assert all(e.counters >> e.counter & 1 for e in holders)
        assert sum(e.listed for e in on) <= state.pmu.places
    assert all(e.counter == -1 for e in host.perf.events.values() if e.state != State.ACTIVE or not e.counters)


def check_slot(host: Host) -> None:
    """One filter value among the users of the LBR slot, and it is the slot's."""
    for pc in host.perf.kernel.cpus:
        values = {e.slot for e in active_on(host, pc.index) if e.slot is not None}
        assert values <= {pc.slot}


def check_cpus(host: Host) -> None:
    for pc in host.perf.kernel.cpus:
        on = active_on(host, pc.index)
        assert pc.active_oncpu == len(on)
        assert pc.exclusive == any(e.exclusive for e in on)
        assert ids(pc.active) == ids(on)
        assert pc.slot_users == sum(e.slot is not None for e in on)
        assert pc.lbr_users == sum(e.filter is not None for e in on)
        assert pc.host_users == sum(e.filter is not None and not e.guest for e in on)
        assert pc.pseudo_used == sum(e.pseudo for e in on)
        assert pc.shut_out == any(e.guest for e in on)
        may = pc.host_users > 0 and not pc.shut_out
        assert bool(host.machine.cpus[pc.index].debugctl & 1) == may


def check_groups(host: Host) -> None:
    """Members are on only with their leader, and then all that are not off; only pinned leaders are ever in ERROR, and
    no pinned leader waits where it could be tried."""
    for event in host.perf.events.values():
        assert (event.oncpu >= 0) == (event.state == State.ACTIVE)
        if event.leader is not event:
            assert event in event.leader.siblings
            assert not event.pinned
            assert not event.exclusive
            assert not event.siblings
            if event.state == State.ACTIVE:
                assert event.leader.state == State.ACTIVE
                assert event.leader.oncpu == event.oncpu
            elif event.leader.state == State.ACTIVE:
                assert event.state == State.OFF
        if event.state == State.ERROR:
            assert event.pinned
        if event.state == State.ACTIVE:
            assert eligible(host, event)
        elif event.state == State.INACTIVE and event.pinned:
            assert not eligible(host, event)


def eligible(host: Host, event: PerfEvent) -> bool:
    cpu = host.perf.kernel.cpu_running(event.task) if event.task else event.cpu
    return cpu >= 0 and event.cpu in (-1, cpu)


def left_over(host: Host) -> bool:
    """Whether a context may be marked for rotation though nobody in it waits: in this kernel the mark outlives a switch
    or the last event. A group that fails arms the timer, not a marked context that comes in."""
    rules = host.perf.kernel.rules
    return rules.idle_context_keeps_rotation or not rules.removal_ends_rotation


def waits(host: Host, ctx: Context) -> bool:
    """Whether a flexible group of this context was tried where it could run, and failed; or stands behind one that
    was."""
    return any(
        leader.state == State.INACTIVE
        and eligible(host, leader)
        and leader.refused not in ("", NOT_ALONE, EXCLUSIVE_ON)
        for leader in ctx.flexible
    )


def check_contexts(host: Host) -> None:
    state = host.perf.kernel
    contexts: list[tuple[Context, int]] = [(pc.ctx, pc.index) for pc in state.cpus]
    contexts += [(ctx, state.cpu_running(task)) for task, ctx in state.tasks.items()]
    for ctx, cpu in contexts:
        mine = [e for e in host.perf.events.values() if state.context_of(e) is ctx]
        assert ctx.events == len(mine)
        for event_class in (PINNED, FLEXIBLE):
            leaders = [e for e in mine if e.leader is e and e.event_class == event_class]
            assert ids(ctx.groups(event_class)) == ids(leaders)
            assert ids(ctx.active(event_class)) == ids([e for e in leaders if e.state == State.ACTIVE])
        live = cpu >= 0 and ctx.events > 0
        assert ctx.is_active == (ALL if live else 0)
        assert ctx.ticking == live
        if live and ctx.rotate_necessary and (not left_over(host) or waits(host, ctx)):
            assert state.cpus[cpu].tick_at > state.now
    for pc in state.cpus:
        assert pc.tick_at == -1 or state.now < pc.tick_at <= state.now + state.mux_interval[pc.index]


def check_times(host: Host, gone: int) -> None:
    """``gone``: nanoseconds that closed events ran on a counter."""
    state = host.perf.kernel
    total = gone
    for event in host.perf.events.values():
        state.update_times(state.context_of(event), event)
        assert 0 <= event.running <= event.enabled <= state.now
        total += event.running if event.counters else 0
    assert total <= state.pmu.places * len(state.cpus) * state.now


CHECKS = (check_counters, check_slot, check_cpus, check_groups, check_contexts)
