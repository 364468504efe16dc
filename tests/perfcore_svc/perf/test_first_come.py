"""The first user that opened has the LBR (precedence = first-come)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from contract.design import Precedence
from contract.errors import RefusedError
from contract.messages import ReleaseEvent
from contract.trace import EventFailed
from tests.cases import cases
from tests.designs import FIRST_COME
from tests.perfcore_svc.hosts import Host, make_host
from tests.perfcore_svc.kvm import Kvm
from tests.perfcore_svc.perf.notation import Stage, refused, stage

# Who may meet whom -----------------------------------------------------------------------------------------

CPU0, CPU1 = (0, ""), (1, "")
T, T_ON_0, T_ON_1 = (-1, "t"), (0, "t"), (1, "t")
U, U_ON_0 = (-1, "u"), (0, "u")
MEET = [
    (CPU0, CPU0, True),
    (CPU0, CPU1, False),
    (CPU0, T, True),
    (CPU0, T_ON_0, True),
    (CPU0, T_ON_1, False),
    (T, T, True),
    (T, T_ON_1, True),
    (T_ON_0, T_ON_0, True),
    (T_ON_0, T_ON_1, False),
    (T, U, False),
    (T_ON_0, U_ON_0, False),
]


def first_come(**axes: object) -> Stage:
    return stage(cpus=2, design=replace(FIRST_COME, **axes))


def failures(host: Host) -> list[tuple[str, str]]:
    return [(r.errno, r.holder) for r in host.log.records if isinstance(r, EventFailed)]


@cases(("one", "other", "meet"), MEET)
@cases("swapped", [False, True])
def test_a_second_filter_is_refused_where_the_two_could_meet(
    one: tuple[int, str], other: tuple[int, str], meet: bool, swapped: bool
) -> None:
    host = first_come()
    first, second = (other, one) if swapped else (one, other)
    assert host.open("a", "any", cpu=first[0], task=first[1]) == ""
    if meet:
        refused(host, "EBUSY", "b", "call", cpu=second[0], task=second[1])
    else:
        assert host.open("b", "call", cpu=second[0], task=second[1]) == ""


def test_the_refusal_names_who_came_first() -> None:
    host = first_come()
    host.open("a", "any")
    host.open("b", "call")
    assert failures(host) == [("EBUSY", "a")]


def test_one_filter_is_shared() -> None:
    host = first_come()
    assert [host.open(name, "any") for name in "ab"] == ["", ""]
    assert host.open("c", "any", task="v", pinned=True) == ""
    assert host.now() == "A A A"


def test_nobody_is_in_the_way_of_a_plain_counter_or_is_by_one() -> None:
    host = first_come()
    assert [host.open("a"), host.open("b", "any"), host.open("c")] == [""] * 3


@cases("option", [{"pinned": True}, {"pinned": False}])
def test_rank_does_not_matter(option: dict[str, Any]) -> None:
    host = first_come()
    host.open("a", "any", task="v")
    assert host.open("b", "call", **option) == "EBUSY"
    assert host.now() == "A"


def test_what_is_off_has_come_first_all_the_same_until_it_is_closed() -> None:
    host = first_come()
    host.open("a", "any", disabled=True)
    assert host.open("b", "call") == "EBUSY"
    host.close("a")
    assert host.open("b", "call") == ""


def test_a_task_that_is_not_running_has_come_first_as_well() -> None:
    host = first_come()
    host.open("a", "any", task="t")
    assert host.open("b", "call") == "EBUSY"


def test_perfs_own_order_refuses_nobody() -> None:
    host = first_come(precedence=Precedence.PERF_ORDER)
    assert [host.open("a", "any"), host.open("b", "call", pinned=True)] == ["", ""]
    assert host.now() == "I A"


def test_a_sibling_of_the_same_filter_is_not_in_its_leaders_way() -> None:
    host = first_come()
    host.open("a", "any")
    assert host.open("b", "any", group="a") == ""


# Guests ----------------------------------------------------------------------------------------------------


def test_a_guest_that_comes_second_is_refused_and_told_so() -> None:
    host = first_come()
    kvm = Kvm(host)
    host.open("a", "any")
    created = kvm.create()
    assert (created.event, created.errno) == (0, "EBUSY")
    (failed,) = [r for r in host.log.records if isinstance(r, EventFailed)]
    assert (failed.guest, failed.task, failed.holder, failed.lbr, failed.pinned) == ("v", "v", "a", True, True)
    assert host.now() == "A"


def test_a_host_that_comes_second_is_refused_until_the_guest_releases() -> None:
    host = first_come()
    kvm = Kvm(host)
    created = kvm.create()
    assert host.open("a", "any", pinned=True) == "EBUSY"
    assert failures(host) == [("EBUSY", "vlbr:v")]
    assert host.now() == "A"
    kvm.tell(ReleaseEvent(created.event))
    assert host.open("a", "any", pinned=True) == ""


def test_a_refused_open_says_what_was_asked() -> None:
    host = first_come()
    host.guest()
    host.open("a", "any", pinned=True)
    (failed,) = [r for r in host.log.records if isinstance(r, EventFailed)]
    assert (failed.name, failed.cpu, failed.task, failed.pinned, failed.lbr) == ("a", 0, "", True, True)


def test_guests_do_not_meet_each_other_or_other_tasks() -> None:
    host = first_come()
    host.guest("v")
    host.guest("w")
    assert host.open("a", "any", task="t") == ""
    assert host.open("b", "any", task="w") == "EBUSY"


def test_a_guests_event_for_another_task_meets_that_tasks_events() -> None:
    host = first_come()
    host.open("a", "any", task="t")
    with pytest.raises(RefusedError) as error:
        host.perf.open_guest("vlbr:v", "v", "t")
    assert error.value.errno == "EBUSY"
    assert host.perf.open_guest("vlbr:v", "v").task == "v"


def test_a_part_without_select_has_nothing_to_quarrel_about() -> None:
    host = make_host(lbr="core2", depth=0, design=FIRST_COME)
    assert [host.open("a", "any"), host.open("b", "any_call")] == ["", ""]
