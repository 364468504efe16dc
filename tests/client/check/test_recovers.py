"""recovers: a guest that lost the LBR is served again once it is free."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.schedule import Schedule
from client.schedule.strategies import InOrder, Late
from contract.design import Design, Event, Takes
from contract.reasons import NO_PLACE
from contract.trace import Access, AnyRecord, EventChange, EventWaits, GuestEvent, GuestMsr
from contract.x86 import MSR_LBR_TOS
from kvm_svc.hypervisor import msr
from tests.cases import cases
from tests.client.check.runs import (
    AGAIN,
    HELD,
    IDLE,
    OPEN,
    USE,
    VIOLATED,
    finding,
    first,
    ordered,
    outcomes,
    renumbered,
    scenario,
    trace,
)
from tests.designs import DESIGNS, FENCED, FIRST_COME, MERGED, MERGED_2023, REVOKE_ACK, REVOKE_GP, REVOKE_ZERO, V8

NAME = "recovers"
TWO = "machine { cpus = 2; depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }"
VCPUS = "machine { cpus = 2; depth = 8; }\nvm vm0 { vcpus = 2; lbr = on; }"
HOST = "host: h0 = open cpu0 pinned branch any; host: branch 3 on cpu0;"
LOST = USE + HOST + "vm0/0: x = rdmsr LBR_TOS;"
LOOKS = "vm0/0: y = rdmsr LBR_TOS; vm0/0: z = rdmsr LBR_TOS;"
FREE = LOST + "host: close h0;"


def verdict(steps: str, design: Design = V8, *, actors: str = "host, vm0/0", head: str = TWO) -> str:
    return finding(trace(ordered(steps, actors=actors, head=head), design), NAME).verdict


def denied(records: list[AnyRecord]) -> list[Access]:
    return [r for r in records if isinstance(r, Access) and r.denied]


# Held ----------------------------------------------------------------------------------------------------


@cases("design", [REVOKE_GP, REVOKE_ZERO, REVOKE_ACK, FENCED, MERGED_2023], ids=lambda d: d.name)
def test_held(design: Design) -> None:
    assert verdict(FREE + LOOKS, design) == HELD
    assert verdict(FREE + LOOKS + AGAIN, design) == HELD


@cases("design", [REVOKE_GP, FENCED], ids=lambda d: d.name)
def test_one_denial_after_the_host_has_gone_tells_the_guest(design: Design) -> None:
    """It was never denied before: it learns of its loss now."""
    records = trace(ordered(USE + HOST + "host: close h0;" + LOOKS), design)

    assert (outcomes(records)["vm0/0:y"], len(denied(records))) == ("#GP", 1)
    assert finding(records, NAME).verdict == HELD


def test_a_guest_that_comes_second_recovers_too() -> None:
    steps = HOST + "host: run vm0/0 on cpu0; vm0/0: x = rdmsr LBR_TOS; host: close h0;" + LOOKS
    assert (verdict(steps, FENCED), verdict(steps, V8)) == (HELD, VIOLATED)


@cases(("how", "found"), [("exclusive ", "not exercised"), ("", VIOLATED)])
def test_an_exclusive_event_keeps_a_guest_off_whatever_it_counts(how: str, found: str) -> None:
    """Beside one that is not, v8's guest is denied though the LBR is free: its ERROR sticks."""
    steps = LOST + f"host: close h0; host: e0 = open cpu0 pinned {how}counter;" + LOOKS
    assert verdict(steps) == found


def test_an_exclusive_event_that_has_gone_is_no_excuse() -> None:
    steps = LOST + "host: close h0; host: e0 = open cpu0 pinned exclusive counter; host: close e0;" + LOOKS
    assert verdict(steps) == VIOLATED


def test_held_for_good() -> None:
    """A host event that comes later and stays changes nothing."""
    later = "host: h1 = open cpu0 pinned branch any; vm0/0: v = rdmsr LBR_TOS; vm0/0: w = rdmsr LBR_TOS;"
    assert verdict(FREE + LOOKS + later, FENCED) == HELD


# Not exercised -------------------------------------------------------------------------------------------


@cases("design", DESIGNS.values(), ids=DESIGNS)
@cases("steps", [USE + AGAIN, LOST + LOOKS, HOST], ids=["no host", "never free", "no guest"])
def test_not_exercised(design: Design, steps: str) -> None:
    assert verdict(steps, design) == IDLE


@cases("design", [MERGED, FIRST_COME], ids=lambda d: d.name)
def test_not_exercised_by_a_guest_that_nobody_denies(design: Design) -> None:
    assert verdict(FREE + LOOKS, design) == IDLE


