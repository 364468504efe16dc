"""A guest whose DEBUGCTL.LBR is set without an event: user space turned it on, or an event is gone."""

from __future__ import annotations

from msgspec.structs import replace

from contract.control import SetMsr
from contract.design import Activation, Denial, Design
from contract.machine import Enter, GuestValue, Nop, Ran
from contract.messages import CreateEvent, EventCreated
from contract.x86 import IA32_DEBUGCTL
from kvm_svc.hypervisor.claim import ClaimPhase
from tests.cases import cases
from tests.designs import FAIL_ENTRY, FENCED, MERGED, REVOKE_ACK, REVOKE_GP, REVOKE_ZERO
from tests.kvm_svc.rig import VCPU
from tests.kvm_svc.told import EVENT, READ, Told, loaded, results

PROMISE = (REVOKE_GP, REVOKE_ZERO, REVOKE_ACK, FAIL_ENTRY, FENCED)
promising = cases("design", PROMISE, ids=lambda d: d.name)


def turned_on(design: Design) -> Told:
    """DEBUGCTL.LBR is set as by a restore that had no LBR_FMT yet: no event was asked for."""
    told = loaded(design)
    told.vcpu().debugctl = 1
    return told


def entered(told: Told, *, active: bool | None = None) -> Enter:
    """The guest code that waited for the event is entered."""
    told.step([], Ran([GuestValue()], active))
    (request,) = told.asked
    assert isinstance(request, Enter)
    return request


@promising
def test_its_entry_asks_for_an_event_first(design: Design) -> None:
    told = turned_on(design)
    assert not told.step([Nop()]).finished
    assert (told.asked, told.heard(), told.vcpu().waiting) == ([], [CreateEvent(VCPU, 1)], True)

    told.tell(EventCreated(VCPU, 1, EVENT, state="ACTIVE", grant=3))
    entry = entered(told, active=True)
    assert entry.controls.debugctl == 1
    assert told.claim.phase is ClaimPhase.HELD


@promising
def test_what_gets_no_event_is_denied_at_its_next_access(design: Design) -> None:
    """It is entered without its LBR, so that branches go unrecorded: a fresh event later must not hide that."""
    told = turned_on(design)
    told.step([Nop()])
    told.tell(EventCreated(VCPU, 1, 0, "EBUSY"))
    entry = entered(told)
    assert (entry.controls.debugctl & 1, entry.controls.passthrough) == (0, False)
    assert told.claim.phase.value == "lost"
    told.heard()

    answer = told.access(READ)
    denied = GuestValue() if design.denial is Denial.READ_ZERO else GuestValue(fault=True)
    assert (answer, told.heard(), results(told)[-1][1]) == ([denied], [], True)
    assert told.claim.phase.value == "none"


@promising
def test_its_entry_is_not_held_up_where_its_lbr_is_off(design: Design) -> None:
    told = loaded(design)
    told.enter()
    assert told.heard() == []


@promising
def test_a_lazy_design_denies_the_entry_that_takes_the_lbr_away(design: Design) -> None:
    told = turned_on(replace(design, activation=Activation.LAZY))
    told.enter()
    assert (told.heard(), told.claim.phase) == ([], ClaimPhase.LOST)


def test_merged_enters_it_as_the_kernel_does() -> None:
    told = turned_on(MERGED)
    assert told.enter().controls.debugctl == 1
    assert (told.heard(), told.claim.phase) == ([], ClaimPhase.NONE)


@promising
def test_user_space_that_turns_it_on_without_an_event_leaves_a_denial(design: Design) -> None:
    told = loaded(design)
    told.command(SetMsr(VCPU, IA32_DEBUGCTL, 1))
    assert told.heard() == [CreateEvent(VCPU, 1)]
    told.tell(EventCreated(VCPU, 1, 0, "EBUSY"))
    assert told.claim.phase is ClaimPhase.LOST
