"""A guest that lost the LBR is not entered, sleeps until it is free, and finds its LBR as it left it."""

from __future__ import annotations

import pytest

from contract.control import Close, Open, SetMsr
from contract.errors import RefusedError
from contract.machine import (
    Branch,
    Check,
    Enter,
    EntryRefused,
    Exit,
    GuestValue,
    Look,
    MsrDone,
    Nop,
    Ran,
    Rdmsr,
    ReadMsr,
    Wrmsr,
)
from contract.messages import Available, EnableEvent, EventCreated, Revoke
from contract.results import Done
from contract.trace import Access, VcpuWait, VcpuWake, VmEntry, VmEntryRefused
from contract.x86 import MSR_LBR_TOS
from tests.cases import cases
from tests.designs import FAIL_ENTRY
from tests.kvm_svc.rig import FROM0, VCPU, Rig
from tests.kvm_svc.told import EVENT, GONE, HELD, READ, TURN_ON, Told, asked, exit_of, held, loaded

REFUSED = EntryRefused("the entry check", checked=True)
both = cases("op", [READ, TURN_ON])


def starved() -> Told:
    """The entry check found that the LBR is lost."""
    told = held(FAIL_ENTRY)
    assert not told.step([Nop()], REFUSED).finished
    return told


def enabled() -> Told:
    """The LBR is said to be free, KVM has the event enabled."""
    told = starved()
    assert told.tell(Available(EVENT, 0)) == [EnableEvent(VCPU, 2, EVENT)]
    return told


def waits(told: Told | Rig) -> list[str]:
    return [r.message for r in told.records(VcpuWait)]


# It sleeps ---------------------------------------------------------------------------------------------------


def test_an_entry_is_refused_unless_the_event_is_on() -> None:
    enter = held(FAIL_ENTRY).enter(active=True)
    assert enter.controls.check == Check(EVENT, when_active=True, otherwise=False, refuse=True)


def test_a_guest_whose_entry_is_refused_sleeps_until_the_lbr_is_free() -> None:
    told = starved()

    assert (waits(told)[-1], told.claim.phase) == ("Available", "lost")
    with pytest.raises(RefusedError, match="waits for Available"):
        told.step([])


def test_a_guest_known_to_have_lost_the_lbr_is_not_even_tried() -> None:
    told = held(FAIL_ENTRY)
    told.tell(Revoke(EVENT, 3, ""))

    assert not told.step([Nop()]).finished
    assert (told.asked, waits(told)[-1]) == ([], "Available")


def test_a_guest_in_guest_mode_is_kicked_out_and_sleeps() -> None:
    told = held(FAIL_ENTRY)
    told.enter(active=True)
    told.tell(Revoke(EVENT, 3, ""))
    told.step([Nop()], Exit("external-interrupt", [], 1))

    assert waits(told)[-1] == "Available"


@both
def test_an_access_that_finds_the_lbr_lost_sleeps_too(op: Rdmsr | Wrmsr) -> None:
    told = held(FAIL_ENTRY)

    assert told.access(op, GONE) is None
    assert waits(told)[-1] == "Available"
    assert len(told.records(Access)) == 1


@both
def test_an_access_of_an_lbr_known_to_be_lost_sleeps_without_a_look(op: Rdmsr | Wrmsr) -> None:
    told = held(FAIL_ENTRY)
    told.step([op], exit_of(op))
    told.tell(Revoke(EVENT, 3, ""))

    assert told.go_on() is None
    assert (told.asked, waits(told)[-1]) == ([], "Available")


def test_an_event_that_never_came_on_is_waited_for() -> None:
    told = asked(FAIL_ENTRY)
    told.tell(EventCreated(VCPU, 1, EVENT, state="ERROR"))

    assert told.go_on() is None
    assert waits(told) == ["EventCreated", "Available"]


def test_a_guest_that_has_no_event_to_wait_for_is_denied() -> None:
    told = loaded(FAIL_ENTRY)
    told.access(READ)
    told.tell(EventCreated(VCPU, 1, 0, "EBUSY"))

    assert told.go_on() == [GuestValue(fault=True)]
    assert not told.vcpu().waiting


@cases("news", ["refused", "revoked"])
def test_the_guest_s_debugctl_is_not_touched(news: str) -> None:
    told = starved() if news == "refused" else held(FAIL_ENTRY)
    told.tell(Revoke(EVENT, 3, ""))
    assert told.vcpu().debugctl == 1


