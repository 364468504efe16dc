"""no-silent-denial: a guest that may not use the LBR is not served as if it might."""

from __future__ import annotations

from msgspec.structs import replace

from contract.design import DebugctlWrite, Denial, Design, FirstAccess
from contract.trace import Access, GuestEvent, GuestMsr
from tests.cases import cases
from tests.client.check.runs import AGAIN, HELD, HOST, IDLE, USE, VIOLATED, finding, first, ordered, outcomes, trace
from tests.designs import DESIGNS, FENCED, KVM_SWITCH, MERGED, REVOKE_GP, V7, V8

NAME = "no-silent-denial"
READ_ZERO = replace(REVOKE_GP, denial=Denial.READ_ZERO)
FIRST = HOST + "host: run vm0/0 on cpu0;"


@cases("design", [REVOKE_GP, READ_ZERO], ids=["gp", "zero"])
def test_held(design: Design) -> None:
    assert finding(trace(ordered(USE + HOST + AGAIN), design), NAME).verdict == HELD
    assert finding(trace(ordered(FIRST + "vm0/0: a = rdmsr LBR_TOS;"), design), NAME).verdict == HELD
    assert finding(trace(ordered(FIRST + "vm0/0: wrmsr DEBUGCTL, LBR;"), design), NAME).verdict == HELD


@cases("design", DESIGNS.values(), ids=DESIGNS)
@cases("steps", [USE + AGAIN, HOST])
def test_not_exercised(design: Design, steps: str) -> None:
    assert finding(trace(ordered(steps), design), NAME).verdict == IDLE


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_leaving_the_lbr_off_is_no_use_of_it(design: Design) -> None:
    """v8 still denies it: there, DEBUGCTL is an LBR MSR like the others."""
    steps = FIRST + "vm0/0: wrmsr DEBUGCTL, 0; vm0/0: branch 3;"
    looks = design.debugctl_write is DebugctlWrite.MASK and design.first_access is FirstAccess.CREATE_THEN_ACCESS
    denied = looks and design.denial is Denial.GP
    assert finding(trace(ordered(steps), design), NAME).verdict == (HELD if denied else IDLE)


def test_violated_by_passthrough() -> None:
    violation, record = first(trace(ordered(USE + HOST + AGAIN), KVM_SWITCH), NAME)

    assert isinstance(record, GuestMsr)
    assert violation.text == "vm0/0 reaches the LBR itself although the host has the LBR of cpu0 on"


def test_violated_by_a_debugctl_that_does_not_look() -> None:
    """Turning the LBR on is acknowledged while the event is in ERROR."""
    design = replace(V8, debugctl_write=DebugctlWrite.TABLE)
    violation, record = first(trace(ordered(FIRST + "vm0/0: wrmsr DEBUGCTL, LBR;"), design), NAME)

    assert isinstance(record, Access)
    assert violation.text.startswith("vm0/0 is told that its access succeeded although")


def test_violated_by_v7s_first_access() -> None:
    violation, record = first(trace(ordered(FIRST + "vm0/0: a = rdmsr LBR_TOS;"), replace(V7, shut_out=False)), NAME)

    assert isinstance(record, Access)
    assert violation.text.endswith("although the host has the LBR of cpu0 on")


def test_violated_by_a_lost_revoke() -> None:
    assert finding(trace(ordered(USE + HOST + AGAIN), REVOKE_GP, "drop:Revoke:1"), NAME).verdict == VIOLATED


def test_merged_is_asked_of_its_event() -> None:
    """merged takes no LBR slot: its event stays ACTIVE beside the host's, so it is no denial at all."""
    assert finding(trace(ordered(USE + HOST + AGAIN), MERGED), NAME).verdict == IDLE


def test_guest_without_an_lbr_is_denied_nothing() -> None:
    """PERF_CAPABILITIES says that it has none. KVM drops the DEBUGCTL bit of such a guest in any case."""
    head = "machine { cpus = 1; depth = 8; }\nvm vm0 { lbr = off; }"
    steps = FIRST + "vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: d = rdmsr DEBUGCTL;"
    records = trace(ordered(steps, head=head), MERGED)

    assert outcomes(records)["vm0/0:d"] == 0
    assert finding(records, NAME).verdict == IDLE


def test_dead_event_left_behind_is_not_the_guests() -> None:
    """ReleaseEvent was lost: the old event is in ERROR for ever, the new one is ACTIVE and gives the right."""
    again = "vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: branch 3; vm0/0: a = rdmsr LBR_TOS;"
    story = ordered(USE + HOST + "host: close h0;" + again)
    records = trace(story, REVOKE_GP, "drop:ReleaseEvent:1")

    assert isinstance(outcomes(records)["vm0/0:a"], int)
    assert finding(records, NAME).verdict != VIOLATED


NO_CALL_STACK = "machine { cpus = 1; lbr = sandybridge; kernel = v5.12; }\nvm vm0 { lbr = on; }"
"""Perf refuses the guest's event with EOPNOTSUPP."""
TURN_ON = "host: run vm0/0 on cpu0; vm0/0: w = wrmsr DEBUGCTL, LBR;"


def test_violated_by_a_write_taken_although_no_event_could_be_made() -> None:
    records = trace(ordered(TURN_ON, head=NO_CALL_STACK), MERGED)
    violation, record = first(records, NAME)

    assert isinstance(record, Access)
    assert violation.text == (
        "vm0/0 is told that its access succeeded although no event could be made for it (EOPNOTSUPP)"
    )
    (failed,) = [records[seq - 1] for seq in violation.because]
    assert isinstance(failed, GuestEvent)


def test_violated_by_passthrough_although_no_event_could_be_made() -> None:
    """v7 opens passthrough with the first access, even if there is no event."""
    records = trace(ordered(TURN_ON + "vm0/0: a = rdmsr LBR_TOS;", head=NO_CALL_STACK), V7)
    found = [records[v.seq - 1] for v in finding(records, NAME).violations]

    assert [type(record) for record in found] == [Access, GuestMsr]


@cases(("design", "verdict"), [(FENCED, HELD), (REVOKE_GP, HELD), (KVM_SWITCH, IDLE)])
def test_a_guest_without_an_event_that_is_told_or_needs_none(design: Design, verdict: str) -> None:
    assert finding(trace(ordered(TURN_ON, head=NO_CALL_STACK), design), NAME).verdict == verdict


def test_a_later_event_gives_the_right_again() -> None:
    """A BTS event is in the way of the first attempt; it goes, and the next write makes the event."""
    steps = (
        "host: b = open cpu0 counter bts; host: run vm0/0 on cpu0; vm0/0: wrmsr DEBUGCTL, LBR; host: close b;"
        "vm0/0: wrmsr DEBUGCTL, LBR;"
    )
    records = trace(ordered(steps), MERGED)
    denied, served = [r for r in records if isinstance(r, Access)]

    assert [v.seq for v in finding(records, NAME).violations] == [denied.seq]
    assert served.result == "done"
