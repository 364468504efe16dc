"""R6: what a grant outlives, what ends it, and what KVM is told of either, by design."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from contract.design import Design, EntryCheck, Event, Notifier, Recovery
from contract.machine import AnyReply, Look, MsrDone
from contract.messages import (
    Available,
    CreateEvent,
    EnableEvent,
    EventCreated,
    EventState,
    RegisterVcpu,
    ReleaseEvent,
    Revoke,
    SchedIn,
    SchedOut,
)
from contract.trace import Discard, HostMsr, Send
from tests.cases import cases
from tests.designs import MERGED, REVOKE_GP, V7
from tests.perfcore_svc.hosts import Host, make_host
from tests.perfcore_svc.kvm import Kvm, revocable

FENCE_ALONE: dict[str, object] = {
    "notifier": Notifier.NONE,
    "entry_check": EntryCheck.FENCE,
    "recovery": Recovery.ASKS_AGAIN,
}


def lose(host: Host, name: str = "P", cpu: int = 0) -> None:
    host.open(name, "any", cpu=cpu, pinned=True)


def look(host: Host, event: int, grant: int, cpu: int = 0) -> bool:
    reply: AnyReply = host.request(Look("v", cpu, event, grant))
    assert isinstance(reply, MsrDone)
    return reply.met


# The thread's own switches ---------------------------------------------------------------------------------


def test_a_grant_outlives_the_threads_own_switches() -> None:
    host, kvm, created = revocable()
    for _ in range(3):
        host.run("t")
        assert kvm.told() == [SchedOut("v", 0)]
        host.run("v")
        assert kvm.told() == [SchedIn("v", 0, 0, created.grant)]
    assert look(host, created.event, created.grant)


def test_a_grant_follows_the_thread_to_another_cpu() -> None:
    host = make_host(cpus=2, design=REVOKE_GP, running="v")
    kvm = Kvm(host)
    created = kvm.create()
    host.run("v", 1)
    assert kvm.told() == [SchedOut("v", 0), SchedIn("v", 1, 0, created.grant)]
    assert look(host, created.event, created.grant, cpu=1)


def test_a_host_that_had_the_lbr_while_the_thread_was_off_took_it_from_nobody() -> None:
    host, kvm, created = revocable()
    host.run("")
    lose(host)
    host.close("P")
    host.run("v")
    assert kvm.told() == [SchedOut("v", 0), SchedIn("v", 0, 0, created.grant)]


def test_being_put_off_and_on_in_one_piece_ends_no_grant() -> None:
    host, kvm, created = revocable()
    host.open("plain", pinned=True)
    assert kvm.told() == []
    assert look(host, created.event, created.grant)


# Loss ------------------------------------------------------------------------------------------------------


def test_a_loss_ends_the_grant_and_says_so() -> None:
    host, kvm, created = revocable()
    lose(host)
    assert kvm.told() == [Revoke(created.event, created.grant, "the event is ERROR on cpu0")]
    assert not look(host, created.event, created.grant)


def test_a_loss_at_switch_in_ends_it_too_before_the_thread_is_said_to_be_on() -> None:
    host = make_host(cpus=2, design=REVOKE_GP, running="v")
    kvm = Kvm(host)
    created = kvm.create()
    lose(host, cpu=1)
    assert kvm.told() == [], "on another CPU"
    host.run("v", 1)
    assert kvm.told() == [
        SchedOut("v", 0),
        Revoke(created.event, created.grant, "the event is ERROR on cpu1"),
        SchedIn("v", 1, 1 | 1 << 11, 0),
    ]


def test_what_was_lost_is_lost_once() -> None:
    host, kvm, _ = revocable()
    lose(host)
    kvm.told()
    host.run("t")
    host.run("v")
    assert [type(m) for m in kvm.told()] == [SchedOut, SchedIn]


def test_a_flexible_event_is_told_that_it_is_off_and_on_again() -> None:
    host, kvm, created = revocable(event=Event.TASK_FLEXIBLE)
    host.open("F", "any")
    assert kvm.told() == [Revoke(created.event, 1, "the event is INACTIVE on cpu0")]
    host.close("F")
    host.open("plain")
    assert kvm.told() == [EventState(created.event, "ACTIVE", 0, 2)]


def test_a_flexible_event_that_was_never_on_has_no_grant_to_lose() -> None:
    host = make_host(design=replace(REVOKE_GP, event=Event.TASK_FLEXIBLE), running="v")
    kvm = Kvm(host)
    host.open("F", "any")
    created = kvm.create()
    assert (created.state, created.grant) == ("INACTIVE", 0)
    host.close("F")
    host.tick()
    assert kvm.told() == [EventState(created.event, "ACTIVE", 0, 1)]


def test_a_loss_at_a_tick_is_a_loss_though_the_next_tick_of_the_same_advance_gives_it_back() -> None:
    host, kvm, created = revocable(event=Event.TASK_FLEXIBLE)
    for name in "abc":
        host.open(name, pinned=True)
    host.open("D")
    host.open("F", "any")
    assert host.states()["vlbr:v"] == "A", "F waits for the counter of D"
    assert kvm.told() == []
    host.tick()
    host.news()
    assert [m.grant for m in kvm.told() if isinstance(m, Revoke)] == [created.grant]
    start = host.log.now
    host.advance(8_000_000)
    assert [m.grant for m in kvm.told() if isinstance(m, EventState | Revoke)] == [2, 2]
    times = [r.time - start for r in host.log.records if isinstance(r, Send)]
    assert times == [4_000_000, 8_000_000]


def test_a_flexible_event_that_finds_the_lbr_taken_at_switch_in_has_lost_it() -> None:
    """It is INACTIVE before and after, so that nobody looks."""
    host, kvm, created = revocable(event=Event.TASK_FLEXIBLE)
    host.run("")
    host.open("F", "any")
    kvm.told()
    host.run("v")
    assert host.states() == {"vlbr:v": "I", "F": "A"}
    assert [m.grant for m in kvm.told() if isinstance(m, Revoke)] == [created.grant]
    host.close("F")
    host.tick()
    host.open("plain")
    assert [m for m in kvm.told() if isinstance(m, EventState)] == [EventState(created.event, "ACTIVE", 0, 2)]


def test_so_has_one_that_follows_another_thread_when_that_thread_comes_back() -> None:
    """A debugger's thread had the event made, and it is switched with that thread."""
    host = make_host(design=replace(REVOKE_GP, event=Event.TASK_FLEXIBLE), running="t")
    kvm = Kvm(host)
    kvm.tell(CreateEvent("v", 1, "t"))
    (created,) = kvm.told()
    assert isinstance(created, EventCreated)
    assert created.grant
    host.run("")
    host.open("F", "any")
    assert kvm.told() == []
    host.run("t")
    assert host.states() == {"vlbr:v": "I", "F": "A"}
    assert kvm.told() == [Revoke(created.event, created.grant, "the LBR of cpu0 is not free")]


