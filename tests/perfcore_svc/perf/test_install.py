"""Installing, enabling, disabling and removing: who goes out, who gets on, who is told nothing."""

from __future__ import annotations

from itertools import permutations

from contract.machine import Controls, Enter, Ran
from tests.cases import cases
from tests.perfcore_svc.hosts import Host, make_host
from tests.perfcore_svc.perf.notation import KERNELS

CLASSES = ("CP", "TP", "CF", "TF")


def open_class(host: Host, name: str, event_class: str, *branch: str, **options: bool) -> None:
    task = "t" if event_class[0] == "T" else ""
    assert host.open(name, *branch, task=task, pinned=event_class[1] == "P", **options) == ""


def went_out(host: Host, name: str) -> bool:
    """Running time is accumulated as an event goes off: one that was never off has none on its account."""
    return host.perf.named[name].ran


# Who is scheduled out --------------------------------------------------------------------------------------

OUT = {"CP": {"CP", "TP", "CF", "TF"}, "TP": {"TP", "CF", "TF"}, "CF": {"CF", "TF"}, "TF": {"TF"}}


@cases("kernel", KERNELS)
@cases("newcomer", CLASSES)
@cases("by", ["install", "enable"])
def test_what_goes_out_for_a_newcomer(kernel: str, newcomer: str, by: str) -> None:
    host = make_host(kernel=kernel, counters=8, running="t")
    if by == "enable":
        open_class(host, "new", newcomer, disabled=True)
    for resident in reversed(CLASSES):
        open_class(host, resident, resident)
    for event in host.perf.named.values():
        event.ran = False
    if by == "enable":
        host.enable("new")
    else:
        open_class(host, "new", newcomer)
    assert {c for c in CLASSES if went_out(host, c)} == OUT[newcomer]
    assert set(host.states().values()) == {"A"}


@cases("kernel", KERNELS)
@cases("resident", CLASSES)
@cases("newcomer", CLASSES)
def test_a_higher_class_takes_the_lbr_at_once_and_an_equal_one_never(kernel: str, resident: str, newcomer: str) -> None:
    host = make_host(kernel=kernel, running="t")
    open_class(host, "old", resident, "any")
    open_class(host, "new", newcomer, "call")
    waits = {"P": "ERR", "F": "I"}
    if CLASSES.index(newcomer) < CLASSES.index(resident):
        assert host.states() == {"new": "A", "old": waits[resident[1]]}
    else:
        assert host.states() == {"old": "A", "new": waits[newcomer[1]]}


@cases("kernel", ["v5.3", "v5.12"])
@cases("order", list(permutations(CLASSES)))
def test_the_highest_class_present_has_the_lbr_in_whatever_order_they_come(kernel: str, order: tuple[str, ...]) -> None:
    filters = dict(zip(CLASSES, ("any", "call", "cond", "ind_call"), strict=True))
    host = make_host(kernel=kernel, running="t")
    for arrived, event_class in enumerate(order, start=1):
        open_class(host, event_class, event_class, filters[event_class])
        winner = min(order[:arrived], key=CLASSES.index)
        assert [name for name, state in host.states().items() if state == "A"] == [winner]


def test_equal_filters_share_the_lbr_over_all_classes() -> None:
    host = make_host(running="t")
    for event_class in reversed(CLASSES):
        open_class(host, event_class, event_class, "any")
    assert set(host.states().values()) == {"A"}
    assert host.perf.kernel.cpus[0].slot_users == 4


def test_a_branch_event_needs_a_counter_too() -> None:
    host = make_host(counters=1, running="t")
    open_class(host, "plain", "CP")
    open_class(host, "lbr", "TF", "any")
    assert host.states() == {"plain": "A", "lbr": "I"}


# Events of tasks that are elsewhere ------------------------------------------------------------------------


def test_an_event_of_a_task_that_does_not_run_waits_for_its_switch_in() -> None:
    host = make_host(running="u")
    open_class(host, "F", "CF", "any")
    open_class(host, "P", "TP", "call")
    assert host.states() == {"F": "A", "P": "I"}
    host.run("t")
    assert host.states() == {"F": "I", "P": "A"}


def test_a_task_event_bound_to_a_cpu_is_on_only_there() -> None:
    host = make_host(cpus=2, running="t")
    host.open("B", "any", task="t", cpu=1, pinned=True)
    assert host.states() == {"B": "I"}
    host.run("t", 1)
    assert host.states() == {"B": "A"}
    host.run("t", 0)
    assert host.states() == {"B": "I"}


def test_cpus_have_an_lbr_each() -> None:
    host = make_host(cpus=2)
    host.open("P0", "any", cpu=0, pinned=True)
    host.open("P1", "call", cpu=1, pinned=True)
    assert host.states() == {"P0": "A", "P1": "A"}