def test_not_exercised_by_another_guests_use() -> None:
    """vm0/0 lost, and does not look again."""
    steps = FREE + "host: run vm0/1 on cpu1; vm0/1: wrmsr DEBUGCTL, LBR; vm0/1: a = rdmsr LBR_TOS;"
    assert verdict(steps, FENCED, actors="host, vm0/0, vm0/1", head=VCPUS) == IDLE


# Open ----------------------------------------------------------------------------------------------------

ALONE = "machine { cpus = 1; depth = 8; }\nvm vm0 { lbr = on; }"


def test_open_after_one_denial_on_a_free_lbr() -> None:
    """An exclusive counter put the guest's event off. It has gone, the guest is denied once, and the story ends."""
    steps = USE + "host: x = open cpu0 pinned exclusive counter; vm0/0: a = rdmsr LBR_TOS; host: close x;"
    records = trace(ordered(steps + "vm0/0: b = rdmsr LBR_TOS;", head=ALONE), MERGED)
    found = finding(records, NAME)

    assert outcomes(records)["vm0/0:b"] == 0
    assert (found.verdict, found.violations) == (OPEN, [])
    (due,) = found.pending
    assert records[due.seq - 1] == denied(records)[-1]
    assert due.text == "vm0/0 is denied, though the LBR of cpu0 is free"


@cases(("fault", "found"), [(False, HELD), (True, OPEN)], ids=["served", "faults"])
def test_an_access_that_the_hardware_serves_ends_a_loss(fault: bool, found: str) -> None:
    steps = USE + "host: x = open cpu0 pinned exclusive counter; vm0/0: a = rdmsr LBR_TOS; host: close x;"
    records = trace(ordered(steps + "vm0/0: b = rdmsr LBR_TOS;", head=ALONE), MERGED)
    served = GuestMsr(0, "vm0/0", False, MSR_LBR_TOS, 3, fault, time=records[-2].time)

    assert finding(renumbered([*records[:-2], served, *records[-2:]]), NAME).verdict == found


def test_held_where_the_same_guest_is_served_again() -> None:
    steps = USE + "host: x = open cpu0 pinned exclusive counter; vm0/0: a = rdmsr LBR_TOS; host: close x;"
    assert verdict(steps + "vm0/0: b = rdmsr LBR_TOS;", FENCED, head=ALONE) == HELD


def test_turning_the_lbr_on_in_vain_ends_no_loss() -> None:
    """merged answers the write as done, though the guest's event is in ERROR; the guest is not served by that."""
    steps = USE + "host: x = open cpu0 pinned exclusive counter; vm0/0: a = rdmsr LBR_TOS; host: close x;"
    again = "vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: b = rdmsr LBR_TOS;"
    assert verdict(steps + again, MERGED, head=ALONE) == OPEN
    assert verdict(steps + again + again.replace("b =", "c ="), MERGED, head=ALONE) == VIOLATED


def test_a_write_that_is_answered_as_done_serves_where_the_event_is_active() -> None:
    """fenced makes a new event with that write."""
    steps = USE + "host: x = open cpu0 pinned exclusive counter; vm0/0: a = rdmsr LBR_TOS; host: close x;"
    assert verdict(steps + "vm0/0: wrmsr DEBUGCTL, LBR;", FENCED, head=ALONE) == HELD


def test_a_guest_without_a_counter_has_not_lost_the_lbr() -> None:
    """Its event needs one, and a host event has the only one."""
    takes = replace(V8, takes=Takes.COUNTER)
    head = "machine { cpus = 1; depth = 8; counters = 1; fixed = 0; }\nvm vm0 { lbr = on; }"
    steps = "host: c = open cpu0 pinned counter; host: run vm0/0 on cpu0;" + LOOKS + AGAIN
    records = trace(ordered(steps, head=head), takes)

    assert len(denied(records)) > 2
    assert [r.reason for r in records if isinstance(r, EventChange) and r.new == "ERROR"] == [NO_PLACE]
    assert finding(records, NAME).verdict == IDLE