# Numbers ---------------------------------------------------------------------------------------------------


def test_every_grant_has_a_number_of_its_own_over_all_sessions() -> None:
    host, _, created = revocable()
    other = Kvm(host, "o", ("w",))
    host.run("w")
    host.drain()
    grants = [created.grant, other.create("w").grant]
    lose(host)
    host.close("P")
    host.drain()
    other.tell(EnableEvent("w", 2, 2))
    (enabled,) = other.told()
    assert isinstance(enabled, EventCreated)
    assert [*grants, enabled.grant] == [1, 2, 3]


def test_a_fresh_event_has_a_fresh_grant() -> None:
    host, kvm, created = revocable()
    kvm.tell(ReleaseEvent(created.event))
    again = kvm.create(request=2)
    assert (again.grant, again.event) == (created.grant + 1, created.event + 1)
    assert not look(host, created.event, created.grant)


def test_at_switch_in_the_newest_event_counts() -> None:
    host, kvm, created = revocable()
    lose(host)
    host.close("P")
    kvm.told()
    second = kvm.create(request=2)
    host.run("")
    host.run("v")
    assert kvm.told()[-1] == SchedIn("v", 0, 0, second.grant)
    assert second.grant > created.grant


# Enable ----------------------------------------------------------------------------------------------------


def test_enable_is_answered_by_request_number_with_a_new_grant() -> None:
    host, kvm, created = revocable()
    lose(host)
    host.close("P")
    kvm.told()
    kvm.tell(EnableEvent("v", 9, created.event))
    assert kvm.told() == [EventCreated("v", 9, created.event, "", "ACTIVE", 2)]


def test_enable_where_the_host_still_has_it_ends_in_error_without_a_grant() -> None:
    host, kvm, created = revocable()
    lose(host)
    kvm.told()
    kvm.tell(EnableEvent("v", 9, created.event))
    assert kvm.told() == [EventCreated("v", 9, created.event, "", "ERROR", 0)]


def test_enable_of_what_is_on_changes_no_grant() -> None:
    _, kvm, created = revocable()
    kvm.tell(EnableEvent("v", 9, created.event))
    assert kvm.told() == [EventCreated("v", 9, created.event, "", "ACTIVE", created.grant)]


