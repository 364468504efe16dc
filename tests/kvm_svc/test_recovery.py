"""How a guest that lost the LBR gets it back: by asking again, by an enable at each access, or when the host tells."""

from __future__ import annotations

from msgspec.structs import replace

from contract.control import Close, Enable, GetMsr, MachineSpec, Open, SetMsr
from contract.design import Design, Recovery
from contract.machine import GuestValue, MsrDone, Rdmsr, ReadMsr, Wrmsr
from contract.messages import Available, CreateEvent, EnableEvent, EventCreated, EventState, ReleaseEvent, Revoke
from contract.results import Done
from contract.trace import ClaimChange, GuestEvent, VcpuWait, VcpuWake
from tests.cases import cases
from tests.designs import FAIL_ENTRY, FENCED, MERGED, MERGED_2023, REVOKE_GP, REVOKE_ZERO
from tests.kvm_svc.rig import FROM0, VCPU, Rig
from tests.kvm_svc.told import EVENT, GONE, READ, TURN_ON, WRITE, Told, asked, held, loaded, results

GP = [GuestValue(fault=True)]
ASKS_AGAIN = replace(REVOKE_GP, recovery=Recovery.ASKS_AGAIN)
STICKY = replace(REVOKE_GP, recovery=Recovery.STICKY)


def revoked(told: Told) -> Told:
    told.tell(Revoke(EVENT, 3, ""))
    return told


# Asks again --------------------------------------------------------------------------------------------------


def test_a_guest_that_asks_again_is_told_first() -> None:
    told = revoked(held(ASKS_AGAIN))

    assert told.access(READ) == GP
    assert told.heard() == []
    assert (told.claim.phase, told.vcpu().lbr_desc.event) == ("denied", EVENT)


@cases("op", [READ, WRITE, TURN_ON])
def test_each_use_after_a_denial_asks_for_a_fresh_event(op: Rdmsr | Wrmsr) -> None:
    told = revoked(held(ASKS_AGAIN))
    told.access(READ)

    for request in (2, 3):
        assert told.access(op) is None
        assert told.heard() == [ReleaseEvent(EVENT + request - 2), CreateEvent(VCPU, request)]
        told.tell(EventCreated(VCPU, request, EVENT + request - 1, state="ERROR"))
        assert told.go_on() == GP


def test_user_space_does_not_ask_again() -> None:
    told = revoked(held(ASKS_AGAIN))
    told.access(READ)

    assert told.command(GetMsr(VCPU, FROM0)) == Done(errno="ENOENT")
    assert told.heard() == []


def test_a_write_that_leaves_the_lbr_off_does_not_ask_again() -> None:
    told = revoked(held(ASKS_AGAIN))
    told.access(READ)

    assert told.access(Wrmsr(TURN_ON.msr, 0)) == [GuestValue()]
    assert told.heard() == []


def test_a_guest_that_asks_again_waits_for_no_news() -> None:
    told = revoked(held(ASKS_AGAIN))
    assert told.tell(Available(EVENT, 0)) == []
    assert told.vcpu().lbr_desc.event == EVENT


def test_a_guest_that_asked_again_and_failed_may_ask_again() -> None:
    told = revoked(held(ASKS_AGAIN))
    told.access(READ)
    told.access(READ)
    told.tell(EventCreated(VCPU, 2, 0, "EBUSY"))
    assert told.go_on() == GP
    told.heard()

    assert told.access(READ) is None
    assert told.heard() == [CreateEvent(VCPU, 3)]


# Enabled on access -------------------------------------------------------------------------------------------


def enabling() -> Told:
    """The guest's event is not on at its access, and is being enabled."""
    told = held(MERGED_2023)
    assert told.access(READ, GONE) is None
    return told


def test_an_access_that_finds_the_event_off_has_it_enabled() -> None:
    told = enabling()
    assert told.heard() == [EnableEvent(VCPU, 2, EVENT)]
    assert told.vcpu().waiting


def test_an_access_is_served_if_the_event_came_on() -> None:
    told = enabling()
    told.tell(EventCreated(VCPU, 2, EVENT))

    assert told.go_on(MsrDone(met=True, value=9)) == [GuestValue(9)]
    assert told.asked == [ReadMsr(VCPU, 0, FROM0, EVENT)]


def test_an_access_is_denied_if_the_event_did_not_come_on() -> None:
    told = enabling()
    told.heard()
    told.tell(EventCreated(VCPU, 2, EVENT))

    assert told.go_on(GONE) == [GuestValue()]
    assert results(told)[-1] == ("zero", True)
    assert told.heard() == []


def test_each_access_enables_once() -> None:
    told = enabling()
    told.tell(EventCreated(VCPU, 2, EVENT))
    told.go_on(GONE)

    assert told.access(READ, GONE) is None
    assert told.heard() == [EnableEvent(VCPU, 3, EVENT)]


def test_an_event_that_the_host_no_longer_knows_leaves_the_access_denied() -> None:
    told = enabling()
    told.tell(EventCreated(VCPU, 2, 0, "ENOENT"))

    assert told.go_on(GONE) == [GuestValue()]
    assert (told.vcpu().lbr_desc.event, told.vcpu().lbr_desc.create_errno) == (EVENT, "")


