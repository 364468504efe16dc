"""A guest's event that takes a real counter (takes = counter), and one that does not."""

from __future__ import annotations

from msgspec.structs import replace

from contract.design import Event, Recovery, Takes
from contract.trace import EventOpen
from tests.cases import cases
from tests.designs import MERGED_2023, REVOKE_GP
from tests.perfcore_svc.perf.bookkeeping import check_counters, check_groups
from tests.perfcore_svc.perf.notation import Stage, every_kernel, stage


def host_of(takes: Takes, kernel: str = "v5.12", **axes: object) -> Stage:
    return stage(kernel, design=replace(REVOKE_GP, recovery=Recovery.STICKY, takes=takes, **axes))


@every_kernel
@cases(("takes", "state"), [(Takes.COUNTER, "ERR"), (Takes.NOTHING, "A")])
def test_where_the_host_has_all_counters_it_cannot_go_on(kernel: str, takes: Takes, state: str) -> None:
    host = host_of(takes, kernel)
    host.all_put("CP plain", "a", "b", "c", "d")
    host.guest()
    assert host.now("V") == state


@cases("takes", Takes)
def test_one_free_counter_is_enough(takes: Takes) -> None:
    host = host_of(takes)
    host.all_put("CP plain", "a", "b", "c")
    host.guest()
    assert host.now("V") == "A"
    check_counters(host)
    check_groups(host)


@cases(("takes", "state"), [(Takes.COUNTER, "ERR"), (Takes.NOTHING, "A")])
def test_it_can_lose_its_counter_to_the_host(takes: Takes, state: str) -> None:
    host = host_of(takes)
    host.guest()
    host.all_put("CP plain", "a", "b", "c", "d")
    assert host.now() == f"{state} A A A A"


def test_the_host_is_short_of_a_counter_for_it() -> None:
    host = host_of(Takes.COUNTER)
    host.guest()
    host.all_put("CF plain", "a", "b", "c", "d")
    assert host.now() == "A A A A I"


def test_a_flexible_one_waits_for_a_counter() -> None:
    host = host_of(Takes.COUNTER, event=Event.TASK_FLEXIBLE)
    host.all_put("CP plain", "a", "b", "c", "d")
    host.guest()
    assert host.now("V") == "I"
    host.close("a")
    host.tick()
    assert host.now("V") == "A"


@cases("takes", Takes)
def test_the_open_says_whether_it_needs_one(takes: Takes) -> None:
    host = host_of(takes)
    host.guest()
    assert [r.counter for r in host.news() if isinstance(r, EventOpen)] == [takes is Takes.COUNTER]


@cases(("takes", "state"), [(Takes.NOTHING, "A"), (Takes.PLACE, "ERR"), (Takes.COUNTER, "ERR")])
def test_it_can_be_short_of_a_place_where_the_host_has_all_of_them(takes: Takes, state: str) -> None:
    host = host_of(takes)
    host.all_put("CP plain", "a", "b", "c", "d")
    for config in ("instructions", "cycles", "ref-cycles"):
        host.put(config, "CP plain", config=config)
    host.guest()
    assert host.now("V") == state


def test_a_place_takes_one_from_the_host() -> None:
    host = host_of(Takes.PLACE)
    host.guest()
    host.all_put("CF plain", "a", "b", "c", "d")
    for config in ("instructions", "cycles", "ref-cycles"):
        host.put(config, "CF plain", config=config)
    assert host.now() == "A A A A A A A I"


def test_the_pseudo_counter_is_no_real_one() -> None:
    host = stage(design=MERGED_2023)
    host.all_put("CP plain", "a", "b", "c", "d")
    host.guest()
    assert host.now("V") == "A"
