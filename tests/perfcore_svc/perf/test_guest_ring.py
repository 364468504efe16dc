"""The saved part of a guest's LBR: as perf does it, the whole ring, or with the guest's event; and LBR_SELECT."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from contract.design import Admission, Recovery, Save, SaveSelect, Takes
from contract.lbr_ring import LbrRing
from contract.messages import LbrImage, ReleaseEvent
from contract.trace import LbrRestore
from tests.cases import cases
from tests.designs import REVOKE_GP
from tests.perfcore_svc.hosts import Host, make_host
from tests.perfcore_svc.kvm import revocable
from tests.perfcore_svc.perf.notation import every_kernel
from tests.perfcore_svc.perf.test_lbr_switch import steps

KEPT = LbrImage(5, 3, [10, 11, 12, 13], [20, 21, 22, 23], [1, 1, 1, 1])
HOLED = LbrImage(5, 3, [10, 0, 12, 13], [20, 0, 22, 23], [1, 0, 1, 1])
CLEAR = LbrImage(0, 0, [0] * 4, [0] * 4, [0] * 4)


def host_of(*, kernel: str = "v5.12", **axes: object) -> Host:
    """v runs, and t has an LBR event of its own."""
    host = make_host(design=replace(REVOKE_GP, recovery=Recovery.STICKY, **axes), kernel=kernel, running="v")
    host.open("T", "any", task="t", pinned=True)
    return host


def whole(**axes: Any) -> Host:
    return host_of(whole_ring=True, **axes)


def ring(host: Host) -> LbrRing:
    return host.machine.cpus[0].lbr


def guest_with(host: Host, image: LbrImage) -> None:
    host.guest()
    ring(host).load(image, with_select=True)
    host.news()


def there_and_back(host: Host) -> list[str]:
    """Task t uses the LBR, then v comes back."""
    host.run("t")
    host.retire(3)
    host.run("v")
    return steps(host)


# The whole ring --------------------------------------------------------------------------------------------


@every_kernel
def test_every_entry_tos_and_select_come_back(kernel: str) -> None:
    host = whole(kernel=kernel)
    guest_with(host, KEPT)
    there_and_back(host)
    assert ring(host).store() == KEPT


@cases(
    ("kept_whole", "after", "saved"),
    [(True, HOLED, 4), (False, LbrImage(5, 3, [0, 0, 12, 13], [0, 0, 22, 23], [0, 0, 1, 1]), 2)],
)
def test_entries_behind_a_hole_are_kept_only_with_the_whole_ring(kept_whole: bool, after: LbrImage, saved: int) -> None:
    host = host_of(whole_ring=kept_whole)
    guest_with(host, HOLED)
    assert f"save v {saved}" in there_and_back(host)
    assert ring(host).store() == after


def test_an_empty_ring_is_kept_as_one() -> None:
    host = whole()
    guest_with(host, replace(CLEAR, tos=2))
    there_and_back(host)
    assert ring(host).store() == replace(CLEAR, tos=2)


@cases(("kept_whole", "done"), [(True, ["save v 4", "restore v"]), (False, ["save v 4"])])
def test_a_ring_that_seems_untouched_is_put_back_all_the_same_only_with_the_whole_ring(
    kept_whole: bool, done: list[str]
) -> None:
    host = host_of(whole_ring=kept_whole)
    guest_with(host, KEPT)
    host.run("")
    host.run("v")
    assert steps(host) == done


def test_what_idle_host_code_left_in_it_does_not_come_back() -> None:
    """Perf's fast path looks only at the newest entry."""
    host = whole()
    guest_with(host, KEPT)
    host.run("")
    ring(host).from_ip[0] = 99
    host.run("v")
    assert ring(host).store() == KEPT


# A fresh guest ---------------------------------------------------------------------------------------------


@every_kernel
@cases("save_select", [SaveSelect.YES, SaveSelect.NO])
def test_a_new_guest_finds_nothing_of_what_the_host_left(kernel: str, save_select: SaveSelect) -> None:
    host = whole(kernel=kernel, save_select=save_select)
    ring(host).load(KEPT, with_select=True)
    host.guest()
    assert ring(host).store() == CLEAR


