"""Counters (facts/perf 2.2): which an event can use, in what order they are given out, and how many events fit."""

from __future__ import annotations

from typing import Any

from contract.design import Design
from perfcore_svc.perf.pmu import FIXED, armv8_pmu, intel_pmu
from tests.cases import cases
from tests.designs import MERGED, REVOKE_GP, V7, V8
from tests.perfcore_svc.perf.notation import Stage, stage


def counter(host: Stage, name: str) -> int:
    return host.perf.named[name].counter


def open_all(host: Stage, config: str, *names: str, **options: Any) -> None:
    for name in names:
        assert host.open(name, config=config, **options) == ""


# x86 -------------------------------------------------------------------------------------------------------


@cases(("config", "fixed"), [("instructions", 0), ("cycles", 1), ("ref-cycles", 2)])
def test_a_fixed_counter_is_taken_first(config: str, fixed: int) -> None:
    host = stage()
    open_all(host, config, "a")
    assert counter(host, "a") == FIXED + fixed


def test_a_second_event_of_a_fixed_kind_takes_a_general_counter() -> None:
    host = stage(counters=1)
    open_all(host, "cycles", "a", "b", "c")
    assert host.now() == "A A I"
    assert {counter(host, "a"), counter(host, "b")} == {0, FIXED + 1}


def test_general_events_use_no_fixed_counter() -> None:
    host = stage(counters=2)
    open_all(host, "general", "a", "b", "c")
    assert host.now() == "A A I"
    assert [counter(host, name) for name in "abc"] == [0, 1, -1]


def test_what_the_machine_has_not_as_fixed_is_general() -> None:
    host = stage(counters=1, fixed=1)
    open_all(host, "cycles", "a", "b")
    assert host.now() == "A I"
    assert counter(host, "a") == 0


def test_an_event_that_is_on_moves_to_make_room() -> None:
    """A cycles event on a general counter goes to its fixed one as soon as that is needed and free."""
    host = stage(counters=1)
    open_all(host, "cycles", "a", "b", pinned=True)
    on_general = next(name for name in "ab" if counter(host, name) == 0)
    host.close(next(name for name in "ab" if name != on_general))
    assert counter(host, on_general) == 0, "nobody moves by itself"
    open_all(host, "general", "g")
    assert host.now() == "A A"
    assert (counter(host, on_general), counter(host, "g")) == (FIXED + 1, 0)


@cases("order", [("cycles", "general", "instructions"), ("instructions", "cycles", "general")])
def test_the_event_of_least_choice_has_its_counter_in_whatever_order_they_come(order: tuple[str, ...]) -> None:
    host = stage(counters=1)
    for config in order:
        open_all(host, config, config)
    assert host.now() == "A A A"
    assert {name: counter(host, name) for name in order} == {"general": 0, "instructions": FIXED, "cycles": FIXED + 1}


def test_a_group_of_all_counters_fits() -> None:
    host = stage(counters=4)
    host.put("L", "CF plain")
    for n, config in enumerate(["general"] * 3 + ["instructions", "cycles", "ref-cycles"]):
        assert host.open(f"m{n}", group="L", config=config) == ""
    assert set(host.now().split()) == {"A"}
    assert sorted(counter(host, name) for name in host.states()) == [0, 1, 2, 3, FIXED, FIXED + 1, FIXED + 2]


def test_counters_of_two_cpus_are_their_own() -> None:
    host = stage(counters=1, cpus=2)
    host.open("a", cpu=0)
    host.open("b", cpu=1)
    assert host.now() == "A A"


# The event list --------------------------------------------------------------------------------------------


def full(host: Stage, free: int = 0) -> None:
    """Take every counter, general and fixed, but ``free`` general ones."""
    open_all(host, "general", *"abcd"[: 4 - free], pinned=True)
    for config in ("instructions", "cycles", "ref-cycles"):
        open_all(host, config, config, pinned=True)


@cases("design", [V8, MERGED], ids=lambda d: d.name)
def test_v8s_and_the_merged_guest_event_take_a_place_in_the_list(design: Design) -> None:
    host = stage(design=design)
    full(host)
    host.guest()
    assert host.now("V") == "ERR"


def test_with_one_counter_free_there_is_a_place_for_it() -> None:
    host = stage(design=MERGED)
    full(host, free=1)
    host.guest()
    assert host.now("V") == "A"
    host.put("x", "CF plain")
    assert host.now("V x") == "A I", "a counter is free, but no place in the list"


@cases("design", [V7, REVOKE_GP], ids=lambda d: d.name)
def test_other_guest_events_do_not(design: Design) -> None:
    host = stage(design=design)
    full(host)
    host.guest()
    assert host.now("V") == "A"


@cases("tracer", ["bts", "pt"])
def test_tracers_take_no_counter(tracer: str) -> None:
    host = stage()
    full(host)
    open_all(host, tracer, "x", pinned=True)
    assert host.now("x") == "A"
    assert counter(host, "x") == -1


# Arm -------------------------------------------------------------------------------------------------------


def arm(counters: int = 1) -> Stage:
    return stage(pmu="armv8", counters=counters, fixed=0)


def test_on_arm_cycles_has_one_counter_more() -> None:
    host = arm()
    open_all(host, "cycles", "a", "b", "c")
    assert host.now() == "A A I"
    assert [counter(host, name) for name in "ab"] == [FIXED, 0]


def test_on_arm_instructions_have_none_of_their_own() -> None:
    host = arm()
    open_all(host, "instructions", "a", "b")
    assert host.now() == "A I"


def test_on_arm_nobody_moves() -> None:
    host = arm()
    open_all(host, "cycles", "a", "b", pinned=True)
    host.close("a")
    assert counter(host, "b") == 0
    open_all(host, "general", "g")
    assert host.now() == "A I"
    x86 = stage(counters=1)
    open_all(x86, "cycles", "a", "b", pinned=True)
    x86.close("a")
    open_all(x86, "general", "g")
    assert x86.now() == "A A"


# The tables ------------------------------------------------------------------------------------------------


def test_masks() -> None:
    pmu = intel_pmu(4, 2)
    assert pmu.places == 6
    assert pmu.counters_for("general") == 0xF
    assert pmu.counters_for("instructions") == 0xF | 1 << 32
    assert pmu.counters_for("cycles") == 0xF | 1 << 33
    assert pmu.counters_for("ref-cycles") == 0xF
    assert armv8_pmu(6).places == 7
    assert armv8_pmu(6).counters_for("cycles") == 0x3F | 1 << 32