def test_an_access_by_user_space_enables_too() -> None:
    told = held(MERGED_2023)
    assert told.command(GetMsr(VCPU, FROM0), GONE) == Done(errno="EINPROGRESS")
    assert told.heard() == [EnableEvent(VCPU, 2, EVENT)]
    told.tell(EventCreated(VCPU, 2, EVENT))

    assert told.command(GetMsr(VCPU, FROM0), MsrDone(met=True, value=4)) == Done(4)


def test_an_enable_is_no_creation() -> None:
    told = enabling()
    told.tell(EventCreated(VCPU, 2, EVENT))

    assert [r.change for r in told.records(GuestEvent)] == ["created", "enabled"]
    assert [r.new for r in told.records(ClaimChange)] == ["asked", "held"]
    assert len(told.records(VcpuWait)) == len(told.records(VcpuWake)) == 2


def test_as_merged_an_access_enables_nothing() -> None:
    told = held(MERGED)
    assert told.access(READ, GONE) == [GuestValue()]
    assert told.heard() == []


def test_an_event_that_a_failing_neighbour_kept_off_comes_back_with_the_next_access() -> None:
    """Since v5.7 a pinned event that fails keeps later ones of its walk off."""
    rig = Rig(MERGED_2023, machine=MachineSpec(depth=8, counters=1))
    rig.perf(Open("c0", 0, pinned=True))
    rig.perf(Open("c1", task=VCPU, pinned=True))
    rig.debugctl(1)
    rig.wrmsr(FROM0, 0x10)
    rig.perf(Enable("c1"))

    assert rig.rdmsr(FROM0) == GuestValue(0x10)
    assert rig.sent(EnableEvent) == 1


# Told --------------------------------------------------------------------------------------------------------


def test_a_guest_that_is_told_asks_for_nothing_of_its_own_accord() -> None:
    told = revoked(held(REVOKE_GP))

    assert [told.access(READ), told.access(READ)] == [GP, GP]
    assert told.heard() == []


def test_news_of_a_free_lbr_gives_a_guest_that_was_denied_a_fresh_event() -> None:
    told = revoked(held(REVOKE_GP))
    told.access(READ)
    assert told.tell(Available(EVENT, 0)) == [ReleaseEvent(EVENT)]
    assert told.claim.phase == "none"

    assert told.access(READ) is None
    assert told.heard() == [CreateEvent(VCPU, 2)]


def test_a_guest_that_reads_zero_is_told_by_that() -> None:
    told = revoked(held(REVOKE_ZERO))
    told.tell(Available(EVENT, 0))

    assert told.access(READ) == [GuestValue()]
    assert told.access(READ) is None


@cases("design", [REVOKE_GP, FENCED, FAIL_ENTRY], ids=lambda d: d.name)
def test_user_space_turns_no_lbr_on_that_the_guest_has_no_right_to(design: Design) -> None:
    told = loaded(design)
    told.command(SetMsr(VCPU, TURN_ON.msr, 1))
    told.tell(EventCreated(VCPU, 1, 0, "EBUSY"))

    controls = told.enter().controls
    kept = design is FAIL_ENTRY
    assert (controls.passthrough, controls.debugctl, told.vcpu().debugctl) == (False, 0, kept)
    assert told.claim.phase == "lost"


def test_a_second_word_of_a_free_lbr_changes_nothing() -> None:
    told = revoked(held(REVOKE_GP))
    told.tell(Available(EVENT, 0))
    assert told.tell(Available(EVENT, 0)) == []


@cases("state", ["ACTIVE", "INACTIVE"])
def test_a_free_lbr_is_no_news_to_a_guest_that_lost_nothing(state: str) -> None:
    told = asked(REVOKE_GP)
    told.tell(EventCreated(VCPU, 1, EVENT, state=state, grant=3 * (state == "ACTIVE")))
    assert told.tell(Available(EVENT, 0)) == []


def test_whoever_is_to_stay_denied_stays_denied() -> None:
    told = revoked(held(STICKY))
    assert told.tell(Available(EVENT, 0)) == []
    assert [told.access(READ), told.access(READ)] == [GP, GP]


def test_an_event_that_comes_on_again_needs_no_fresh_one() -> None:
    told = revoked(held(REVOKE_GP))
    told.tell(EventState(EVENT, "ACTIVE", 0, 4))
    assert (told.claim.phase, told.grant.number) == ("held", 4)


@cases("design", [ASKS_AGAIN, REVOKE_GP, FENCED], ids=["asks again", "told", "fenced"])
def test_a_guest_gets_the_lbr_back_from_a_host_that_is_done(design: Design) -> None:
    rig = Rig(design)
    rig.debugctl(1)
    rig.host_event()
    assert not rig.debugctl(1)
    rig.perf(Close("h0"))

    assert rig.debugctl(1)
    assert rig.vcpu().claim.phase == "held"