# Out of ERROR ----------------------------------------------------------------------------------------------


def losing(kernel: str = "v5.12") -> Host:
    host = make_host(kernel=kernel, running="t")
    open_class(host, "winner", "CP", "any")
    open_class(host, "loser", "TP", "call")
    assert host.states() == {"winner": "A", "loser": "ERR"}
    return host


def test_error_outlives_the_winner_switches_and_other_installs() -> None:
    host = losing()
    host.close("winner")
    assert host.states() == {"loser": "ERR"}
    host.run("u")
    host.run("t")
    open_class(host, "plain", "CP")
    host.close("plain")
    assert host.states() == {"loser": "ERR"}


def test_enable_is_the_only_way_out_of_error() -> None:
    host = losing()
    host.enable("loser")
    assert host.states()["loser"] == "ERR", "still contended"
    host.disable("loser")
    assert host.states()["loser"] == "ERR", "disable knows only events that wait or are on"
    host.close("winner")
    host.enable("loser")
    assert host.states() == {"loser": "A"}


def test_reading_an_event_in_error_gives_end_of_file() -> None:
    host = losing()
    assert host.read("loser").errno == "EOF"
    assert host.read("winner").errno == ""


def test_flexible_losers_never_end_in_error() -> None:
    host = make_host(running="t")
    open_class(host, "P", "CP", "any")
    open_class(host, "C", "CF", "call")
    open_class(host, "T", "TF", "cond")
    host.run("u")
    host.run("t")
    assert host.states() == {"P": "A", "C": "I", "T": "I"}


# Freed places ----------------------------------------------------------------------------------------------


@cases("how", ["disable", "close"])
def test_nobody_takes_a_freed_place_by_itself(how: str) -> None:
    host = make_host(running="t")
    open_class(host, "C", "CF", "any")
    open_class(host, "T", "TF", "call")
    assert host.states() == {"C": "A", "T": "I"}
    (host.disable if how == "disable" else host.close)("C")
    assert host.states()["T"] == "I"
    open_class(host, "new", "CP")
    assert host.states()["T"] == "A"


def test_cpu_flexible_events_wait_through_a_switch_that_does_not_touch_their_class() -> None:
    host = make_host(running="t")
    open_class(host, "P", "TP", "any")
    open_class(host, "F", "CF", "call")
    assert host.states() == {"P": "A", "F": "I"}
    host.run("u")
    assert host.states() == {"P": "I", "F": "I"}, "the place is free, nobody tries"
    open_class(host, "new", "CF")
    assert host.states()["F"] == "A"


def test_a_task_with_pinned_events_retries_the_cpus_flexible_class() -> None:
    host = make_host(running="u")
    open_class(host, "F", "CF", "any")
    open_class(host, "D", "TP", disabled=True)
    host.perf.named["F"].ran = False
    host.run("t")
    assert went_out(host, "F")
    assert host.states() == {"F": "A", "D": "OFF"}


def test_a_task_without_pinned_events_leaves_the_cpus_flexible_class_in() -> None:
    host = make_host(running="u")
    open_class(host, "F", "CF")
    open_class(host, "T", "TF")
    host.run("t")
    assert not went_out(host, "F")
    assert host.states() == {"F": "A", "T": "A"}


def test_an_enabled_event_keeps_its_place_in_the_order() -> None:
    host = make_host()
    open_class(host, "first", "CF", "any", disabled=True)
    open_class(host, "second", "CF", "call")
    host.enable("first")
    assert host.states() == {"first": "A", "second": "I"}


@cases(("kernel", "disturbed"), [("v5.3", True), ("v5.12", False), ("v6.16", False)])
def test_installing_a_disabled_event_disturbs_only_old_kernels(kernel: str, disturbed: bool) -> None:
    host = make_host(kernel=kernel)
    open_class(host, "F", "CF")
    host.perf.named["F"].ran = False
    open_class(host, "D", "CF", disabled=True)
    assert went_out(host, "F") == disturbed
    assert host.states() == {"F": "A", "D": "OFF"}


def test_enable_of_what_is_enabled_does_nothing() -> None:
    host = make_host()
    open_class(host, "F", "CF")
    host.perf.named["F"].ran = False
    host.enable("F")
    assert not went_out(host, "F")


def test_an_interrupt_takes_the_cpu_out_of_guest_mode_to_evict() -> None:
    host = make_host(running="v")
    assert isinstance(host.request(Enter("v", 0, Controls(0, False), [])), Ran)
    open_class(host, "P", "CP", "any")
    assert host.machine.cpus[0].guest == ""
    assert host.machine.operations["ipi"] == 1
