"""R18: the host events that wait for a guest, computed on a copy of the host, and changes during a wait."""

from __future__ import annotations

from contract.control import Enable, FireHostTimer
from contract.design import Takes
from contract.messages import (
    Ack,
    Available,
    CreateEvent,
    EnableEvent,
    EventCreated,
    EventState,
    Revoke,
    SchedIn,
    SchedOut,
)
from contract.spec import LEASE_NS
from contract.trace import HostWait
from tests.designs import REVOKE_ACK
from tests.perfcore_svc.hosts import Host, make_host
from tests.perfcore_svc.kvm import Kvm
from tests.perfcore_svc.test_acknowledged import MS, WAITS, granted, take, waiting

# Who waits -------------------------------------------------------------------------------------------------


def test_a_sibling_opened_into_a_group_that_is_on_waits() -> None:
    host, _, _ = granted()
    host.open("L", pinned=True)
    assert host.open("S", "any", group="L") == WAITS


def test_an_exclusive_event_that_puts_the_guest_off_waits() -> None:
    host, _, _ = granted()
    assert host.open("X", pinned=True, exclusive=True) == WAITS


def test_a_counter_that_puts_the_guest_off_waits() -> None:
    host, _, _ = granted(takes=Takes.COUNTER)
    for name in "abc":
        host.open(name, pinned=True)
    assert host.open("d", pinned=True) == WAITS


def test_an_event_of_the_same_class_with_an_older_place_waits() -> None:
    host = make_host(design=REVOKE_ACK, running="v")
    take(host, "A", task="v", disabled=True)
    Kvm(host).create()
    assert host.do(Enable("A")) == WAITS


def test_a_guest_that_came_on_during_the_wait_is_waited_for_as_well() -> None:
    host = make_host(design=REVOKE_ACK, running="w")
    kvm = Kvm(host, vcpus=("v", "w"))
    kvm.create("w", 1)
    host.run("v")
    kvm.told()
    kvm.create("v", 2)
    take(host)
    host.run("w")
    kvm.tell(Ack(2))
    assert host.states()["vlbr:w"] == "A"


def test_a_group_waits_for_the_sake_of_a_sibling_that_is_enabled_with_it() -> None:
    host, kvm, _ = granted()
    host.open("L", pinned=True, disabled=True)
    host.open("S", "any", group="L", disabled=True)
    assert host.do(Enable("L", group=True)) == WAITS
    kvm.tell(Ack(1))
    assert host.states() == {"vlbr:v": "ERR", "L": "A", "S": "A"}


# Who does not ----------------------------------------------------------------------------------------------


def test_enabling_a_leader_whose_lbr_sibling_is_off_takes_nothing_from_the_guest() -> None:
    host, kvm, _ = granted()
    host.open("L", pinned=True, disabled=True)
    host.open("S", "any", group="L", disabled=True)
    assert host.do(Enable("L")) == ""
    assert kvm.told() == []


def test_an_event_that_finds_no_counter_takes_nothing_from_the_guest() -> None:
    host, kvm, _ = granted()
    for name in "abcd":
        host.open(name, pinned=True)
    assert take(host) == ""
    assert (host.states()["P"], kvm.told()) == ("ERR", [])


# Meanwhile -------------------------------------------------------------------------------------------------


def test_another_session_does_not_acknowledge_for_this_one() -> None:
    host, _, created = waiting()
    Kvm(host, "o", ("w",)).tell(Ack(created.grant))
    assert host.states()["P"] == "OFF"


def test_a_guest_that_moved_away_during_the_wait_hears_that_it_has_the_lbr_there() -> None:
    host = make_host(cpus=2, design=REVOKE_ACK, running="v")
    kvm = Kvm(host)
    created = kvm.create()
    take(host)
    host.run("v", 1)
    kvm.told()
    kvm.tell(Ack(created.grant))
    assert host.states() == {"vlbr:v": "A", "P": "A"}
    assert [m for m in kvm.told() if isinstance(m, EventState | Available)]


def test_an_event_may_be_closed_while_its_enable_waits() -> None:
    host, kvm, _ = granted()
    take(host, disabled=True)
    host.do(Enable("P"))
    kvm.told()
    host.close("P")
    assert kvm.told() == [EventState(1, "ACTIVE", 0, 2, MS + LEASE_NS)], "the guest keeps its event, and hears of it"
    kvm.tell(Ack(1))
    assert host.states() == {"vlbr:v": "A"}


