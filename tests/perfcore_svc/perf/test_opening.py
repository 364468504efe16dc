"""The reasons to refuse an open, with the errno (facts/perf 1.7, 1.15, 2.4). A refused open leaves nothing."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import pytest

from contract.errors import RefusedError
from tests.cases import cases
from tests.designs import MERGED, V8
from tests.perfcore_svc.perf.notation import Stage, refused, stage

# Branch filters --------------------------------------------------------------------------------------------


@cases(
    ("lbr", "branch", "errno"),
    [
        ("skylake", ["sideways"], "EINVAL"),
        ("skylake", ["any", "sideways"], "EINVAL"),
        ("nehalem", ["call_stack"], "EOPNOTSUPP"),
        ("sandybridge", ["call_stack"], "EOPNOTSUPP"),
        ("core2", ["call_stack"], "EOPNOTSUPP"),
        ("nehalem", ["call_stack", "any"], "EOPNOTSUPP"),
        ("skylake", ["call_stack", "any"], "EINVAL"),
        ("haswell", ["cond", "call_stack"], "EINVAL"),
        ("skylake", ["any"], ""),
        ("skylake", ["any", "cond"], ""),
        ("core2", ["any_call"], ""),
        ("haswell", ["call_stack"], ""),
    ],
)
def test_filters(lbr: str, branch: list[str], errno: str) -> None:
    host = stage(lbr=lbr)
    if errno:
        refused(host, errno, "x", *branch)
    else:
        assert host.open("x", *branch) == ""


def test_a_filter_without_a_level_means_both() -> None:
    host = stage()
    host.open("both", "any", privilege=["user", "kernel"])
    host.open("default", "any", privilege=[])
    assert host.perf.named["default"].slot == host.perf.named["both"].slot == 0


def test_a_filter_without_a_level_has_those_that_are_not_excluded() -> None:
    host = stage()
    host.open("user", "any", privilege=["user"])
    host.open("default", "any", privilege=[], exclude_kernel=True)
    host.open("named", "any", privilege=["user", "kernel"], exclude_kernel=True)
    slots = [host.perf.named[name].slot for name in ("user", "default", "named")]
    assert slots[0] == slots[1] != slots[2] == 0


def test_levels() -> None:
    host = stage()
    refused(host, "EINVAL", "x", "any", privilege=["hypervisor"])
    refused(host, "EINVAL", "x", privilege=["hypervisor"])
    refused(host, "EINVAL", "x", privilege=["user", "root"])


# LBR, BTS and PT -------------------------------------------------------------------------------------------

KINDS: dict[str, tuple[list[str], str]] = {"lbr": (["any"], "general"), "bts": ([], "bts"), "pt": ([], "pt")}


def open_kind(host: Stage, name: str, kind: str, **options: Any) -> str:
    branch, config = KINDS[kind]
    return host.open(name, *branch, config=config, **options)


@cases(("first", "second"), list(product(KINDS, repeat=2)))
@cases("off", [True, False])
def test_lbr_bts_and_pt_shut_each_other_out_from_open_to_close(first: str, second: str, off: bool) -> None:
    host = stage(cpus=2)
    assert open_kind(host, "a", first, disabled=off) == ""
    if first == second:
        assert open_kind(host, "b", second, cpu=1) == ""
        other = next(kind for kind in KINDS if kind != first)
        refused(host, "EBUSY", "d", *KINDS[other][0], config=KINDS[other][1])
    else:
        refused(host, "EBUSY", "b", *KINDS[second][0], config=KINDS[second][1], cpu=1)
    host.close("a")
    for name in set(host.states()):
        host.close(name)
    assert open_kind(host, "b", second) == ""


@cases("config", ["cycels", "", "any"])
def test_an_unknown_event_is_not_a_general_counter(config: str) -> None:
    refused(stage(), "EINVAL", "x", config=config)


PLACES = {
    "cpu0": ("", 0),
    "cpu1": ("", 1),
    "t": ("t", -1),
    "u": ("u", -1),
    "t on cpu0": ("t", 0),
    "t on cpu1": ("t", 1),
}
MEET = {("t", "t on cpu0"), ("t", "t on cpu1"), *((place, place) for place in PLACES)}
"""Places of two events of one context that share a CPU."""


@cases("tracer", ["bts", "pt"])
@cases(("first", "second"), list(product(PLACES, repeat=2)))
def test_an_exclusive_pmu_takes_tasks_or_cpus_and_one_event_a_place(tracer: str, first: str, second: str) -> None:
    host = stage(cpus=2)
    (task, cpu), (other, there) = PLACES[first], PLACES[second]
    assert host.open("a", config=tracer, task=task, cpu=cpu) == ""
    of_one_kind = bool(task) == bool(other)
    if of_one_kind and not {(first, second), (second, first)} & MEET:
        assert host.open("b", config=tracer, task=other, cpu=there) == ""
    else:
        refused(host, "EBUSY", "b", config=tracer, task=other, cpu=there)
    for name in list(host.states()):
        host.close(name)
    assert host.open("c", config=tracer, task=other, cpu=there) == ""


def test_the_core_pmu_is_not_exclusive() -> None:
    host = stage(cpus=2)
    assert [host.open("a"), host.open("b"), host.open("c", task="t")] == ["", "", ""]


@cases("bit", ["exclude_host", "exclude_user", "exclude_kernel"])
@cases("tracer", ["bts", "pt"])
def test_what_a_tracer_cannot_follow_is_refused(tracer: str, bit: str) -> None:
    refused(stage(), "EINVAL", "x", config=tracer, **{bit: True})
    refused(stage(), "EINVAL", "x", config=tracer, period=10)
    refused(stage(), "EINVAL", "x", config=tracer, privilege=["user"])
    refused(stage(), "EINVAL", "x", "any", config=tracer)


@cases("design", [V8, MERGED], ids=lambda d: d.name)
@cases("tracer", ["bts", "pt"])
def test_a_guests_event_is_an_lbr_event(design: Any, tracer: str) -> None:
    host = stage(design=design)
    event = host.guest()
    refused(host, "EBUSY", config=tracer)
    host.perf.close(event)
    assert host.open("x", config=tracer) == ""
    with pytest.raises(RefusedError) as error:
        host.guest()
    assert error.value.errno == "EBUSY"
    assert host.states() == {"x": "A"}


@cases("kinds", list(permutations(KINDS)))
def test_plain_events_mind_none_of_them(kinds: tuple[str, ...]) -> None:
    host = stage()
    open_kind(host, "a", kinds[0])
    assert host.open("plain") == ""


# Groups ----------------------------------------------------------------------------------------------------


@cases("what", ["pinned", "exclusive"])
def test_only_leaders_are_pinned_or_exclusive(what: str) -> None:
    host = stage()
    host.put("L", "CP plain", exclusive=True)
    asked: dict[str, Any] = {what: True}
    refused(host, "EINVAL", group="L", **asked)


def test_a_sibling_leads_nobody() -> None:
    host = stage()
    host.put("L", "CF plain")
    host.put("M", "CF plain", group="L")
    refused(host, "EINVAL", group="M")


def test_there_is_no_such_leader() -> None:
    refused(stage(), "EBADF", group="L")


@cases("other", [{"cpu": 1}, {"task": "t"}, {"task": "v"}, {"task": "v", "cpu": 0}])
def test_a_sibling_is_where_its_leader_is(other: dict[str, Any]) -> None:
    host = stage(cpus=2)
    host.put("L", "CF plain")
    refused(host, "EINVAL", group="L", **other)


def test_a_group_larger_than_the_counters() -> None:
    host = stage(counters=3)
    host.put("L", "CF plain")
    host.all_put("CF plain", "M", "N", group="L")
    refused(host, "EINVAL", group="L")
    assert host.open("i", group="L", config="instructions") == "", "that has a counter of its own"
    refused(host, "EINVAL", "i2", group="L", config="instructions")


def test_what_others_hold_is_no_reason() -> None:
    host = stage(counters=2)
    host.all_put("CP plain", "a", "b")
    host.put("L", "CF plain")
    host.put("M", "CF plain", group="L")
    assert host.now("L M") == "I I"


def test_a_group_has_one_lbr_filter() -> None:
    host = stage()
    host.put("L", "CF any")
    refused(host, "EINVAL", "x", "call", group="L")
    refused(host, "EINVAL", "x", "any", group="L", privilege=["user"])
    assert host.open("same", "any", group="L") == ""
    assert host.open("plain", group="L") == ""


def test_on_arm_a_leader_that_is_off_is_not_counted() -> None:
    host = stage(pmu="armv8", counters=3, fixed=0)
    host.put("L", "CF plain", disabled=True)
    host.all_put("CF plain", "M", "N", "O", group="L")
    refused(host, "EINVAL", group="L")
    host.enable("L")
    assert host.on() == ""


def test_on_x86_a_leader_that_is_off_is() -> None:
    host = stage(counters=3)
    host.put("L", "CF plain", disabled=True)
    host.all_put("CF plain", "M", "N", group="L")
    refused(host, "EINVAL", group="L")
