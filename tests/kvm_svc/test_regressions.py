"""Defects that were found, each by its smallest test."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contract.control import LoadVcpu, MachineSpec, ResetVcpu, SetMsr, StopLbr, VcpuImage
from contract.design import Activation, Design, Passthrough, Release
from contract.errors import RefusedError
from contract.machine import Nop, Rdmsr, Wrmsr
from contract.messages import (
    Available,
    CreateEvent,
    EnableEvent,
    EventCreated,
    EventState,
    LbrImage,
    ReleaseEvent,
    Revoke,
    SchedIn,
    SchedOut,
    Welcome,
)
from contract.spec import LEASE_NS
from contract.trace import ClaimChange, Granted, GuestEvent, Timer, VcpuWait, VcpuWake
from contract.x86 import IA32_DEBUGCTL, MSR_EVENTSEL, MSR_GLOBAL_CTRL, MSR_LBR_SELECT
from tests.cases import cases
from tests.designs import FAIL_ENTRY, FENCED, MEDIATED, MERGED, MERGED_2023, REVOKE_ACK, REVOKE_GP, VMX_TRANSITION
from tests.kvm_svc.rig import VCPU, Rig
from tests.kvm_svc.told import EVENT, GONE, READ, Told, exit_of, held, loaded

STOP = StopLbr(VCPU)


def sleeps(told: Told) -> bool:
    """As the trace has it."""
    return isinstance([r for r in told.log.records if isinstance(r, VcpuWait | VcpuWake)][-1], VcpuWait)


# A grant that ends with its event ----------------------------------------------------------------------------


def test_a_lease_whose_event_was_given_back_needs_no_timer() -> None:
    """It stays armed, firing it changes nothing, and so a default tape that gets there fires it for ever."""
    told = held(REVOKE_ACK, until=LEASE_NS)
    told.command(STOP)
    assert [r.due for r in told.records(Timer)][-1] == -1


def test_the_trace_says_that_a_grant_ended_with_its_event() -> None:
    told = held(REVOKE_GP)
    told.command(STOP)
    assert told.records(Granted)[-1].grant == 0


# Giving back an event that is being enabled ------------------------------------------------------------------


def enabling(told: Told) -> Told:
    assert told.access(READ, GONE) is None
    assert told.heard()[-1] == EnableEvent(VCPU, 2, EVENT)
    return told


def test_an_event_given_back_while_it_is_enabled_stays_given_back() -> None:
    """The answer to EnableEvent is taken for one to CreateEvent: KVM gives the event back a second time."""
    told = enabling(held(MERGED_2023))
    told.command(STOP)
    assert told.heard() == [ReleaseEvent(EVENT)]

    assert told.tell(EventCreated(VCPU, 2, EVENT)) == []
    assert [r.change for r in told.records(GuestEvent)] == ["created", "released"]


def test_a_slice_that_releases_an_event_while_it_is_enabled() -> None:
    """The same, where it ends in LocalContractError: the claim is none, and cannot meet CREATED."""
    told = loaded(replace(MERGED_2023, release=Release.IDLE_SLICES))
    told.access(READ)
    told.tell(EventCreated(VCPU, 1, EVENT))
    told.go_on(GONE)
    told.tell(SchedOut(VCPU, 0))
    assert told.tell(SchedIn(VCPU, 0, 0)) == [ReleaseEvent(EVENT)]

    told.tell(EventCreated(VCPU, 2, EVENT))
    assert told.vcpu().lbr_desc.event == 0


# The thread of a starved guest -------------------------------------------------------------------------------


def test_an_access_that_finds_the_lbr_lost_is_woken_by_news_of_a_free_one() -> None:
    """The Revoke was lost. A look before DEBUGCTL and the entry check have KVM learn of the loss, this does not, and
    so Available means nothing to it."""
    told = held(FAIL_ENTRY)
    told.access(READ, GONE)
    assert told.tell(Available(EVENT, 0)) == [EnableEvent(VCPU, 2, EVENT)]


def test_a_starved_guest_that_user_space_stops_sleeps_no_longer() -> None:
    """It has no event any more of which news could come, and where it is not asleep yet it is entered."""
    told = held(FAIL_ENTRY)
    told.tell(Revoke(EVENT, 3, ""))
    told.step([Nop()])
    told.command(STOP)
    assert (told.vcpu().waiting, sleeps(told)) == (False, False)


def test_a_starved_guest_whose_event_a_slice_gives_back_sleeps_no_longer() -> None:
    told = held(replace(FAIL_ENTRY, release=Release.IDLE_SLICES))
    told.access(Wrmsr(IA32_DEBUGCTL, 0))
    told.tell(Revoke(EVENT, 3, ""))
    told.step([Nop()])
    assert told.tell(SchedIn(VCPU, 0, 0)) == [ReleaseEvent(EVENT)]
    assert (told.vcpu().waiting, sleeps(told)) == (False, False)


def test_a_grant_for_an_event_that_was_given_back_is_none() -> None:
    told = held(replace(FAIL_ENTRY, release=Release.IDLE_SLICES))
    told.access(Wrmsr(IA32_DEBUGCTL, 0))
    told.tell(Revoke(EVENT, 3, ""))
    told.tell(Available(EVENT, 0))
    told.tell(SchedIn(VCPU, 0, 0))
    told.tell(EventCreated(VCPU, 2, EVENT, state="ACTIVE", grant=4))
    assert (told.vcpu().lbr_desc.event, told.grant.number) == (0, 0)


def test_a_thread_that_waits_for_an_answer_is_not_woken_by_a_grant() -> None:
    """EventCreated is late or lost. The trace says that the thread wakes, the player steps it, and is refused."""
    told = held(FAIL_ENTRY)
    told.tell(Revoke(EVENT, 3, ""))
    told.step([Nop()])
    told.tell(Available(EVENT, 0))
    told.tell(SchedIn(VCPU, 0, 0, grant=4))
    assert sleeps(told) == told.vcpu().waiting


def test_a_thread_that_waits_for_two_answers_is_not_woken_by_one() -> None:
    """It waits for a counter's event when Available comes."""
    told = held(FAIL_ENTRY)
    told.access(Wrmsr(MSR_GLOBAL_CTRL, 1))
    told.access(Wrmsr(MSR_EVENTSEL, 3 << 16 | 1 << 22))
    told.step([Nop()])
    told.tell(Revoke(EVENT, 3, ""))
    assert told.tell(Available(EVENT, 0)) == [EnableEvent(VCPU, 3, EVENT)]
    told.tell(EventCreated(VCPU, 2, 8))
    assert sleeps(told) == told.vcpu().waiting


