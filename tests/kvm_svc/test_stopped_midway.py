"""User space has the vCPU stop while KVM waits for the host."""

from __future__ import annotations

from contract.control import StopLbr
from contract.design import Design
from contract.machine import GuestValue
from contract.messages import EventCreated, ReleaseEvent
from contract.results import Done
from contract.trace import ClaimChange
from tests.cases import cases
from tests.designs import DESIGNS, FENCED, MERGED, REVOKE_ACK, REVOKE_GP
from tests.kvm_svc.rig import VCPU, Rig
from tests.kvm_svc.told import EVENT, READ, Told, asked, held, loaded

STOP = StopLbr(VCPU)
designs = cases("design", [MERGED, REVOKE_GP, REVOKE_ACK, FENCED], ids=lambda d: d.name)


def stopped(design: Design) -> Told:
    """While its event is being made."""
    told = asked(design)
    assert told.command(STOP) == Done()
    return told


@designs
def test_the_thread_waits_on(design: Design) -> None:
    told = stopped(design)
    assert told.vcpu().waiting
    assert (told.claim.phase, told.heard()) == ("stopped", [])


@designs
def test_the_event_that_comes_is_given_back_unused(design: Design) -> None:
    told = stopped(design)
    answer = EventCreated(VCPU, 1, EVENT, state="ACTIVE", grant=3, expires=10_000_000)

    assert told.tell(answer) == [ReleaseEvent(EVENT)]
    assert (told.vcpu().lbr_desc.event, told.grant.number, told.grant.renew_at) == (0, 0, 0)
    assert (told.claim.phase, told.vcpu().waiting) == ("stopped", False)


@designs
def test_the_guest_s_access_is_denied_then(design: Design) -> None:
    told = stopped(design)
    told.tell(EventCreated(VCPU, 1, EVENT, state="ACTIVE", grant=3))

    assert told.go_on() == [GuestValue(fault=design.denial == "gp")]
    assert (told.vcpu().debugctl, told.asked) == (0, [])


@designs
def test_nothing_is_given_back_where_no_event_came(design: Design) -> None:
    assert stopped(design).tell(EventCreated(VCPU, 1, 0, "EBUSY")) == []


@cases("debugctl", [0, 1])
def test_a_guest_in_guest_mode_is_kicked_out(debugctl: int) -> None:
    told = held(REVOKE_GP)
    told.vcpu().debugctl = debugctl
    told.enter()
    told.command(STOP)
    assert told.vcpu().kick


def test_stopping_twice_is_stopping_once() -> None:
    told = loaded(MERGED)
    told.command(STOP)
    told.command(STOP)
    assert [r.new for r in told.records(ClaimChange)] == ["stopped"]


@cases("design", [d for d in DESIGNS.values() if d.event != "none"], ids=lambda d: d.name)
def test_the_host_is_left_with_no_event(design: Design) -> None:
    rig = Rig(design)
    rig.step(READ)
    rig.step()
    rig.kvm(STOP)
    rig.settle()

    assert rig.wire.host.perf.events == {}
