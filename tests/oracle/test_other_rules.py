"""The comparison can fail: with one rule changed, cases that tell the difference disagree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from client.oracle.compare import examine
from perfcore_svc.perf import kernel_rules, rotation, sched, walk
from perfcore_svc.perf.context import Context, PerfCpu
from perfcore_svc.perf.event import ALL, FLEXIBLE, PINNED, TRANSITIONS, PerfEvent, State
from perfcore_svc.perf.group import group_sched_in
from perfcore_svc.perf.kernel import Kernel
from tests.cases import cases
from tests.oracle.recorded import recorded_cases

Patch = pytest.MonkeyPatch
CHANGES: dict[str, tuple[Callable[[Patch], None], tuple[str, ...]]] = {}


def change(*ids: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """One rule changed, and cases each of which notices."""

    def note(make: Callable[[Patch], None]) -> Callable[[Patch], None]:
        CHANGES[make.__name__] = make, ids
        return make

    return note


def flag(patch: Patch, **flags: Any) -> None:
    patch.setitem(kernel_rules.KERNEL_RULES, "v6.16", replace(kernel_rules.KERNEL_RULES["v6.16"], **flags))


@change("b-tp7")
def pinned_wait_instead_of_failing(patch: Patch) -> None:
    real = Kernel.set_state

    def set_state(st: Kernel, ctx: Context, event: PerfEvent, state: State) -> None:
        if state != State.ERROR:
            real(st, ctx, event, state)

    patch.setattr(Kernel, "set_state", set_state)


@change("c-tf-4.3.2", "c-cp3-cf4")
def a_pass_goes_on_after_a_failure(patch: Patch) -> None:
    real = walk._can_go_on
    patch.setattr(walk, "_can_go_on", lambda st, pc, ctx, leader, _: real(st, pc, ctx, leader, True))


@change("c-pass-cp-g4-s-s", "c-pass-cp-s-g4-s")
def a_pinned_failure_does_not_end_the_pass(patch: Patch) -> None:
    flag(patch, pinned_failure_shuts_door=False)


@change("c-excl-cf-x1-o1-xf", "c-excl-cf-x1-o1-xl")
def exclusive_is_ignored(patch: Patch) -> None:
    patch.setattr(walk, "_can_go_on", lambda st, pc, ctx, leader, door_open: door_open)


@change("c-exclmix-cp-tpX")
def exclusive_needs_an_empty_cpu(patch: Patch) -> None:
    flag(patch, exclusive=kernel_rules.ExclusiveRule.ANY_EVENT_ON)


@change("a-mix-c01-t06-tc", "a-mix-c01-t08-tc")
def task_flexible_before_cpu_flexible(patch: Patch) -> None:
    def sched_in(st: Kernel, pc: PerfCpu) -> None:
        pc.task_ctx = st.tasks.get(st.machine.cpus[pc.index].task)
        both = (pc.ctx, pc.task_ctx)
        if pc.task_ctx is not None and pc.task_ctx.events:
            walk.ctx_sched_out(st, pc, pc.ctx, FLEXIBLE)
        for ctx, event_class in [(c, PINNED) for c in both] + [(c, FLEXIBLE) for c in reversed(both)]:
            if ctx is not None and ctx.events and not ctx.is_active & event_class:
                ctx.is_active |= event_class
                walk._walk(st, pc, ctx, event_class)

    patch.setattr(sched, "sched_in", sched_in)
    patch.setattr(rotation, "sched_in", sched_in)


@change("e-noop-ops")
def rotation_moves_the_head_running_or_not(patch: Patch) -> None:
    def head(st: Kernel, pc: PerfCpu, ctx: Context) -> PerfEvent | None:
        ctx.rotate_necessary = False
        return ctx.flexible[0] if ctx.flexible else None

    patch.setattr(rotation, "_to_rotate", head)


@change("b-late-tp6-over-cf6", "b-close-cp-frees-cf")
def rotation_moves_nobody_while_nobody_is_on(patch: Patch) -> None:
    flag(patch, rotation=kernel_rules.RotationRule.FIRST_ACTIVE)


@change("c-tf-4.3.2")
def all_that_are_on_go_to_the_tail(patch: Patch) -> None:
    real = rotation._to_rotate

    def last(st: Kernel, pc: PerfCpu, ctx: Context) -> PerfEvent | None:
        first = real(st, pc, ctx)
        for leader in ctx.flexible_active[:-1]:
            ctx.to_tail(leader)
        return ctx.flexible_active[-1] if ctx.flexible_active else first

    patch.setattr(rotation, "_to_rotate", last)


@change("c-mix-cf6-cf1-tf5-tf6", "c-mix-cf6-cf1-tf5-tf6-rev", "f-leave-cf8-tf3")
def the_contexts_rotate_on_alternate_ticks(patch: Patch) -> None:
    real = rotation.rotate_context

    def rotate_context(st: Kernel, pc: PerfCpu) -> bool:
        task_ctx = pc.task_ctx
        both = pc.ctx.rotate_necessary and task_ctx is not None and task_ctx.rotate_necessary
        if both and task_ctx is not None:
            waits = task_ctx if st.now // st.mux_interval[pc.index] % 2 else pc.ctx
            waits.rotate_necessary = False
            real(st, pc)
            waits.rotate_necessary = True
            return True
        return real(st, pc)

    patch.setattr(rotation, "rotate_context", rotate_context)


@change("b-reenable2-tp-after-cp")
def error_ends_by_itself_when_there_is_room(patch: Patch) -> None:
    real = walk._walk

    def retry(st: Kernel, pc: PerfCpu, ctx: Context, event_class: int) -> None:
        for leader in ctx.groups(event_class):
            if leader.state == State.ERROR:
                st.set_state(ctx, leader, State.INACTIVE)
        real(st, pc, ctx, event_class)

    patch.setattr(walk, "_walk", retry)


@change("b-reenable-steals-cp-after-cp", "b-reenable-steals-tp-after-tp", "f-enable-reverse-cp")
def an_enabled_event_goes_to_the_tail(patch: Patch) -> None:
    real = sched.enable

    def enable(st: Kernel, event: PerfEvent) -> None:
        if event.state < State.INACTIVE and event.leader is event:
            tree = st.context_of(event).groups(event.event_class)
            tree.remove(event)
            tree.append(event)
        real(st, event)

    patch.setattr(sched, "enable", enable)


@change("b-disable-enable-tp-after-cp-n8", "b-disable-enable-cp-after-cp-n8")
def disable_clears_error(patch: Patch) -> None:
    real = sched.disable

    def disable(st: Kernel, event: PerfEvent) -> None:
        real(st, event)
        st.set_state(st.context_of(event), event, State.OFF)

    patch.setitem(TRANSITIONS, (State.ERROR, State.OFF), "disabled")
    patch.setattr(sched, "disable", disable)


@change("e-error-close-leader-pass-cp")
def freed_counters_are_used_at_once(patch: Patch) -> None:
    for name in ("disable", "remove"):
        real = getattr(sched, name)

        def then_retry(st: Kernel, event: PerfEvent, real: Callable[..., None] = real) -> None:
            real(st, event)
            for pc in st.cpus:
                for ctx in (pc.task_ctx, pc.ctx):
                    if ctx is not None:
                        walk.ctx_sched_out(st, pc, ctx, ALL)
                walk.sched_in(st, pc)

        patch.setattr(sched, name, then_retry)


@change("e-member-toggle-cf", "e-member-toggle-tf", "e-error-group-cp")
def a_disabled_member_still_takes_a_place(patch: Patch) -> None:
    def full(st: Kernel, pc: PerfCpu, ctx: Context, leader: PerfEvent) -> bool:
        off = sum(event.state <= State.OFF for event in leader.group)
        taken = off + sum(event.state == State.INACTIVE for event in leader.group) + len(pc.active)
        return taken <= st.pmu.general and group_sched_in(st, pc, ctx, leader)

    patch.setattr(walk, "group_sched_in", full)


@change("e-error-close-leader-pass-cp")
def members_of_a_closed_pinned_leader_stay_pinned(patch: Patch) -> None:
    real = sched.remove

    def remove(st: Kernel, event: PerfEvent) -> None:
        for sibling in event.siblings:
            sibling.pinned = event.pinned
        real(st, event)

    patch.setattr(sched, "remove", remove)


@change("b-late-cp1-over-tp6")
def a_late_cpu_pinned_event_takes_the_place_of_the_first(patch: Patch) -> None:
    real = Context.add_leader

    def add_leader(ctx: Context, leader: PerfEvent) -> None:
        if ctx.task and leader.pinned:
            ctx.pinned.insert(0, leader)
        else:
            real(ctx, leader)

    patch.setattr(Context, "add_leader", add_leader)


@cases("name", CHANGES)
def test_a_changed_rule_is_noticed(name: str, monkeypatch: Patch) -> None:
    make, ids = CHANGES[name]
    noticing = [recorded_cases()[case_id] for case_id in ids]
    assert noticing
    assert not any(case.soft or examine(case).disagreements for case in noticing)
    make(monkeypatch)
    assert [case.id for case in noticing if not examine(case).disagreements] == []