def test_user_space_does_not_sleep() -> None:
    told = held(FAIL_ENTRY)
    told.tell(Revoke(EVENT, 3, ""))
    assert told.command(SetMsr(VCPU, FROM0, 1)) == Done(0)
    assert waits(told) == ["EventCreated"]


# It wakes ----------------------------------------------------------------------------------------------------


def test_a_free_lbr_has_the_event_enabled_once() -> None:
    told = enabled()
    assert told.tell(Available(EVENT, 0)) == []


def test_a_guest_that_is_granted_the_lbr_wakes_and_is_entered() -> None:
    told = enabled()
    told.tell(EventCreated(VCPU, 2, EVENT, state="ACTIVE", grant=4))

    assert (told.claim.phase, told.grant.number, told.vcpu().waiting) == ("held", 4, False)
    assert told.go_on(Ran([GuestValue()], True)) == [GuestValue()]
    (enter,) = told.asked
    assert isinstance(enter, Enter)
    assert (enter.controls.debugctl, enter.controls.passthrough) == (1, True)


def test_an_access_that_slept_is_carried_out() -> None:
    told = held(FAIL_ENTRY)
    told.access(READ, GONE)
    told.tell(Revoke(EVENT, 3, ""))
    told.tell(Available(EVENT, 0))
    told.tell(EventCreated(VCPU, 2, EVENT, state="ACTIVE", grant=4))

    assert told.go_on(MsrDone(met=True, value=9)) == [GuestValue(9)]
    assert told.asked == [ReadMsr(VCPU, 0, FROM0, EVENT)]


def test_a_debugctl_write_that_slept_looks_again_and_is_stored() -> None:
    told = held(FAIL_ENTRY)
    told.access(Wrmsr(TURN_ON.msr, 0x801), GONE)
    told.tell(Available(EVENT, 0))
    told.tell(EventCreated(VCPU, 2, EVENT, state="ACTIVE", grant=4))

    assert told.go_on(HELD) == [GuestValue()]
    assert (told.asked, told.vcpu().debugctl) == ([Look(VCPU, 0, EVENT)], 0x801)


@cases("answer", [("ERROR", EVENT, ""), ("", 0, "ENOENT")])
def test_a_guest_that_finds_the_lbr_still_contended_sleeps_on(answer: tuple[str, int, str]) -> None:
    told = enabled()
    state, event, errno = answer
    told.tell(EventCreated(VCPU, 2, event, errno, state))

    assert told.vcpu().waiting
    assert waits(told)[-1] == "Available"
    assert isinstance([r for r in told.log.records if isinstance(r, VcpuWait | VcpuWake)][-1], VcpuWait)


def test_a_guest_that_slept_on_is_enabled_at_the_next_news() -> None:
    told = enabled()
    told.tell(EventCreated(VCPU, 2, EVENT, state="ERROR"))
    assert told.tell(Available(EVENT, 0)) == [EnableEvent(VCPU, 3, EVENT)]


def test_a_free_lbr_is_no_news_to_a_guest_that_has_it() -> None:
    assert held(FAIL_ENTRY).tell(Available(EVENT, 0)) == []


# On the silicon ------------------------------------------------------------------------------------------------


def test_a_starved_guest_finds_its_lbr_as_it_left_it() -> None:
    rig = Rig(FAIL_ENTRY)
    rig.debugctl(1)
    rig.guest(Branch(5))
    before = [rig.rdmsr(MSR_LBR_TOS).value, *(rig.rdmsr(FROM0 + i).value for i in range(8))]
    rig.host_event()

    assert not rig.step(Nop()).finished
    entries = len(rig.records(VmEntry))
    rig.place("t0")
    rig.place(VCPU)
    assert rig.vcpu().refused
    rig.perf(Close("h0"))
    assert rig.step().finished
    assert [rig.rdmsr(MSR_LBR_TOS).value, *(rig.rdmsr(FROM0 + i).value for i in range(8))] == before
    assert len(rig.records(VmEntry)) > entries


def test_the_silicon_refuses_an_entry_before_kvm_has_heard_of_the_loss() -> None:
    rig = Rig(FAIL_ENTRY)
    rig.debugctl(1)
    rig.perf(Open("h0", 0, pinned=True, branch=["any"]), settle=False)
    rig.step(Nop())

    assert [r.reason for r in rig.records(VmEntryRefused)] == ["the entry check"]
    assert rig.vcpu().refused