@cases("event", [99, 2])
def test_enable_of_somebody_elses_event_fails_with_enoent(event: int) -> None:
    host, kvm, _ = revocable()
    host.open("plain", pinned=True, disabled=True)
    kvm.tell(EnableEvent("v", 9, event))
    assert kvm.told() == [EventCreated("v", 9, 0, "ENOENT")]
    assert host.states()["plain"] == "OFF"
    assert [r.rule for r in host.log.records if isinstance(r, Discard)] == ["R1"]


# Available -------------------------------------------------------------------------------------------------


@cases("leave", [Host.close, Host.disable])
def test_available_comes_after_a_loss_at_switch_in_as_well(leave: Callable[[Host, str], None]) -> None:
    host, kvm, created = revocable()
    host.run("")
    lose(host)
    host.run("v")
    kvm.told()
    leave(host, "P")
    assert kvm.told() == [Available(created.event, 0)]


def test_available_comes_where_the_thread_lost_it_though_it_is_off_now() -> None:
    host, kvm, created = revocable()
    lose(host)
    host.run("")
    kvm.told()
    host.close("P")
    assert kvm.told() == [Available(created.event, 0)]


def test_available_comes_when_the_guest_could_have_the_lbr() -> None:
    """An exclusive event leaves the LBR slot free, and keeps the guest off it."""
    host, kvm, created = revocable()
    host.open("X", pinned=True, exclusive=True)
    assert [type(m) for m in kvm.told()] == [Revoke]
    kvm.tell(EnableEvent("v", 2, created.event))
    assert [type(m) for m in kvm.told()] == [EventCreated]
    host.close("X")
    assert kvm.told() == [Available(created.event, 0)]


# Designs that tell less ------------------------------------------------------------------------------------


def test_with_a_fence_alone_grants_are_numbered_and_told_but_no_loss() -> None:
    host, kvm, created = revocable(**FENCE_ALONE)
    assert (created.state, created.grant) == ("ACTIVE", 1)
    lose(host)
    host.close("P")
    assert kvm.told() == []
    assert not look(host, created.event, 1)
    kvm.tell(EnableEvent("v", 2, created.event))
    assert kvm.told() == [EventCreated("v", 2, created.event, "", "ACTIVE", 2)]
    assert look(host, created.event, 2)


def test_with_a_fence_alone_the_grant_is_told_at_switch_in() -> None:
    host, kvm, created = revocable(**FENCE_ALONE)
    host.run("")
    host.run("v")
    lose(host)
    host.run("")
    host.run("v")
    ins = [m.grant for m in kvm.told() if isinstance(m, SchedIn)]
    assert ins == [created.grant, 0]


def test_with_a_fence_alone_a_loss_at_switch_in_is_told_by_the_grant_that_is_not_there() -> None:
    host, kvm, created = revocable(event=Event.TASK_FLEXIBLE, **FENCE_ALONE)
    host.run("")
    host.open("F", "any")
    host.run("v")
    assert [m.grant for m in kvm.told() if isinstance(m, SchedIn | Revoke)] == [0]
    assert not look(host, created.event, created.grant)


@cases("design", [V7, MERGED], ids=lambda d: d.name)
def test_without_notifier_and_fence_nobody_numbers_grants(design: Design) -> None:
    host = make_host(design=design, running="v")
    kvm = Kvm(host)
    created = kvm.create()
    host.run("")
    host.run("v")
    assert (created.grant, created.state, created.expires) == (0, "", 0)
    assert kvm.told() == [SchedOut("v", 0), SchedIn("v", 0, 0, 0)]
    assert host.grants.state.newest == 0


def test_a_grant_has_no_end_unless_the_host_waits_for_kvm() -> None:
    host, kvm, created = revocable()
    host.advance(1_000)
    host.run("")
    host.run("v")
    assert created.expires == 0
    assert [m.expires for m in kvm.told() if isinstance(m, SchedIn)] == [0]


# Threads ---------------------------------------------------------------------------------------------------


def test_registering_a_running_thread_says_where_it_is() -> None:
    host = make_host(design=REVOKE_GP, running="v")
    kvm = Kvm(host, vcpus=())
    host.machine.cpus[0].debugctl = 2
    kvm.tell(RegisterVcpu("v", "v"))
    assert kvm.told() == [SchedIn("v", 0, 2)]
    kvm.tell(RegisterVcpu("v", "v"))
    assert kvm.told() == []


def test_registering_a_thread_that_is_off_says_nothing() -> None:
    host = make_host(design=REVOKE_GP, running="t")
    kvm = Kvm(host, vcpus=())
    kvm.tell(RegisterVcpu("v", "v"))
    assert kvm.told() == []


def test_a_look_leaves_no_record() -> None:
    host, _, created = revocable()
    look(host, created.event, created.grant)
    assert not [r for r in host.log.records if isinstance(r, HostMsr)]
