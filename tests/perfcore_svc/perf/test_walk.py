"""The walk: class precedence, `can_add_hw` after a failure, and what a guest's event needs in each design."""

from __future__ import annotations

from msgspec.structs import replace

from contract.design import Admission, Event
from tests.cases import cases
from tests.designs import MERGED, V7, V8
from tests.perfcore_svc.hosts import Host, make_host
from tests.perfcore_svc.perf.notation import KERNELS, every_kernel

SHUTS = {kernel: kernel != "v5.3" for kernel in KERNELS}


def with_guest(kernel: str = "v5.12", counters: int = 4) -> Host:
    """A v8 host whose vCPU v runs and has the LBR."""
    host = make_host(kernel=kernel, counters=counters, design=V8, running="v")
    host.guest()
    assert host.states() == {"vlbr:v": "A"}
    return host


# Class precedence and the guest's event of v8 --------------------------------------------------------------


@every_kernel
def test_a_cpu_pinned_event_evicts_the_guest_for_good_until_it_is_enabled(kernel: str) -> None:
    host = with_guest(kernel)
    host.open("P", "any", pinned=True)
    assert host.states() == {"vlbr:v": "ERR", "P": "A"}
    host.close("P")
    assert host.states() == {"vlbr:v": "ERR"}
    host.run("")
    host.run("v")
    assert host.states() == {"vlbr:v": "ERR"}
    host.enable("vlbr:v")
    assert host.states() == {"vlbr:v": "A"}


@every_kernel
def test_flexible_events_queue_behind_the_head_that_cannot_go_on(kernel: str) -> None:
    host = with_guest(kernel)
    host.open("F", "any")
    assert host.states() == {"vlbr:v": "A", "F": "I"}
    assert host.perf.kernel.cpus[0].ctx.rotate_necessary
    host.open("D")
    assert host.states() == {"vlbr:v": "A", "F": "I", "D": "I"}
    host.run("")
    assert host.states() == {"vlbr:v": "I", "F": "I", "D": "I"}


@every_kernel
def test_creating_a_guest_event_succeeds_though_it_cannot_go_on(kernel: str) -> None:
    host = make_host(kernel=kernel, design=V8, running="v")
    host.open("P", "any", pinned=True)
    host.guest()
    assert host.states() == {"P": "A", "vlbr:v": "ERR"}


@every_kernel
def test_a_guest_that_is_off_loses_only_at_the_next_walk(kernel: str) -> None:
    host = with_guest(kernel)
    host.run("")
    assert host.states() == {"vlbr:v": "I"}
    host.open("P", "any", pinned=True)
    assert host.states() == {"vlbr:v": "I", "P": "A"}
    host.run("v")
    assert host.states() == {"vlbr:v": "ERR", "P": "A"}


@every_kernel
def test_the_guest_needs_no_counter_but_the_host_event_does(kernel: str) -> None:
    host = make_host(kernel=kernel, design=V8, running="v")
    for i in range(4):
        host.open(f"C{i}", pinned=True)
    host.guest()
    host.open("H", "any", task="v", pinned=True)
    states = host.states()
    assert (states["vlbr:v"], states["H"]) == ("A", "ERR")


def test_a_pinned_lbr_event_of_the_vcpu_thread_is_first_come_first_served() -> None:
    host = with_guest()
    host.open("H", "any", task="v", pinned=True)
    assert host.states() == {"vlbr:v": "A", "H": "ERR"}


def test_the_private_slot_is_never_shared_even_with_the_same_hardware_filter() -> None:
    host = with_guest()
    host.open("S", "call_stack", privilege=["user"])
    assert host.states() == {"vlbr:v": "A", "S": "I"}


def test_an_ordinary_slot_is_shared_with_exactly_that_filter() -> None:
    host = make_host(design=replace(V8, admission=Admission.ORDINARY_SLOT), running="v")
    host.guest()
    host.open("S", "call_stack", privilege=["user"])
    host.open("F", "any")
    assert host.states() == {"vlbr:v": "A", "S": "A", "F": "I"}


# The same where the guest's event is no competitor ---------------------------------------------------------


