"""R18 and R19: the host takes the LBR from a guest once KVM has acknowledged it, or the lease is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from contract.control import Enable, FireHostTimer
from contract.design import Admission, Notifier
from contract.errors import RefusedError
from contract.machine import Check, Controls, Enter, Look, MsrDone, Ran, Rdmsr
from contract.messages import Ack, EventCreated, EventState, ReleaseEvent, Renew, Revoke, SchedIn, SchedOut
from contract.spec import LEASE_NS
from contract.trace import Discard, HostWait, HostWake, Timer
from contract.x86 import MSR_LBR_TOS
from tests.cases import cases
from tests.designs import REVOKE_ACK
from tests.perfcore_svc.hosts import Host, make_host, picture
from tests.perfcore_svc.kvm import Kvm, revocable

WAITS = "EINPROGRESS"
MS = 1_000_000


def granted(**axes: object) -> tuple[Host, Kvm, EventCreated]:
    """A host that waits for KVM, and has granted v the LBR at 1 ms."""
    host = make_host(design=replace(REVOKE_ACK, **axes), running="v")
    kvm = Kvm(host)
    host.advance(MS)
    return host, kvm, kvm.create()


def take(host: Host, name: str = "P", *branch: str, **options: Any) -> str:
    return host.open(name, *(branch or ("any",)), pinned=True, **options)


def waiting(**axes: object) -> tuple[Host, Kvm, EventCreated]:
    """P waits for the LBR of v."""
    host, kvm, created = granted(**axes)
    assert take(host) == WAITS
    kvm.told()
    host.news()
    return host, kvm, created


def timers(host: Host) -> list[int]:
    return [r.due for r in host.log.records if isinstance(r, Timer)]


def wakes(host: Host) -> list[tuple[str, str]]:
    return [(r.name, r.reason) for r in host.log.records if isinstance(r, HostWake)]


def fire(host: Host, session: str = "k", what: str = "lease") -> None:
    host.do(FireHostTimer(session, what))


# It waits --------------------------------------------------------------------------------------------------


def test_an_open_that_would_take_the_lbr_sleeps_and_the_guest_keeps_its_event() -> None:
    host, kvm, created = granted()
    assert take(host) == WAITS
    assert host.states() == {"vlbr:v": "A", "P": "OFF"}
    assert kvm.told() == [Revoke(created.event, created.grant, "P waits for the LBR of cpu0")]


def test_the_wait_and_its_timer_are_on_record() -> None:
    host, _, created = granted()
    host.news()
    take(host)
    until = MS + LEASE_NS
    assert [(r.name, r.grants) for r in host.log.records if isinstance(r, HostWait)] == [("P", [created.grant])]
    (timer,) = [r for r in host.log.records if isinstance(r, Timer)]
    assert (timer.session, timer.to_host, timer.timer, timer.due, timer.awaited) == ("k", False, "lease", until, True)


def test_the_revoked_grant_is_the_current_one_no_longer() -> None:
    host, _, created = waiting()
    assert host.request(Look("v", 0, created.event)) == MsrDone(True)
    assert host.request(Look("v", 0, created.event, created.grant)) == MsrDone(False)
    check = Check(created.event, when_active=True, otherwise=False, grant=created.grant)
    assert not isinstance(host.request(Enter("v", 0, Controls(0, True, check=check), [Rdmsr(MSR_LBR_TOS)])), Ran)


def test_the_same_open_said_again_is_the_same_call() -> None:
    host, kvm, _ = waiting()
    assert take(host) == WAITS
    assert (kvm.told(), host.log.records) == ([], [])
    kvm.tell(Ack(1))
    assert take(host) == ""
    assert host.states()["P"] == "A"
    with pytest.raises(RefusedError) as error:
        take(host)
    assert error.value.errno == "EEXIST"


def test_an_enable_sleeps_as_an_open_does() -> None:
    host, kvm, created = granted()
    assert take(host, disabled=True) == ""
    assert host.do(Enable("P")) == host.do(Enable("P")) == WAITS
    assert host.states() == {"vlbr:v": "A", "P": "OFF"}
    assert kvm.told() == [Revoke(created.event, created.grant, "P waits for the LBR of cpu0")]
    kvm.tell(Ack(1))
    assert host.do(Enable("P")) == ""
    assert host.states() == {"vlbr:v": "ERR", "P": "A"}
    assert host.do(Enable("P")) == ""


def test_a_group_that_is_enabled_waits_and_wakes_as_one() -> None:
    host, kvm, _ = granted()
    take(host, "L", disabled=True)
    host.open("S", group="L", disabled=True)
    assert host.do(Enable("L", group=True)) == WAITS
    assert host.states() == {"vlbr:v": "A", "L": "OFF", "S": "OFF"}
    kvm.tell(Ack(1))
    assert host.states() == {"vlbr:v": "ERR", "L": "A", "S": "A"}


def test_a_sibling_that_wants_the_lbr_waits_when_it_is_enabled() -> None:
    host, kvm, _ = granted()
    host.open("L", pinned=True)
    host.open("S", "any", group="L", disabled=True)
    assert host.do(Enable("S")) == WAITS
    kvm.tell(Ack(1))
    assert host.states() == {"vlbr:v": "ERR", "L": "A", "S": "A"}


# The end of the wait ---------------------------------------------------------------------------------------


def test_an_acknowledgement_completes_it() -> None:
    host, kvm, created = waiting()
    kvm.tell(Ack(created.grant))
    assert host.states() == {"vlbr:v": "ERR", "P": "A"}
    assert wakes(host) == [("P", "acknowledged")]
    assert timers(host) == [-1]
    assert kvm.told() == [EventState(created.event, "ERROR", -1)]


def test_the_end_of_the_lease_completes_it() -> None:
    host, kvm, created = waiting()
    host.advance(LEASE_NS)
    fire(host)
    assert host.states() == {"vlbr:v": "ERR", "P": "A"}
    assert wakes(host) == [("P", "the lease is over")]
    assert timers(host) == [-1]
    assert kvm.told() == [EventState(created.event, "ERROR", -1)]


def test_one_nanosecond_before_it_is_not_the_end_of_the_lease() -> None:
    host, _, _ = waiting()
    host.advance(LEASE_NS - 1)
    fire(host)
    assert host.states() == {"vlbr:v": "A", "P": "OFF"}
    assert wakes(host) == []


def test_the_release_of_the_guests_event_completes_it() -> None:
    host, kvm, created = waiting()
    kvm.tell(ReleaseEvent(created.event))
    assert host.states() == {"P": "A"}
    assert wakes(host) == [("P", "acknowledged")]
    assert kvm.told() == []


@cases("grant", [0, 2, 99])
def test_the_acknowledgement_of_another_grant_does_not(grant: int) -> None:
    host, kvm, _ = waiting()
    kvm.tell(Ack(grant))
    assert host.states() == {"vlbr:v": "A", "P": "OFF"}


def test_the_release_of_another_event_does_not() -> None:
    host, kvm, _ = waiting()
    host.run("")
    second = host.perf.open_guest("vlbr:v", "v")
    kvm.tell(ReleaseEvent(second.id))
    assert host.states()["P"] == "OFF"


def test_an_acknowledgement_that_nobody_waits_for_changes_nothing() -> None:
    host, kvm, created = granted()
    kvm.tell(Ack(created.grant))
    assert kvm.told() == []
    assert host.lease(created.event)[0] == created.grant
    assert take(host) == WAITS


def test_a_late_acknowledgement_does_no_harm() -> None:
    host, kvm, _ = waiting()
    host.advance(LEASE_NS)
    fire(host)
    kvm.tell(Ack(1))
    assert host.states() == {"vlbr:v": "ERR", "P": "A"}


def test_the_thread_may_come_and_go_meanwhile_and_gets_no_grant() -> None:
    host, kvm, created = waiting()
    host.run("")
    host.run("v")
    out, back = kvm.told()
    assert out == SchedOut("v", 0)
    assert isinstance(back, SchedIn)
    assert back.grant == 0
    assert host.states() == {"vlbr:v": "A", "P": "OFF"}
    kvm.tell(Ack(created.grant))
    assert host.states() == {"vlbr:v": "ERR", "P": "A"}


# Leases ----------------------------------------------------------------------------------------------------


def test_a_grant_tells_until_when_it_holds() -> None:
    host, kvm, created = granted()
    assert created.expires == MS + LEASE_NS
    host.run("")
    host.run("v")
    assert [m.expires for m in kvm.told() if isinstance(m, SchedIn)] == [created.expires]


def test_a_renewed_grant_holds_on_from_that_moment() -> None:
    host, kvm, created = granted()
    host.advance(4 * MS)
    kvm.tell(Renew(created.grant))
    until = 5 * MS + LEASE_NS
    assert kvm.told() == [EventState(created.event, "ACTIVE", 0, created.grant, until)]
    host.news()
    take(host)
    assert timers(host) == [until]


def test_a_grant_can_be_renewed_while_its_thread_is_off() -> None:
    host, kvm, created = granted()
    host.run("")
    kvm.told()
    kvm.tell(Renew(created.grant))
    assert kvm.told() == [EventState(created.event, "INACTIVE", -1, created.grant, MS + LEASE_NS)]


def test_a_revoked_grant_is_not_renewed_but_revoked_once_more() -> None:
    host, kvm, created = waiting()
    host.advance(MS)
    kvm.tell(Renew(created.grant))
    (again,) = kvm.told()
    assert isinstance(again, Revoke)
    assert (again.event, again.grant) == (created.event, created.grant)
    host.advance(LEASE_NS - MS)
    fire(host)
    assert host.states()["P"] == "A"


@cases("grant", [0, 2, 99])
def test_a_grant_that_there_is_not_is_not_renewed(grant: int) -> None:
    host, kvm, created = granted()
    kvm.tell(Renew(grant))
    assert kvm.told() == []
    assert [r.rule for r in host.log.records if isinstance(r, Discard)] == ["R6"]
    assert host.lease(created.event)[1] == created.expires


def test_a_grant_that_is_over_is_not_renewed() -> None:
    host, kvm, created = waiting()
    kvm.tell(Ack(created.grant))
    kvm.told()
    kvm.tell(Renew(created.grant))
    assert kvm.told() == []
    assert [r.rule for r in host.log.records if isinstance(r, Discard)] == ["R6"]


def test_nobody_renews_another_sessions_grant() -> None:
    host, _, created = granted()
    other = Kvm(host, "o", ("w",))
    host.advance(MS)
    other.tell(Renew(created.grant))
    assert host.drain() == []
    assert host.lease(created.event)[1] == created.expires


def test_a_lease_that_ran_out_unnoticed_is_waited_for_no_longer() -> None:
    host, _, _ = granted()
    host.advance(2 * LEASE_NS)
    assert take(host) == WAITS
    fire(host)
    assert host.states() == {"vlbr:v": "ERR", "P": "A"}


# Several of them -------------------------------------------------------------------------------------------


def test_a_second_host_event_waits_too_without_another_revoke() -> None:
    host, kvm, _ = waiting()
    assert take(host, "Q") == WAITS
    assert kvm.told() == []
    assert [(r.name, r.grants) for r in host.log.records if isinstance(r, HostWait)] == [("Q", [1])]
    kvm.tell(Ack(1))
    assert host.states() == {"vlbr:v": "ERR", "P": "A", "Q": "A"}
    assert wakes(host) == [("P", "acknowledged"), ("Q", "acknowledged")]


def test_the_end_of_the_lease_is_the_end_for_all_who_wait() -> None:
    host, _, _ = waiting()
    host.advance(MS)
    take(host, "Q")
    host.advance(LEASE_NS - MS)
    fire(host)
    assert host.states() == {"vlbr:v": "ERR", "P": "A", "Q": "A"}


def test_after_the_wait_the_next_host_event_finds_nobody_to_wait_for() -> None:
    host, kvm, _ = waiting()
    kvm.tell(Ack(1))
    assert take(host, "Q") == ""
    assert host.states() == {"vlbr:v": "ERR", "P": "A", "Q": "A"}


def two_cpus() -> tuple[Host, Kvm]:
    """v has grant 1 on cpu0 until 10 ms, w has grant 2 on cpu1 until 13 ms."""
    host = make_host(cpus=2, design=REVOKE_ACK, running="v")
    host.run("w", 1)
    kvm = Kvm(host, vcpus=("v", "w"))
    kvm.create("v", 1)
    host.advance(3 * MS)
    kvm.create("w", 2)
    host.news()
    return host, kvm


def test_waits_on_two_cpus_end_each_by_its_own_grant() -> None:
    host, kvm = two_cpus()
    assert (take(host, "P"), take(host, "Q", cpu=1)) == (WAITS, WAITS)
    kvm.tell(Ack(2))
    assert host.states() == {"vlbr:v": "A", "vlbr:w": "ERR", "P": "OFF", "Q": "A"}
    kvm.tell(Ack(1))
    assert host.states() == {"vlbr:v": "ERR", "vlbr:w": "ERR", "P": "A", "Q": "A"}


def test_a_sessions_timer_is_due_with_the_first_of_its_leases() -> None:
    host, _ = two_cpus()
    take(host, "Q", cpu=1)
    take(host, "P")
    assert timers(host) == [3 * MS + LEASE_NS, LEASE_NS]
    host.advance(LEASE_NS - 3 * MS)
    fire(host)
    assert host.states() == {"vlbr:v": "ERR", "vlbr:w": "A", "P": "A", "Q": "OFF"}
    assert timers(host)[2:] == [3 * MS + LEASE_NS]
    host.advance(3 * MS)
    fire(host)
    assert host.states()["Q"] == "A"
    assert timers(host)[3:] == [-1]


def test_a_timer_that_stays_is_not_put_on_record_again() -> None:
    host, _ = two_cpus()
    take(host, "P")
    take(host, "Q", cpu=1)
    assert timers(host) == [LEASE_NS]


# Who need not wait -----------------------------------------------------------------------------------------

Asks = Callable[[Host], str]
UNHINDERED: dict[str, Asks] = {
    "a CPU-flexible event": lambda host: host.open("P", "any"),
    "a pinned event of the vCPU's thread": lambda host: take(host, task="v"),
    "a plain counter": lambda host: host.open("P", pinned=True),
    "an event that is off": lambda host: take(host, disabled=True),
    "an event of another task": lambda host: take(host, task="t"),
    "a member of a group that is off": lambda host: (
        host.open("L", pinned=True, disabled=True) or host.open("P", "any", group="L")
    ),
}


@cases("who", UNHINDERED)
def test_who_takes_the_lbr_from_nobody_does_not_wait(who: str) -> None:
    host, kvm, created = granted()
    assert UNHINDERED[who](host) == ""
    assert kvm.told() == []
    assert host.lease(created.event)[0] == created.grant
    assert host.states()["vlbr:v"] == "A"


def test_nor_does_who_is_on_another_cpu() -> None:
    host, _ = two_cpus()
    host.run("", 1)
    assert take(host, "Q", cpu=1) == ""


def test_nor_does_who_shares_the_guests_filter() -> None:
    host, kvm, _ = granted(admission=Admission.ORDINARY_SLOT)
    assert take(host, "P", "call_stack", privilege=["user"]) == ""
    assert host.states() == {"vlbr:v": "A", "P": "A"}
    assert kvm.told() == []


def test_a_guest_whose_thread_is_off_is_not_waited_for() -> None:
    host, kvm, created = granted()
    host.run("")
    assert take(host) == ""
    host.run("v")
    assert [type(m) for m in kvm.told()] == [SchedOut, Revoke, SchedIn]
    assert host.states() == {"vlbr:v": "ERR", "P": "A"}
    assert host.lease(created.event)[0] == 0


@cases("notifier", [Notifier.ASYNC, Notifier.NONE])
def test_a_host_that_does_not_wait_for_kvm_takes_it_at_once(notifier: Notifier) -> None:
    axes = {} if notifier is Notifier.ASYNC else {"recovery": "sticky-error", "passthrough": "at-entry"}
    host, _, _ = revocable(notifier=notifier, **axes)
    assert take(host) == ""
    assert host.states() == {"vlbr:v": "ERR", "P": "A"}
    host, _, _ = revocable(notifier=notifier, **axes)
    take(host, disabled=True)
    assert host.do(Enable("P")) == ""
    assert host.states() == {"vlbr:v": "ERR", "P": "A"}


# Timers that there are not ---------------------------------------------------------------------------------


@cases(("session", "what"), [("k", "lease"), ("o", "lease"), ("o", "resend"), ("k", "renew"), ("k", "")])
def test_a_timer_that_there_is_not_cannot_fire(session: str, what: str) -> None:
    host, kvm, _ = granted()
    kvm.told()
    host.news()
    before = picture(host)
    with pytest.raises(RefusedError) as error:
        fire(host, session, what)
    assert error.value.errno == "ENOENT"
    assert picture(host) == before


def test_a_lease_timer_does_not_fire_for_another_session_or_once_the_wait_is_over() -> None:
    host, kvm, _ = waiting()
    Kvm(host, "o", ("w",))
    with pytest.raises(RefusedError):
        fire(host, "o")
    kvm.tell(Ack(1))
    with pytest.raises(RefusedError):
        fire(host)