@cases(
    ("counters", "opened", "closed", "found"),
    [(1, "c = open cpu0 pinned counter", "", IDLE), (2, "h0 = open cpu0 pinned branch any", "close h0", VIOLATED)],
    ids=["a counter", "the LBR"],
)
def test_what_a_flexible_guest_waits_for(counters: int, opened: str, closed: str, found: str) -> None:
    """It never goes to ERROR. perf does not look after it when h0 goes, and it is denied though the LBR is free."""
    takes = replace(V8, takes=Takes.COUNTER, event=Event.TASK_FLEXIBLE)
    head = f"machine {{ cpus = 1; depth = 8; counters = {counters}; fixed = 0; }}\nvm vm0 {{ lbr = on; }}"
    steps = f"host: {opened}; host: run vm0/0 on cpu0; vm0/0: x = rdmsr LBR_TOS;"
    records = trace(ordered(steps + (f"host: {closed};" if closed else "") + LOOKS, head=head), takes)

    assert [r.name for r in records if isinstance(r, EventWaits)] == ["vlbr:vm0/0"]
    assert len(denied(records)) == 3
    assert finding(records, NAME).verdict == found


# Violated ------------------------------------------------------------------------------------------------


def test_violated_by_an_error_that_stays() -> None:
    """Denied while the host has it, once more after that, and then without a reason."""
    records = trace(ordered(FREE + LOOKS), V8)
    violation, record = first(records, NAME)
    _, once, again = denied(records)

    assert record is again
    assert violation.text == "vm0/0 is denied again, though nobody else has wanted the LBR of cpu0 since"
    assert violation.because == [once.seq]


def test_violated_at_each_denial_more() -> None:
    found = finding(trace(ordered(FREE + LOOKS + AGAIN), V8), NAME)
    assert len(found.violations) == 3
    assert [v.because for v in found.violations[1:]] == [[v.seq] for v in found.violations[:-1]]


def test_violated_by_turning_the_lbr_on_in_vain() -> None:
    assert verdict(FREE + "vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: wrmsr DEBUGCTL, LBR;") == VIOLATED


def test_violated_when_nobody_says_that_the_lbr_is_free() -> None:
    assert finding(trace(ordered(FREE + LOOKS), REVOKE_GP, "drop:Available:1"), NAME).verdict == VIOLATED


def test_violated_when_kvm_does_not_ask_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(msr, "ask_again", lambda hv, vcpu: None)
    assert verdict(FREE + LOOKS, FENCED) == VIOLATED


# Accesses that are no use --------------------------------------------------------------------------------


@cases("use", ["wrmsr DEBUGCTL, 0", "d = rdmsr DEBUGCTL"])
def test_leaving_the_lbr_alone_is_no_use_of_it(use: str) -> None:
    """v8 denies it too."""
    records = trace(ordered(FREE + f"vm0/0: {use}; vm0/0: {use}; vm0/0: {use};"), V8)

    assert len(denied(records)) == 4
    assert finding(records, NAME).verdict == IDLE


def test_nor_does_it_make_up_for_a_denial() -> None:
    assert verdict(FREE + "vm0/0: y = rdmsr LBR_TOS; vm0/0: wrmsr DEBUGCTL, 0; vm0/0: z = rdmsr LBR_TOS;") == VIOLATED


def test_reading_debugctl_is_none_though_it_shows_the_lbr_on() -> None:
    """User space has turned it on, and the guest is still shut off: nobody said that the LBR is free."""
    sets = "user: u = set vm0/0 DEBUGCTL, LBR; vm0/0: d = rdmsr DEBUGCTL;"
    steps = FREE + "vm0/0: y = rdmsr LBR_TOS;" + sets + "vm0/0: z = rdmsr LBR_TOS;"
    records = trace(ordered(steps, actors="host, vm0/0, user"), REVOKE_GP, "drop:Available:1")

    assert outcomes(records)["vm0/0:d"] == 1
    assert finding(records, NAME).verdict == VIOLATED


def test_a_use_that_is_served_does() -> None:
    """The guest was served in between. So its next denial belongs to another loss, and is allowed."""
    records = trace(ordered(FREE + LOOKS + "vm0/0: w = rdmsr LBR_TOS;"), V8)
    assert len(finding(records, NAME).violations) == 2
    at = denied(records)[2].seq - 1
    served = records[at]
    assert isinstance(served, Access)
    records[at] = replace(served, denied=False, result="done")

    found = finding(records, NAME)
    assert (found.verdict, [due.seq for due in found.pending]) == (OPEN, [denied(records)[2].seq])


# Who else wants it ---------------------------------------------------------------------------------------


