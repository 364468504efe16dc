"""The messages to a KVM about its events and threads, design by design."""

from __future__ import annotations

from msgspec.structs import replace

from contract.control import PerfSnapshot
from contract.design import Design, Event, HostEvents, Notifier, Precedence, Save
from contract.machine import Controls, Enter, Ran
from contract.messages import (
    Available,
    EnableEvent,
    EventCreated,
    RegisterVcpu,
    Revoke,
    SchedIn,
    SchedOut,
)
from contract.results import PerfView
from tests.cases import cases
from tests.designs import DESIGNS, MERGED, REVOKE_GP
from tests.perfcore_svc.hosts import make_host
from tests.perfcore_svc.kvm import Kvm, revocable

# Grants ----------------------------------------------------------------------------------------------------


def test_creation_can_grant_or_deny_at_once() -> None:
    host, _, created = revocable()
    assert (created.state, created.grant) == ("ACTIVE", 1)
    host = make_host(design=REVOKE_GP, running="v")
    host.open("P", "any", pinned=True)
    created = Kvm(host).create()
    assert (created.state, created.grant) == ("ERROR", 0)


def test_losing_to_the_host_is_a_revoke_of_the_grant() -> None:
    host, kvm, created = revocable()
    host.open("P", "any", pinned=True)
    (revoke,) = kvm.told()
    assert isinstance(revoke, Revoke)
    assert (revoke.event, revoke.grant) == (created.event, created.grant)
    assert "ERROR" in revoke.reason


def test_ones_own_switch_is_no_news_of_the_event_and_leaves_the_grant() -> None:
    host, kvm, created = revocable()
    host.run("")
    assert kvm.told() == [SchedOut("v", 0)]
    host.run("v")
    assert kvm.told() == [SchedIn("v", 0, 0, grant=created.grant)]


def test_a_grant_is_in_view_while_the_thread_is_off() -> None:
    host, _, created = revocable()
    host.run("")
    view = host.command(PerfSnapshot())
    assert isinstance(view, PerfView)
    assert [(e.event, e.state, e.grant) for e in view.guest_events] == [(created.event, "INACTIVE", created.grant)]


@cases("event", [Event.TASK_PINNED, Event.TASK_FLEXIBLE])
def test_a_thread_that_comes_back_to_a_taken_lbr_has_lost_its_grant(event: Event) -> None:
    host, kvm, created = revocable(event=event)
    host.run("")
    host.open("P", "any", pinned=True)
    kvm.told()
    host.run("v")
    revoke, sched_in = kvm.told()
    assert isinstance(revoke, Revoke)
    assert (revoke.event, revoke.grant) == (created.event, created.grant)
    assert isinstance(sched_in, SchedIn)
    assert sched_in.grant == 0


def test_a_guest_in_guest_mode_is_told_too() -> None:
    host, kvm, _ = revocable()
    assert isinstance(host.request(Enter("v", 0, Controls(0, True), [])), Ran)
    host.open("P", "any", pinned=True)
    assert [type(m) for m in kvm.told()] == [Revoke]


def test_an_event_that_is_off_and_on_in_one_piece_keeps_its_grant() -> None:
    host, kvm, created = revocable()
    host.open("plain", pinned=True)
    assert kvm.told() == []
    assert host.lease(created.event)[0] == created.grant


def test_grants_grow_over_all_vcpus() -> None:
    host, kvm, created = revocable()
    kvm.tell(RegisterVcpu("w", "w"))
    host.run("w")
    kvm.told()
    second = kvm.create("w", 2)
    host.run("v")
    host.run("w")
    back = [(m.vcpu, m.grant) for m in kvm.told() if isinstance(m, SchedIn)]
    assert back == [("v", created.grant), ("w", second.grant)]
    host.open("P", "any", pinned=True)
    host.close("P")
    kvm.told()
    kvm.tell(EnableEvent("w", 3, second.event))
    assert kvm.told() == [EventCreated("w", 3, second.event, "", "ACTIVE", 3)]
    assert (created.grant, second.grant) == (1, 2)


# Available -------------------------------------------------------------------------------------------------


def test_available_comes_once_for_each_loss() -> None:
    host, kvm, created = revocable()
    host.open("P", "any", pinned=True)
    host.open("Q", "any", pinned=True)
    kvm.told()
    host.close("P")
    assert kvm.told() == [], "Q holds it still"
    host.close("Q")
    assert kvm.told() == [Available(created.event, 0)]
    host.open("P", "any", pinned=True)
    host.close("P")
    assert kvm.told() == [], "no second loss"

    kvm.tell(EnableEvent("v", 2, created.event))
    kvm.told()
    host.open("P", "any", pinned=True)
    assert [type(m) for m in kvm.told()] == [Revoke]
    host.close("P")
    assert kvm.told() == [Available(created.event, 0)]


def test_no_available_without_that_recovery() -> None:
    host = make_host(design=replace(REVOKE_GP, recovery=MERGED.recovery), running="v")
    kvm = Kvm(host)
    kvm.create()
    host.open("P", "any", pinned=True)
    host.close("P")
    assert [type(m) for m in kvm.told()] == [Revoke]


# Preempt notifiers -----------------------------------------------------------------------------------------


@cases("design", list(DESIGNS.values()), ids=lambda d: d.name)
def test_threads_are_followed_and_the_ring_rides_along_only_where_kvm_saves(design: Design) -> None:
    host = make_host(design=design, running="v")
    kvm = Kvm(host)
    host.machine.cpus[0].lbr.from_ip[:] = [1, 2, 3, 4]
    host.run("t")
    (out,) = kvm.told()
    assert isinstance(out, SchedOut)
    assert (out.vcpu, out.cpu) == ("v", 0)
    assert (out.lbr.from_ip if out.lbr else None) == ([1, 2, 3, 4] if design.save is Save.KVM_SWITCH else None)
    host.run("v")
    assert kvm.told() == [SchedIn("v", 0, 0)]


def test_sched_in_carries_the_hosts_debugctl_of_that_moment() -> None:
    host = make_host(running="t")
    kvm = Kvm(host)
    host.open("P", "any", pinned=True)
    host.run("v")
    assert kvm.told() == [SchedIn("v", 0, 1 | 1 << 11)]


def test_threads_of_nobody_are_not_followed() -> None:
    host = make_host(running="v")
    kvm = Kvm(host)
    host.run("w")
    host.run("t")
    assert [m.vcpu for m in kvm.told() if isinstance(m, SchedIn | SchedOut)] == ["v"]


SILENT = [
    design
    for design in DESIGNS.values()
    if design.notifier is Notifier.NONE
    and design.precedence is Precedence.PERF_ORDER
    and design.host_events is HostEvents.UNAFFECTED
]
"""Those that let the host take the LBR from a guest and have no notifier."""


@cases("design", SILENT, ids=lambda d: d.name)
def test_without_a_notifier_losses_are_silent(design: Design) -> None:
    host = make_host(design=design, running="v")
    kvm = Kvm(host)
    if design.event is not Event.NONE:
        kvm.create()
    assert host.open("P", "any", pinned=True) == ""
    host.close("P")
    assert kvm.told() == []
