"""Ticks that change nothing are carried out at once, and nobody can tell."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from contract.control import Advance, SetMuxInterval
from perfcore_svc.perf import rotation
from perfcore_svc.perf.idle_ticks import IdleTicks
from tests.cases import cases
from tests.perfcore_svc.perf.notation import Stage, every_kernel, stage

MS = 1_000_000
TICKS = 41
ALL = 1000


def a_pinned_event_has_the_lbr(host: Stage) -> None:
    host.put("p", "TP any")
    host.put("f", "CF call")


def a_group_of_each_class_waits(host: Stage) -> None:
    host.put("p", "CP any")
    host.put("f", "CF call")
    host.all_put("TF stk", "t", "u")


def two_groups_change_places(host: Stage) -> None:
    host.put("p", "CP any")
    host.all_put("CF call", "f", "g")


def a_flexible_event_is_on(host: Stage) -> None:
    a_pinned_event_has_the_lbr(host)
    host.put("g", "TF plain")


def events_take_turns(host: Stage) -> None:
    host.all_put("CF plain", "f", "g", "h")


def two_cpus_tick_in_turn(host: Stage) -> None:
    host.do(SetMuxInterval(4 * MS, 1, 2 * MS))
    a_pinned_event_has_the_lbr(host)
    host.put("q", "CP any", cpu=1)
    host.put("g", "CF call", cpu=1)


def one_cpu_ticks_seldom(host: Stage) -> None:
    two_cpus_tick_in_turn(host)
    host.do(SetMuxInterval(40 * MS, 1, 2 * MS))


SITUATIONS: list[tuple[Callable[[Stage], None], dict[str, Any], int]] = [
    (a_pinned_event_has_the_lbr, {}, 3),
    (a_pinned_event_has_the_lbr, {"lbr": "arch"}, 3),
    (a_group_of_each_class_waits, {}, ALL),
    (two_groups_change_places, {}, ALL),
    (one_cpu_ticks_seldom, {"cpus": 2}, 20),
    (two_cpus_tick_in_turn, {"cpus": 2}, ALL),
    (a_flexible_event_is_on, {}, ALL),
    (events_take_turns, {"counters": 2, "fixed": 0}, ALL),
]
"""How to come to a situation, on which machine, and the most ticks that are carried out of TICKS on each CPU. ALL: in
most kernels each tick may change something."""


@every_kernel
@cases(("begin", "machine", "most"), SITUATIONS)
def test_one_advance_and_each_tick_by_itself_are_the_same(
    begin: Any, machine: Any, most: int, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = stage(kernel, **machine)
    begin(host)
    host.tick()
    at_once, one_by_one = host.core.clone(), host.core.clone()
    made, rotate = count(), rotation.rotate_context

    def counted(*given: Any) -> bool:
        next(made)
        return rotate(*given)

    with monkeypatch.context() as patch:
        patch.setattr(rotation, "rotate_context", counted)
        found = at_once.command(Advance(4 * TICKS * MS), host.log.now)
        ticks = next(made)
        patch.setattr(IdleTicks, "skip", lambda *_: 0)
        assert one_by_one.command(Advance(4 * TICKS * MS), host.log.now) == found
        assert next(made) - ticks - 1 >= TICKS

    assert ticks <= most
    if begin is a_flexible_event_is_on:
        assert ticks == TICKS
    assert at_once.key() == one_by_one.key()
    assert at_once.machine.operations == one_by_one.machine.operations


def test_skipped_ticks_count_for_the_bound_of_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "TICKS_AT_ONCE", 9)
    host = stage()
    a_pinned_event_has_the_lbr(host)
    until = host.core.command(Advance(4 * TICKS * MS), 0).now
    assert until == 9 * 4 * MS