@cases(
    ("opened", "expected"),
    [
        ("cpu0 branch any", IDLE),
        ("task t0 branch any", IDLE),
        ("cpu1 pinned branch any", VIOLATED),
        ("task t0 on cpu1 branch any", VIOLATED),
        ("cpu0 disabled branch any", VIOLATED),
        ("cpu0 counter", VIOLATED),
    ],
)
def test_only_who_wants_the_lbr_of_its_cpu_keeps_a_guest_waiting(opened: str, expected: str) -> None:
    """A task's event wants that of any CPU."""
    assert verdict(f"host: h1 = open {opened};" + FREE + LOOKS) == expected


def test_one_that_lost_as_well_wants_nothing() -> None:
    steps = USE + HOST + "host: h1 = open cpu0 pinned branch any_call; vm0/0: x = rdmsr LBR_TOS; host: close h0;"
    assert verdict(steps + LOOKS) == VIOLATED


@cases(
    ("steps", "between"),
    [
        (FREE, "host: h1 = open cpu0 pinned branch any; host: close h1;"),
        (LOST + "host: disable h0;", "host: enable h0; host: disable h0;"),
    ],
    ids=["opened", "enabled"],
)
def test_who_wanted_it_since_is_a_reason(steps: str, between: str) -> None:
    assert verdict(steps + "vm0/0: y = rdmsr LBR_TOS; vm0/0: z = rdmsr LBR_TOS;") == VIOLATED
    assert verdict(steps + "vm0/0: y = rdmsr LBR_TOS;" + between + "vm0/0: z = rdmsr LBR_TOS;") == OPEN


ON_CPU1 = "host: run vm0/0 on cpu1; vm0/0: y = rdmsr LBR_TOS;"
"""The guest is denied on a CPU whose LBR is free."""


@cases(
    ("between", "found"),
    [
        ("host: h1 = open cpu1 pinned branch any; host: close h1;", OPEN),
        ("host: run vm0/0 on cpu0; host: h1 = open cpu0 pinned branch any; host: close h1;", OPEN),
        ("host: h1 = open cpu0 pinned branch any; host: run vm0/0 on cpu0; host: close h1;", OPEN),
        ("host: h1 = open cpu0 pinned branch any; host: close h1; host: run vm0/0 on cpu0;", VIOLATED),
        ("host: h1 = open cpu0 pinned branch any; host: close h1;", VIOLATED),
        ("host: h1 = open cpu0 pinned counter; host: run vm0/0 on cpu0; host: close h1;", VIOLATED),
    ],
    ids=["where it is", "where it comes", "before it comes", "gone when it comes", "elsewhere", "a counter"],
)
def test_who_wanted_it_where_the_guest_was_is_a_reason(between: str, found: str) -> None:
    """The guest moves after its denial. What it meets on the other CPU can cost it the LBR again."""
    assert verdict(FREE + ON_CPU1 + between + "vm0/0: z = rdmsr LBR_TOS;") == found


def test_a_denial_that_was_decided_before_the_host_left() -> None:
    """The vcpu has the answer to its second request, and has not acted on it, when the host event goes."""
    story = scenario(
        "host { run vm0/0 on cpu0; h1 = open cpu0 pinned branch any; run vm0/0 on cpu1; run vm0/0 on cpu0;"
        " disable h1; } vm0/0 { wrmsr DEBUGCTL, LBR; wrmsr LBR_FROM[0], 0x40; }",
        head="machine { cpus = 2; depth = 8; }\nvm vm0 { lbr = on; }",
    )
    turns = ["host", "vm0/0"] * 3 + ["vm0/0"] + ["host", "vm0/0"] * 2
    records = run(Inputs(story, FENCED, Schedule(other=lambda: InOrder(turns)))).records

    assert len(denied(records)) == 2
    gone = next(r for r in records if isinstance(r, EventChange) and r.new == "OFF")
    assert [r.seq < gone.seq for r in denied(records)] == [True, False]
    assert finding(records, NAME).verdict == OPEN


@cases(("state", "found"), [("", OPEN), ("disabled ", VIOLATED)])
def test_a_thread_that_runs_nowhere_wanted_it_since(state: str, found: str) -> None:
    """Its event is opened and closed, and never changes its state."""
    between = f"host: h1 = open task t0 {state}branch any; host: close h1;"
    steps = FREE + "vm0/0: y = rdmsr LBR_TOS;" + between + "vm0/0: z = rdmsr LBR_TOS;"
    records = trace(ordered(steps, head=TWO), V8)

    assert not [r for r in records if isinstance(r, EventChange) and r.name == "h1" and r.new != "OFF"]
    assert finding(records, NAME).verdict == found


