"""Leases: a grant that is not prolonged in time is over, KVM prolongs it in time, and every Revoke is acknowledged."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contract.control import FireKvmTimer, GetMsr, Open, SetMsr, VmSpec
from contract.design import Design, StreamDelivery
from contract.errors import RefusedError
from contract.machine import Continue, Exit, GuestValue, Nop, Ran
from contract.messages import (
    Ack,
    Available,
    CreateEvent,
    Envelope,
    EventCreated,
    EventState,
    Received,
    ReleaseEvent,
    Renew,
    Revoke,
    SchedIn,
    SchedOut,
)
from contract.results import Done
from contract.spec import LEASE_NS
from contract.trace import ClaimChange, Granted, HostWake, Timer
from contract.x86 import IA32_DEBUGCTL
from tests.cases import cases
from tests.designs import FENCED, REVOKE_ACK, REVOKE_GP
from tests.kvm_svc.rig import FROM0, KVM, VCPU, Rig
from tests.kvm_svc.told import EVENT, HELD, READ, Told, asked, held, loaded

MS = 1_000_000
GP = [GuestValue(fault=True)]
FIRE = FireKvmTimer("renew")


def leased(until: int = LEASE_NS) -> Told:
    return held(REVOKE_ACK, until=until)


def at(told: Told, ns: int) -> Told:
    told.log.now = ns
    return told


def timers(told: Told | Rig) -> list[int]:
    return [r.due for r in told.records(Timer) if (r.timer, r.to_host, r.awaited) == ("renew", True, False)]


# The end of a lease ------------------------------------------------------------------------------------------


def test_a_lease_holds_until_its_last_nanosecond() -> None:
    told = at(leased(), LEASE_NS - 1)
    assert told.access(READ, HELD) == [GuestValue()]


def test_a_lease_that_is_over_ends_the_grant_at_the_next_step() -> None:
    told = at(leased(), LEASE_NS)
    assert told.grant.number == 3

    assert told.access(READ) == GP
    assert (told.grant.number, told.vcpu().debugctl, told.asked) == (0, 0, [])
    assert told.records(Granted)[-1].grant == 0
    assert "the lease of grant 3 is over" in [r.reason for r in told.records(ClaimChange)]


@cases("debugctl", [0, 1])
def test_a_guest_in_guest_mode_is_kicked_out_when_its_lease_is_over(debugctl: int) -> None:
    """By its passthrough, whether its LBR is on or not."""
    told = leased()
    told.vcpu().debugctl = debugctl
    told.enter()
    at(told, LEASE_NS).step([Nop()], Exit("external-interrupt", [], 1), Ran([GuestValue()]))

    assert told.asked[0] == Continue(VCPU, 0, [Nop()], kick=True)
    assert not told.vcpu().lbr_desc.passthrough


def test_an_ioctl_finds_the_lease_over_too() -> None:
    told = at(leased(), LEASE_NS)
    assert told.command(GetMsr(VCPU, FROM0)) == Done(errno="ENOENT")


def test_a_grant_without_a_lease_has_no_end() -> None:
    told = at(held(REVOKE_GP), 1 << 50)
    assert told.access(READ, HELD) == [GuestValue()]
    assert timers(told) == []


# Prolonging it -----------------------------------------------------------------------------------------------


def test_the_timer_is_set_for_half_of_the_lease() -> None:
    assert timers(leased()) == [LEASE_NS // 2]


def test_each_prolonging_sets_it_anew() -> None:
    told = leased()
    told.tell(EventState(EVENT, "ACTIVE", 0, 3, LEASE_NS + 4 * MS))
    assert timers(told) == [5 * MS, 9 * MS]


def test_a_timer_that_fires_has_the_grant_renewed_and_tries_again_later() -> None:
    told = at(leased(), 5 * MS)
    told.command(FIRE)

    assert told.heard()[-1] == Renew(3)
    assert timers(told) == [5 * MS, 5 * MS + LEASE_NS // 4]


def test_a_renew_that_the_stream_repeats_is_not_said_once_more() -> None:
    """On a link that carries a message each 4 ms KVM would fill the inbox of the host."""
    told = held(replace(REVOKE_ACK, delivery=StreamDelivery.REPAIRED), until=LEASE_NS)
    for ns in (5 * MS, 8 * MS, 11 * MS):
        at(told, ns).command(FIRE)
    assert told.heard() == [Renew(3)]
    assert timers(told)[-1] > 11 * MS
    told.take(Envelope(KVM, False, 1, 90, Received(told.core.endpoint.session.outgoing.order)))
    at(told, 30 * MS).command(FIRE)
    assert told.heard() == [Renew(3)]


def test_a_timer_that_fires_early_renews_nothing() -> None:
    told = at(leased(), 5 * MS - 1)
    told.heard()
    told.command(FIRE)
    assert (told.heard(), timers(told)) == ([], [5 * MS])


def test_a_prolonged_lease_holds_longer() -> None:
    told = leased()
    told.tell(EventState(EVENT, "ACTIVE", 0, 3, 2 * LEASE_NS))
    at(told, LEASE_NS)

    assert told.access(READ, HELD) == [GuestValue()]
    assert [r.grant for r in told.records(Granted)] == [3]


@cases("until", [LEASE_NS, LEASE_NS - 1, 0])
def test_news_never_shortens_a_lease(until: int) -> None:
    told = leased()
    told.tell(EventState(EVENT, "ACTIVE", 0, 3, until))
    assert (told.grant.expires, timers(told)) == (LEASE_NS, [5 * MS])


def test_a_thread_that_comes_back_hears_of_its_lease() -> None:
    told = leased()
    told.tell(SchedOut(VCPU, 0))
    told.tell(SchedIn(VCPU, 0, 0, 3, 2 * LEASE_NS))
    assert told.grant.expires == 2 * LEASE_NS


def test_a_thread_that_comes_back_without_a_grant_has_lost_it() -> None:
    told = leased()
    told.tell(SchedOut(VCPU, 0))
    told.tell(SchedIn(VCPU, 0, 0))
    assert (told.claim.phase, told.grant.number) == ("lost", 0)


def test_a_lease_of_another_grant_prolongs_nothing() -> None:
    told = leased()
    told.tell(EventState(EVENT, "ACTIVE", 0, 2, 2 * LEASE_NS))
    assert told.grant.expires == LEASE_NS


def test_a_lease_that_ran_out_cannot_be_prolonged() -> None:
    told = at(leased(), LEASE_NS)
    told.access(READ)
    told.tell(EventState(EVENT, "ACTIVE", 0, 3, 2 * LEASE_NS))
    assert (told.claim.phase, told.grant.number) == ("none", 0)


def test_a_lease_that_ran_out_though_nobody_took_the_lbr_is_no_loss_for_good() -> None:
    """No news of a free LBR would come: the event is given back, and the access after the denial asks for another."""
    told = at(leased(), LEASE_NS)
    told.heard()
    assert told.access(READ) == [GuestValue(fault=True)]
    assert told.heard() == [ReleaseEvent(EVENT)]
    assert told.access(READ) is None
    assert told.heard() == [CreateEvent(VCPU, 2)]


@cases("end", [Revoke(EVENT, 3, ""), EventState(EVENT, "ERROR", 0), EventState(EVENT, "INACTIVE", -1)])
def test_the_end_of_a_grant_disarms_the_timer(end: Revoke | EventState) -> None:
    told = leased()
    told.tell(end)
    assert timers(told) == [5 * MS, -1]


def test_the_next_grant_has_a_lease_of_its_own() -> None:
    told = leased()
    told.tell(Revoke(EVENT, 3, ""))
    told.tell(EventState(EVENT, "ACTIVE", 0, 4, 9 * MS))
    assert (told.grant.expires, timers(told)) == (9 * MS, [5 * MS, -1, 4 * MS])


@cases("what", ["renew", "lease", ""])
def test_a_timer_that_is_not_there_cannot_fire(what: str) -> None:
    with pytest.raises(RefusedError, match="there is no timer"):
        loaded(REVOKE_ACK).command(FireKvmTimer(what))


def test_one_timer_serves_all_guests() -> None:
    """It is set for the lease that needs it first, and renews what is due by then."""
    told = Told(REVOKE_ACK, VmSpec("vm0", 2))
    for grant, (vcpu, until) in enumerate((("vm0/0", 12 * MS), ("vm0/1", 10 * MS)), 1):
        told.command(SetMsr(vcpu, IA32_DEBUGCTL, 1))
        told.tell(EventCreated(vcpu, grant, grant, state="ACTIVE", grant=grant, expires=until))
    assert timers(told) == [7 * MS, 5 * MS]

    at(told, 5 * MS).command(FIRE)
    assert told.heard() == [Renew(2)]
    at(told, 8 * MS).command(FIRE)
    assert told.heard() == [Renew(1), Renew(2)]


# Acknowledging -----------------------------------------------------------------------------------------------


def test_a_revoke_is_acknowledged_once_it_is_carried_out() -> None:
    told = leased()
    told.heard()
    assert told.tell(Revoke(EVENT, 3, "")) == [Ack(3)]
    assert (told.grant.number, told.vcpu().lbr_desc.passthrough) == (0, False)


@cases(("event", "grant"), [(EVENT, 2), (EVENT, 3), (EVENT + 1, 9)])
def test_every_revoke_is_acknowledged_whatever_it_is_of(event: int, grant: int) -> None:
    told = leased()
    told.tell(Revoke(EVENT, 3, ""))
    assert told.tell(Revoke(event, grant, "")) == [Ack(grant)]


def test_a_revoke_that_comes_before_its_event_is_acknowledged_at_once() -> None:
    told = asked(REVOKE_ACK)
    assert told.tell(Revoke(EVENT, 3, "")) == [Ack(3)]
    told.tell(EventCreated(VCPU, 1, EVENT, state="ACTIVE", grant=3, expires=LEASE_NS))
    assert (told.claim.phase, told.grant.number) == ("lost", 0)


@cases("design", [REVOKE_GP, FENCED], ids=lambda d: d.name)
def test_where_nobody_waits_nothing_is_acknowledged(design: Design) -> None:
    told = held(design)
    assert told.tell(Revoke(EVENT, 3, "")) == []


def test_the_host_s_event_comes_on_as_soon_as_kvm_has_acknowledged() -> None:
    rig = Rig(REVOKE_ACK)
    rig.debugctl(1)
    open_ = Open("h0", 0, pinned=True, branch=["any"])
    assert rig.wire.perf(open_).result == Done(errno="EINPROGRESS")
    assert rig.vcpu().grant.number

    rig.settle()
    assert rig.wire.perf(open_).result == Done()
    assert [(r.name, r.reason) for r in rig.records(HostWake)] == [("h0", "acknowledged")]
    assert not rig.vcpu().grant.number


def test_a_free_lbr_releases_the_event_under_leases_too() -> None:
    told = leased()
    told.tell(Revoke(EVENT, 3, ""))
    assert told.tell(Available(EVENT, 0)) == [ReleaseEvent(EVENT)]