# A failure that nobody met -----------------------------------------------------------------------------------


def test_the_first_access_after_an_eager_failure_asks() -> None:
    """The failure was to be ignored, and is none of this access."""
    told = loaded(replace(MERGED, activation=Activation.EAGER))
    told.step([READ])
    told.tell(EventCreated(VCPU, 1, 0, "EBUSY"))
    told.step([], exit_of(READ))
    told.heard()

    assert told.go_on() is None
    assert told.heard() == [CreateEvent(VCPU, 2)]


def test_the_first_access_after_user_space_failed_asks() -> None:
    told = loaded(MERGED)
    told.command(SetMsr(VCPU, IA32_DEBUGCTL, 1))
    told.tell(EventCreated(VCPU, 1, 0, "EBUSY"))
    told.heard()

    assert told.access(READ) is None
    assert told.heard() == [CreateEvent(VCPU, 2)]


def test_the_first_access_after_an_arrival_that_got_no_event_asks() -> None:
    told = loaded(MERGED)
    told.command(LoadVcpu(VCPU, VcpuImage(0, 0x2005, LbrImage(0, 0, [0] * 8, [0] * 8, [0] * 8))))
    told.tell(EventCreated(VCPU, 1, 0, "EBUSY"))
    assert told.access(READ) is None