def test_an_event_may_be_closed_while_its_group_waits() -> None:
    host, kvm, _ = granted()
    take(host, "L", disabled=True)
    host.open("S", group="L", disabled=True)
    host.do(Enable("L", group=True))
    kvm.told()
    host.close("S")
    assert kvm.told() == [], "L waits on"
    kvm.tell(Ack(1))
    assert host.states() == {"vlbr:v": "ERR", "L": "A"}


def test_the_name_of_an_event_that_was_closed_while_its_enabler_slept_is_free_again() -> None:
    host, kvm, _ = granted()
    take(host, disabled=True)
    host.do(Enable("P"))
    kvm.tell(Ack(1))
    host.close("P")
    assert take(host) == ""
    assert "P" in host.states()


def test_a_guest_keeps_nothing_while_a_second_host_event_waits() -> None:
    host, kvm, _ = waiting()
    take(host, "Q")
    host.close("P")
    assert kvm.told() == []
    assert host.states() == {"vlbr:v": "A", "Q": "OFF"}
    kvm.tell(Ack(1))
    assert host.states() == {"vlbr:v": "ERR", "Q": "A"}


def test_of_an_event_whose_grant_is_being_ended_there_is_no_other_news() -> None:
    host = make_host(cpus=2, design=REVOKE_ACK, running="v")
    kvm = Kvm(host)
    kvm.create()
    take(host)
    take(host, "there", cpu=1)
    kvm.told()
    host.run("v", 1)
    assert host.states()["vlbr:v"] == "ERR"
    assert [type(m) for m in kvm.told()] == [SchedOut, SchedIn]


# Two sessions ----------------------------------------------------------------------------------------------


def two_guests_of_one_task() -> tuple[Host, Kvm, Kvm]:
    """Events of two KVMs' guests that follow task t share the private slot; P waits for both."""
    host = make_host(design=REVOKE_ACK, running="t")
    one, other = Kvm(host), Kvm(host, "o", ("w",))
    for kvm, vcpu in ((one, "v"), (other, "w")):
        kvm.tell(CreateEvent(vcpu, 1, "t"))
    host.drain()
    take(host)
    return host, one, other


def test_each_session_is_told_of_its_own_loss() -> None:
    host, _, _ = two_guests_of_one_task()
    revoked = [(e.session, e.body.event) for e in host.drain() if isinstance(e.body, Revoke)]
    assert revoked == [("k", 1), ("o", 2)]


def test_both_have_to_acknowledge() -> None:
    host, one, other = two_guests_of_one_task()
    one.tell(Ack(1))
    assert host.states()["P"] == "OFF"
    other.tell(Ack(2))
    assert host.states() == {"vlbr:v": "ERR", "vlbr:w": "ERR", "P": "A"}


def test_who_comes_later_waits_for_what_is_not_acknowledged_yet() -> None:
    host, one, other = two_guests_of_one_task()
    one.tell(Ack(1))
    host.news()
    take(host, "Q")
    assert [(r.name, r.grants) for r in host.log.records if isinstance(r, HostWait)] == [("Q", [2])]
    other.tell(Ack(2))
    assert host.states() == {"vlbr:v": "ERR", "vlbr:w": "ERR", "P": "A", "Q": "A"}


def test_who_waits_for_nothing_more_goes_on_at_once() -> None:
    host, one, other = two_guests_of_one_task()
    one.tell(Ack(1))
    take(host, "Q", disabled=True)
    host.grants.revocations.begin([host.perf.named["Q"]], [host.perf.events[1]])
    other.tell(Ack(2))
    assert host.states()["Q"] == "A"


def test_a_sessions_lease_timer_ends_its_own_leases() -> None:
    host = make_host(cpus=2, design=REVOKE_ACK, running="v")
    host.run("w", 1)
    Kvm(host).create()
    Kvm(host, "o", ("w",)).create("w")
    take(host, "P")
    take(host, "Q", cpu=1)
    host.advance(LEASE_NS)
    host.do(FireHostTimer("k", "lease"))
    assert host.states() == {"vlbr:v": "ERR", "vlbr:w": "A", "P": "A", "Q": "OFF"}
    host.do(FireHostTimer("o", "lease"))
    assert host.states()["Q"] == "A"


# Grants that there are not ---------------------------------------------------------------------------------


def test_without_a_grant_there_is_no_end_of_one() -> None:
    host, kvm, created = waiting()
    host.run("")
    host.run("v")
    kvm.tell(Ack(created.grant))
    kvm.tell(EnableEvent("v", 2, created.event))
    untils = [(m.grant, m.expires) for m in kvm.told() if isinstance(m, SchedIn | EventCreated)]
    assert untils == [(0, 0), (0, 0)]