@every_kernel
def test_the_merged_event_never_meets_the_slot(kernel: str) -> None:
    host = make_host(kernel=kernel, design=MERGED, running="v")
    host.guest()
    host.open("P", "any", pinned=True)
    host.open("F", "any")
    host.open("G", "call")
    assert host.states() == {"vlbr:v": "A", "P": "A", "F": "A", "G": "I"}


def test_the_pseudo_counter_has_room_for_one() -> None:
    host = make_host(design=MERGED, running="v")
    first, second = host.guest(), host.guest()
    assert (first.state.name, second.state.name) == ("ACTIVE", "ERROR")


@cases("counters", [1, 2])
def test_the_bypassing_event_is_on_whatever_else_is(counters: int) -> None:
    host = make_host(design=V7, counters=counters, running="v")
    host.open("P", "any", pinned=True)
    host.guest()
    host.open("Q", "any", task="v")
    assert host.states() == {"P": "A", "vlbr:v": "A", "Q": "I" if counters == 1 else "A"}


def test_a_flexible_guest_event_waits_instead_of_failing() -> None:
    host = make_host(design=replace(V8, event=Event.TASK_FLEXIBLE), running="v")
    host.open("F", "any")
    host.guest()
    assert host.states() == {"F": "A", "vlbr:v": "I"}


# The door --------------------------------------------------------------------------------------------------


@every_kernel
def test_a_failed_pinned_event_shuts_the_door_on_later_ones_since_v5_7(kernel: str) -> None:
    host = make_host(kernel=kernel, running="u")
    host.open("P1", "any", task="t", pinned=True)
    host.open("P2", "call", task="t", pinned=True)
    host.open("P3", task="t", pinned=True)
    host.run("t")
    assert host.states() == {"P1": "A", "P2": "ERR", "P3": "ERR" if SHUTS[kernel] else "A"}


@every_kernel
def test_a_failed_flexible_event_shuts_the_door_in_every_version(kernel: str) -> None:
    host = make_host(kernel=kernel)
    host.open("C1", "any")
    host.open("C2", "call")
    host.open("D")
    assert host.states() == {"C1": "A", "C2": "I", "D": "I"}


@every_kernel
def test_the_door_is_one_for_each_context_and_class(kernel: str) -> None:
    host = make_host(kernel=kernel, running="t")
    host.open("P1", "any", pinned=True)
    host.open("P2", "call", pinned=True)
    host.open("Q", "any", task="t", pinned=True)
    host.open("C", "any")
    host.open("C2", "call")
    host.open("T", "any", task="t")
    assert host.states() == {"P1": "A", "P2": "ERR", "Q": "A", "C": "A", "C2": "I", "T": "A"}


@every_kernel
def test_a_waiting_head_keeps_its_own_class_waiting_only(kernel: str) -> None:
    host = make_host(kernel=kernel, running="t")
    host.open("C", "any")
    host.open("T", "call", task="t")
    host.open("T2", task="t")
    assert host.states() == {"C": "A", "T": "I", "T2": "I"}
    assert host.perf.kernel.tasks["t"].rotate_necessary
    assert not host.perf.kernel.cpus[0].ctx.rotate_necessary


@every_kernel
def test_what_is_off_or_in_error_shuts_no_door(kernel: str) -> None:
    host = make_host(kernel=kernel)
    host.open("P1", "any", pinned=True)
    host.open("P2", "call", pinned=True)
    assert host.states()["P2"] == "ERR"
    host.open("off", "call", pinned=True, disabled=True)
    host.open("P3", pinned=True)
    assert host.states()["P3"] == "A"


@every_kernel
def test_what_is_bound_to_another_cpu_shuts_no_door(kernel: str) -> None:
    host = make_host(kernel=kernel, cpus=2, running="t")
    host.open("P", "any", pinned=True)
    host.open("B", "call", task="t", cpu=1)
    host.open("D", task="t")
    assert host.states() == {"P": "A", "B": "I", "D": "A"}


@every_kernel
def test_one_counter_goes_to_the_highest_class(kernel: str) -> None:
    host = make_host(kernel=kernel, counters=1, running="t")
    host.open("F")
    host.open("Q", task="t", pinned=True)
    assert host.states() == {"F": "I", "Q": "A"}
    host.open("R", pinned=True)
    assert host.states() == {"F": "I", "Q": "ERR", "R": "A"}