# The fence without a grant -----------------------------------------------------------------------------------

FENCED_AT_ENTRY = replace(FENCED, passthrough=Passthrough.AT_ENTRY)


def test_an_event_without_a_grant_is_not_passed_through_behind_the_fence() -> None:
    told = loaded(FENCED_AT_ENTRY)
    told.command(SetMsr(VCPU, IA32_DEBUGCTL, 1))
    told.tell(EventCreated(VCPU, 1, EVENT, state="INACTIVE"))
    controls = told.enter().controls

    assert controls.check is not None or (controls.passthrough, controls.debugctl) == (False, 0)


def test_user_space_turns_no_lbr_on_behind_the_fence() -> None:
    told = held(FENCED_AT_ENTRY)
    told.tell(Revoke(EVENT, 3, ""))
    told.command(SetMsr(VCPU, IA32_DEBUGCTL, 1))
    controls = told.enter().controls

    assert controls.check is not None or controls.debugctl == 0


# Others ------------------------------------------------------------------------------------------------------


@cases("design", [VMX_TRANSITION, MEDIATED], ids=lambda d: d.name)
def test_a_guest_that_reads_a_register_that_the_part_lacks_gets_on(design: Design) -> None:
    """LBR_SELECT counts as an LBR MSR on every part and is passed through on none that lacks it: KVM leaves the access
    to the guest, which exits again, for ever."""
    rig = Rig(design, machine=MachineSpec(lbr="core2"))
    stepped = rig.step(Rdmsr(MSR_LBR_SELECT))
    for _ in range(10):
        stepped = stepped if stepped.finished else rig.step()
    assert stepped.finished


def test_a_refused_session_sends_nothing_again_that_comes_later() -> None:
    """The resend timer is armed again, and nobody will ever acknowledge."""
    told = Told(FENCED)
    told.tell(Welcome(False, reason="no"))
    told.command(SetMsr(VCPU, IA32_DEBUGCTL, 1))
    assert [r.due for r in told.records(Timer)][-1] == -1


def test_the_trace_says_that_a_reset_ends_a_loss() -> None:
    told = held(REVOKE_GP)
    told.tell(Revoke(EVENT, 3, ""))
    told.command(ResetVcpu(VCPU))
    assert told.records(ClaimChange)[-1].new == told.claim.phase


def test_an_image_that_the_hardware_would_refuse_is_refused() -> None:
    """It is taken, and ends in LocalContractError at the first entry."""
    image = LbrImage(0, 0, [1 << 47] * 8, [0] * 8, [0] * 8)
    with pytest.raises(RefusedError, match="the image's LBR"):
        Told(VMX_TRANSITION).command(LoadVcpu(VCPU, VcpuImage(0, 0x2005, image)))


def test_news_of_an_older_grant_does_not_change_the_state_either() -> None:
    told = held(REVOKE_GP)
    told.tell(Revoke(EVENT, 3, ""))
    told.tell(EventState(EVENT, "ACTIVE", 0, 2))
    assert told.claim.state == "ERROR"


def test_an_answer_to_no_request_is_ignored() -> None:
    """0 is no request, but what is asked while nothing is: a host that sends it ends KVM with LocalContractError, or
    has a counter take the event for its own."""
    told = loaded(MERGED)
    told.access(Wrmsr(MSR_GLOBAL_CTRL, 1))
    told.tell(EventCreated(VCPU, 0, 9))
    told.access(Wrmsr(MSR_EVENTSEL, 0))
    told.tell(EventCreated(VCPU, 0, 9))

    assert told.vcpu().lbr_desc.event == 0
    assert [counter.event for counter in told.vcpu().pmu.counters.values()] == [0]