def test_a_group_that_wanted_it_since_is_a_reason() -> None:
    """The sibling wants the LBR from the moment at which its leader is enabled; its own state says nothing."""
    group = "host: l = open cpu0 pinned counter disabled; host: h1 = open cpu0 in l branch any;"
    between = "host: enable l; host: disable l;"
    steps = "vm0/0: y = rdmsr LBR_TOS;{between}vm0/0: z = rdmsr LBR_TOS;"
    assert verdict(group + FREE + steps.format(between="")) == VIOLATED
    assert verdict(group + FREE + steps.format(between=between)) == OPEN


def test_another_guests_event_is_none() -> None:
    """It is made for vm0/1 on the other CPU, between the two denials of vm0/0."""
    other = "host: run vm0/1 on cpu1; vm0/1: wrmsr DEBUGCTL, LBR;"
    steps = FREE + "vm0/0: y = rdmsr LBR_TOS;" + other + "vm0/0: z = rdmsr LBR_TOS;"
    assert verdict(steps, actors="host, vm0/0, vm0/1", head=VCPUS) == VIOLATED


@cases("between", ["cpu0 counter", "cpu1 branch any", "cpu0 disabled branch any"])
def test_who_wanted_something_else_since_is_none(between: str) -> None:
    steps = FREE + "vm0/0: y = rdmsr LBR_TOS;" + f"host: h1 = open {between};" + "vm0/0: z = rdmsr LBR_TOS;"
    assert verdict(steps) == VIOLATED


# Messages under way --------------------------------------------------------------------------------------


def test_a_guest_is_denied_as_long_as_the_news_is_under_way() -> None:
    strategy = Late("Available")
    records = run(Inputs(ordered(FREE + LOOKS), REVOKE_GP, Schedule(other=lambda: strategy))).records

    assert strategy.applied
    assert len(denied(records)) == 3
    assert finding(records, NAME).verdict == IDLE


def test_nor_is_it_judged_while_news_for_another_is() -> None:
    """The monitor does not ask what a message is about."""
    strategy = Late("SchedIn", 2)
    steps = FREE + "vm0/0: y = rdmsr LBR_TOS; host: run vm0/1 on cpu1; vm0/0: z = rdmsr LBR_TOS;"
    records = run(Inputs(ordered(steps, head=VCPUS), V8, Schedule(other=lambda: strategy))).records

    assert strategy.applied
    assert finding(records, NAME).verdict == OPEN
    assert verdict(steps, head=VCPUS) == VIOLATED


# Cases that are not judged -------------------------------------------------------------------------------


@cases("design", [V8, REVOKE_GP, FENCED], ids=lambda d: d.name)
@cases("steps", [USE, FREE], ids=["in use", "denied before"])
def test_a_guest_that_user_space_stopped_is_not_judged(design: Design, steps: str) -> None:
    records = trace(ordered(steps + "user: stop_lbr vm0/0;" + LOOKS + AGAIN, actors="host, vm0/0, user"), design)

    assert {outcomes(records)[f"vm0/0:{name}"] for name in ("y", "z", "t1", "o1")} == {"#GP"}
    assert finding(records, NAME).verdict == IDLE


def test_a_guest_that_no_event_could_be_made_for_is_not_judged() -> None:
    """No host event wants the LBR: a mediated VM is in the way."""
    records = trace(ordered("host: mediate; host: run vm0/0 on cpu0;" + LOOKS + AGAIN), V8)

    assert {r.change for r in records if isinstance(r, GuestEvent)} == {"failed"}
    assert len(denied(records)) == 4
    assert finding(records, NAME).verdict == IDLE


def test_a_guest_that_an_event_was_made_for_after_all_is_judged() -> None:
    steps = "host: mediate; host: run vm0/0 on cpu0; vm0/0: w = rdmsr LBR_TOS; host: unmediate;" + FREE + LOOKS
    records = trace(ordered(steps), V8)

    assert [r.change for r in records if isinstance(r, GuestEvent)] == ["failed", "created"]
    assert finding(records, NAME).verdict == VIOLATED


def test_one_guest_answers_for_itself_alone() -> None:
    """vm0/1 is stopped, vm0/0 denied."""
    steps = "host: run vm0/1 on cpu1; vm0/1: wrmsr DEBUGCTL, LBR; user: stop_lbr vm0/1;" + FREE
    story = steps + LOOKS.replace("vm0/0", "vm0/1") + LOOKS
    assert verdict(story, actors="host, vm0/0, vm0/1, user", head=VCPUS) == VIOLATED
    assert verdict(steps + LOOKS.replace("vm0/0", "vm0/1"), actors="host, vm0/0, vm0/1, user", head=VCPUS) == IDLE
