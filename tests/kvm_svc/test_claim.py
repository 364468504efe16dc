"""The claim: every input in every phase, and what no sequence of news, accesses and commands can bring about."""

from __future__ import annotations

import pytest

from contract.design import Design
from contract.errors import LocalContractError
from contract.messages import EventCreated, EventState
from contract.trace import ClaimChange
from kvm_svc.hypervisor.claim import TRANSITIONS, UNMOVED, ClaimInput, ClaimPhase, GuestClaim
from tests.cases import cases
from tests.designs import DESIGNS, FAIL_ENTRY, REVOKE_GP
from tests.kvm_svc.rig import VCPU
from tests.kvm_svc.story import Story
from tests.kvm_svc.told import EVENT, READ, held, loaded

# The next phase for each input and phase: a phase, "-" for no change, "!" if it cannot happen.
TABLE = """
         ASK   FAILED CREATED GRANT OFF  LOSS   TOLD   RELEASED RESET STOP
none     asked !      !       !     !    lost   -      -        -     stopped
asked    !     none   held    !     !    !      -      !        !     stopped
held     !     !      !       -     off  lost   -      none     !     stopped
off      !     !      !       held  -    lost   -      none     !     stopped
lost     !     !      !       held  -    -      denied -        none  stopped
denied   !     !      !       held  -    -      -      none     !     stopped
stopped  -     -      -       -     -    -      -      -        -     -
"""
HEAD, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
CELLS = [
    (ClaimPhase(phase), ClaimInput[name], cell)
    for phase, *cells in ROWS
    for name, cell in zip(HEAD, cells, strict=True)
]


def test_the_table_has_every_phase_and_input() -> None:
    assert {(phase, given) for phase, given, _ in CELLS} == {
        (phase, given) for phase in ClaimPhase for given in ClaimInput
    }


@cases(("phase", "given", "becomes"), CELLS, ids=lambda v: getattr(v, "name", v))
def test_what_an_input_makes_of_a_phase(phase: ClaimPhase, given: ClaimInput, becomes: str) -> None:
    claim = GuestClaim(phase)
    if becomes == "!":
        with pytest.raises(LocalContractError, match=f"{phase} cannot meet: {given}"):
            claim.move(given)
        becomes = "-"
    else:
        assert claim.move(given) == (becomes != "-")
    assert claim.phase == (phase if becomes == "-" else ClaimPhase(becomes))


def test_an_input_either_moves_a_phase_or_does_not() -> None:
    assert not UNMOVED & TRANSITIONS.keys()


def test_no_transition_leads_nowhere() -> None:
    assert [key for key, phase in TRANSITIONS.items() if key[0] is phase] == []


def test_every_phase_can_be_reached() -> None:
    reached = {ClaimPhase.NONE}
    for _ in ClaimPhase:
        reached |= {to for (phase, _), to in TRANSITIONS.items() if phase in reached}
    assert reached == set(ClaimPhase)


@cases("phase", ClaimPhase)
def test_what_is_lost_denied_or_stopped_is_shut_off(phase: ClaimPhase) -> None:
    assert GuestClaim(phase).shut_off == (phase in {ClaimPhase.LOST, ClaimPhase.DENIED, ClaimPhase.STOPPED})


# Any story -------------------------------------------------------------------------------------------------


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_whatever_happens_a_grant_is_there_only_while_the_claim_is_held(design: Design) -> None:
    for seed in range(20):
        story = Story(design, seed)
        for _ in range(60):
            story.act()
            vcpu = story.told.vcpu()
            assert not vcpu.grant.number or vcpu.claim.phase is ClaimPhase.HELD, story


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_the_trace_says_whether_the_thread_sleeps(design: Design) -> None:
    for seed in range(20):
        story = Story(design, seed)
        for _ in range(60):
            story.act()
            vcpu = story.told.vcpu()
            assert story.sleeps() == (vcpu.waiting or vcpu.ioctl is not None), story


def test_an_event_that_goes_off_without_a_loss_is_off_and_denies_nothing() -> None:
    told = held(REVOKE_GP)
    told.tell(EventState(EVENT, "INACTIVE", -1))

    assert (told.claim.phase, told.grant.number, told.vcpu().debugctl) == ("off", 0, 1)
    assert not told.claim.shut_off


def test_a_change_of_claim_is_on_record_with_its_cause() -> None:
    told = loaded(FAIL_ENTRY)
    told.access(READ)
    told.tell(EventCreated(VCPU, 1, EVENT, state="ERROR"))

    assert [(r.old, r.new, r.reason) for r in told.records(ClaimChange)] == [
        ("none", "asked", "asks for an event"),
        ("asked", "held", "the event is there"),
        ("held", "lost", "EventCreated: ERROR"),
    ]