def test_as_perf_does_it_a_new_guest_finds_tos_and_select_as_they_were() -> None:
    host = host_of()
    ring(host).load(KEPT, with_select=True)
    host.guest()
    assert ring(host).store() == replace(CLEAR, tos=3, select=5)


def test_a_guest_whose_thread_is_off_finds_nothing_when_it_comes() -> None:
    host = whole()
    host.run("t")
    host.guest()
    host.retire(3)
    host.run("v")
    assert ring(host).store() == CLEAR


def test_a_new_guest_beside_a_host_event_of_its_filter_finds_nothing() -> None:
    host = whole(admission=Admission.ORDINARY_SLOT)
    host.open("S", "call_stack", pinned=True, privilege=["user"])
    host.retire(3, "call")
    host.guest()
    assert host.states()["S"] == host.states()["vlbr:v"] == "A"
    assert ring(host).store() == CLEAR


def test_a_fresh_event_of_the_same_guest_starts_afresh() -> None:
    host, kvm, created = revocable(whole_ring=True)
    ring(host).load(KEPT, with_select=True)
    kvm.tell(ReleaseEvent(created.event))
    kvm.told()
    kvm.create()
    assert ring(host).store() == CLEAR


def test_a_new_guest_that_does_not_fit_clears_nothing() -> None:
    host = whole(takes=Takes.COUNTER)
    for name in "abcd":
        host.open(name, pinned=True)
    ring(host).load(KEPT, with_select=True)
    host.guest()
    assert host.states()["vlbr:v"] == "ERR"
    assert ring(host).store() == KEPT


def test_an_event_that_has_been_on_is_not_cleared_again() -> None:
    host = whole()
    guest_with(host, KEPT)
    host.open("plain", pinned=True)
    assert steps(host) == []
    assert ring(host).store() == KEPT


def test_clearing_writes_every_register_and_is_on_record() -> None:
    host = whole()
    counted = host.machine.operations
    counted.clear()
    host.news()
    host.guest()
    assert counted == {"wrmsr": host.machine.model.registers, "lbr-reset": 1}
    (restore,) = [r for r in host.news() if isinstance(r, LbrRestore)]
    assert (restore.component, restore.owner, restore.image, restore.select) == ("perf", "v", LbrImage(), True)


def test_a_host_event_of_the_thread_is_saved_as_perf_does_once_the_guest_has_gone() -> None:
    host = whole()
    host.open("A", "call_stack", task="v", pinned=True, privilege=["user"])
    guest = host.guest()
    host.perf.close(guest)
    ring(host).load(HOLED, with_select=False)
    host.news()
    assert "save v 2" in there_and_back(host)


def test_a_host_event_of_the_thread_does_not_find_the_ring_of_a_guest_that_has_gone() -> None:
    host = whole()
    guest = host.guest()
    ring(host).load(KEPT, with_select=True)
    host.run("t")
    host.open("A", "call_stack", task="v", pinned=True, privilege=["user"])
    host.perf.close(guest)
    host.run("v")
    assert host.states()["A"] == "A"
    assert not any(ring(host).from_ip)


# Saved with the guest's event ------------------------------------------------------------------------------


def with_event(save: Save = Save.PERF_EVENT, **axes: Any) -> Host:
    """P can evict the guest's event, and has not been on yet."""
    host = host_of(save=save, **axes)
    host.open("P", "any", pinned=True, disabled=True)
    return host


def evicted(host: Host) -> None:
    host.enable("P")
    assert host.states()["vlbr:v"] == "ERR"
    host.retire(3)
    host.disable("P")


def test_an_evicted_guest_finds_its_lbr_as_it_left_it() -> None:
    host = with_event()
    guest_with(host, KEPT)
    evicted(host)
    assert ring(host).store() != KEPT
    host.enable("vlbr:v")
    assert ring(host).store() == KEPT
    assert steps(host) == ["save v 4", "reset", "restore v"]


def test_saved_with_the_thread_an_evicted_guest_finds_the_hosts_branches() -> None:
    host = with_event(Save.PERF_SWITCH)
    guest_with(host, KEPT)
    evicted(host)
    host.enable("vlbr:v")
    assert steps(host) == ["reset"]
    assert ring(host).from_ip != KEPT.from_ip


def test_a_whole_ring_with_a_hole_survives_an_eviction() -> None:
    host = with_event(whole_ring=True)
    guest_with(host, HOLED)
    evicted(host)
    host.enable("vlbr:v")
    assert ring(host).store() == HOLED


def test_a_switch_of_the_thread_saves_and_restores_once() -> None:
    host = with_event()
    guest_with(host, KEPT)
    assert [step for step in there_and_back(host) if step != "reset"] == ["save v 4", "restore v"]
    assert ring(host).store() == KEPT


def test_nothing_is_saved_or_restored_for_a_guest_whose_event_is_in_error() -> None:
    host = with_event()
    guest_with(host, KEPT)
    host.enable("P")
    host.news()
    assert set(there_and_back(host)) <= {"reset"}
    host.disable("P")
    host.enable("vlbr:v")
    assert ring(host).store() == KEPT, "what was saved at the eviction is still there"


def test_a_guest_that_never_had_it_on_finds_nothing_saved() -> None:
    host = with_event()
    host.enable("P")
    host.guest()
    host.retire(3)
    host.disable("P")
    host.news()
    host.enable("vlbr:v")
    assert steps(host) == ["reset"]
    assert not any(ring(host).from_ip)


def test_an_evicted_guest_finds_its_ring_though_the_host_event_had_been_on_before() -> None:
    """Such an event does not reset the ring, and perf's fast path would take its branches for the guest's."""
    host = with_event()
    host.enable("P")
    host.disable("P")
    guest_with(host, KEPT)
    host.enable("P")
    host.retire(9)
    host.disable("P")
    host.enable("vlbr:v")
    assert ring(host).store() == KEPT


def test_a_call_stack_of_the_vcpus_thread_is_kept_though_a_guests_event_was_there() -> None:
    host = with_event()
    guest = host.guest()
    host.open("A", "call_stack", task="v", pinned=True, privilege=["user"])
    host.perf.close(guest)
    host.disable("A")
    host.enable("A")
    host.retire(2, "call")
    before = host.sample("A").from_ip
    there_and_back(host)
    assert (len(before), host.sample("A").from_ip) == (2, before)


def test_what_was_kept_of_the_thread_before_a_guests_time_is_not_restored_after_it() -> None:
    host = with_event(kernel="v6.16")
    host.open("W", "call_stack", pinned=True, privilege=["user"])
    host.run("v")
    host.retire(2, "call")
    host.run("t")
    host.disable("W")
    host.guest()
    host.run("v")
    host.run("t")
    host.enable("W")
    host.news()
    host.run("v")
    assert "restore v" not in steps(host)


def test_a_cpu_wide_event_is_reset_at_a_switch_to_a_vcpu_whose_event_is_off() -> None:
    host = with_event()
    host.guest()
    host.enable("P")
    host.run("u")
    host.retire(3)
    host.run("v")
    assert not any(ring(host).from_ip)


def test_a_fresh_event_inherits_nothing_from_the_one_before() -> None:
    """A host's call-stack event of the thread keeps what is saved for the thread alive."""
    host = with_event(whole_ring=True)
    guest = host.guest()
    host.open("A", "call_stack", task="v", privilege=["user"], disabled=True)
    ring(host).load(KEPT, with_select=True)
    host.perf.close(guest)
    host.guest()
    assert ring(host).store() == CLEAR


# LBR_SELECT ------------------------------------------------------------------------------------------------


@every_kernel
@cases("axis", SaveSelect)
def test_select_is_saved_as_the_design_says_and_the_kernel_can(kernel: str, axis: SaveSelect) -> None:
    host = host_of(kernel=kernel, save_select=axis)
    guest_with(host, KEPT)
    host.run("t")
    ring(host).select = 6
    host.run("v")
    saved = axis is SaveSelect.YES or (axis is SaveSelect.SINCE_V5_16 and kernel in ("v6.16", "v7.1"))
    assert host.perf.kernel.saves_select == saved
    assert ring(host).select == (5 if saved else 6)
    assert ring(host).from_ip == KEPT.from_ip
