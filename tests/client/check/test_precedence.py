"""precedence: nobody has the LBR that an event of a higher class wants."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contract.design import Design, Event, Precedence
from contract.reasons import NO_COUNTER as LACKS_COUNTER
from contract.trace import (
    AnyRecord,
    EventChange,
    EventFailed,
    EventOpen,
    EventWaits,
    HostLbr,
    HostWait,
    HostWake,
    Rest,
    Statement,
    Switch,
    VmEntry,
)
from perfcore_svc.grants.revocations import Revocations
from perfcore_svc.perf import sched
from tests.cases import cases
from tests.client.check.mutations import nothing
from tests.client.check.mutations.precedence import task_first
from tests.client.check.runs import (
    AGAIN,
    HELD,
    HOST,
    IDLE,
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
from tests.designs import (
    DESIGNS,
    FENCED,
    FIRST_COME,
    KVM_SWITCH,
    MEDIATED,
    MERGED,
    REVOKE_ACK,
    REVOKE_GP,
    V7,
    V7_PINNED,
    V8,
)

NAME = "precedence"
TASK = "machine { cpus = 1; depth = 8; }\ntask t0, t1;\nvm vm0 { lbr = on; }"
TWO_CPUS = "machine { cpus = 2; depth = 8; }\ntask t0;"
TWO_HOSTS = "machine { cpus = 1; depth = 8; }\nmachine dest { cpus = 1; }\ntask t0;"

# perf's own gap: a class that is on is not walked again. h1 waits when t0's event comes, and nobody asks it.
WAITS = "host: h2 = open cpu0 pinned branch any; host: h1 = open cpu0 branch any_call; host: close h2;"
GAP = WAITS + "host: run t0 on cpu0; host: h0 = open task t0 branch any;"


def told(records: list[AnyRecord]) -> list[str]:
    return [violation.text for violation in finding(records, NAME).violations]


def host(steps: str, *, head: str = TASK, design: Design = MERGED) -> list[AnyRecord]:
    """Host events alone."""
    return trace(ordered(steps, actors="host", head=head), design)


# Held ----------------------------------------------------------------------------------------------------


@cases("design", [V8, REVOKE_GP, FENCED], ids=lambda d: d.name)
@cases("steps", [USE + HOST + AGAIN, HOST + USE], ids=["guest first", "host first"])
def test_held_where_the_guests_event_stands_in_perfs_order(design: Design, steps: str) -> None:
    assert finding(trace(ordered(steps), design), NAME).verdict == HELD


@cases("steps", ["cpu0 pinned", "task t0 pinned", "cpu0", "task t0"])
def test_held_between_host_events_of_any_class(steps: str) -> None:
    """The other one is of another class, and comes first or last."""
    other = "task t0" if steps != "task t0" else "cpu0"
    opens = [f"host: h0 = open {steps} branch any;", f"host: h1 = open {other} branch any_call;"]
    for order in (opens, opens[::-1]):
        assert finding(host("host: run t0 on cpu0;" + "".join(order) + "host: branch 1;"), NAME).verdict == HELD


def test_held_where_the_higher_one_is_off() -> None:
    """Without the disable it is the gap below."""
    off = "host: disable h1; host: run t0 on cpu0; host: h0 = open task t0 branch any; host: branch 1;"
    assert finding(host(WAITS + off), NAME).verdict == HELD


def test_held_where_nobody_has_it() -> None:
    """Both wait since h2 has gone: perf asks nobody to take its place."""
    waits = "host: h2 = open cpu0 pinned branch any; host: h1 = open cpu0 branch any_call;"
    steps = (
        "host: run t0 on cpu0;" + waits + "host: h0 = open task t0 branch any_return; host: close h2; host: branch 1;"
    )
    assert finding(host(steps), NAME).verdict == HELD


def test_held_where_an_equal_has_it() -> None:
    """h2 is there to be put in its place."""
    opens = "host: h0 = open cpu0 branch any; host: h1 = open cpu0 branch any_call;"
    records = host("host: run t0 on cpu0;" + opens + "host: h2 = open task t0 branch any_return; host: branch 1;")

    assert outcomes(records)["host:h1"] == {"state": "INACTIVE", "samples": 0}
    assert finding(records, NAME).verdict == HELD


def test_held_where_both_have_it() -> None:
    """No event is shut out: the ring is judged by one-owner. h1 lost to an event of its own class, not to the guest."""
    both = replace(V7, shut_out=False)
    assert finding(trace(ordered(USE + HOST + AGAIN), both), NAME).verdict == HELD
    loses = "host: h1 = open cpu0 pinned branch any_call; host: branch 1;"
    assert finding(trace(ordered(USE + HOST + loses), both), NAME).verdict == HELD


def test_held_by_a_thread_that_comes_and_waits() -> None:
    """Neither event changes its state with the switch."""
    opens = "host: h0 = open cpu0 branch any; host: h1 = open task t0 branch any_call;"
    assert finding(host(opens), NAME).verdict == IDLE
    assert finding(host(opens + "host: run t0 on cpu0; host: branch 1;"), NAME).verdict == HELD


def test_what_went_off_just_now_wants_no_more() -> None:
    """As if three statements were one, so that h0 goes on before anybody looks."""
    steps = "host: disable h1; host: run t0 on cpu0; host: h0 = open task t0 branch any;"
    records = host(WAITS + steps + "host: branch 1;")
    one = [r for r in records if not (isinstance(r, Statement) and r.text.startswith(("run", "h0")))]

    assert len(one) == len(records) - 2
    assert finding(renumbered(one), NAME).verdict == HELD


# Not exercised -------------------------------------------------------------------------------------------


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_not_exercised_by_one_event_alone(design: Design) -> None:
    assert finding(trace(ordered(USE + AGAIN), design), NAME).verdict == IDLE
    assert finding(host(HOST, head="machine { cpus = 1; depth = 8; }", design=design), NAME).verdict == IDLE


def test_not_exercised_where_no_event_stands_for_the_guest() -> None:
    assert finding(trace(ordered(USE + HOST + AGAIN), KVM_SWITCH), NAME).verdict == IDLE


@cases(
    ("other", "head"),
    [
        ("host: h1 = open cpu0 branch any;", TASK),
        ("host: h1 = open cpu0 pinned counter;", TASK),
        ("host: h1 = open task t1 pinned branch any_call;", TASK),
        ("host: h1 = open cpu1 pinned branch any_call;", TWO_CPUS),
        ("host: h1 = open task t0 on cpu1 pinned branch any_call;", TWO_CPUS),
        ("host: h1 = open cpu1 pinned branch any_call;", TWO_HOSTS),
    ],
    ids=["equal filters share", "no branches", "another task", "another CPU", "its task elsewhere", "another host"],
)
def test_not_exercised_without_a_rival(other: str, head: str) -> None:
    steps = "host: run t0 on cpu0; host: h0 = open task t0 branch any;" + other + "host: branch 1 on cpu0;"
    assert finding(host(steps, head=head), NAME).verdict == IDLE


def test_an_event_waits_for_a_cpu_of_its_own_host_only() -> None:
    """A task of that name runs on the other host; there the event is nobody's rival."""
    steps = "host: h0 = open task t0 pinned branch any; host: run t0 on cpu1; host: h1 = open cpu1 branch any_call;"
    assert finding(host(steps + "host: branch 1 on cpu1;", head=TWO_HOSTS), NAME).verdict == IDLE


def test_two_guests_are_no_rivals() -> None:
    """Their threads take turns, and their events are of one class."""
    head = "machine { cpus = 1; depth = 8; }\nvm vm0 { lbr = on; }\nvm vm1 { lbr = on; }"
    steps = USE + "host: run vm1/0 on cpu0; vm1/0: wrmsr DEBUGCTL, LBR; vm1/0: branch 2;" + AGAIN.replace("vm0", "vm1")
    for design in (MERGED, REVOKE_GP):
        assert finding(trace(ordered(steps, actors="host, vm0/0, vm1/0", head=head), design), NAME).verdict == IDLE


def test_an_event_that_has_been_in_error_wants_no_more() -> None:
    """perf's rule. Nor does it once the LBR is free, and a lower one has it."""
    lost = "host: h1 = open cpu0 pinned branch any; host: h0 = open cpu0 pinned branch any_call; host: branch 1;"
    records = host(lost + "host: close h1; host: run t0 on cpu0; host: h2 = open task t0 branch any; host: branch 1;")

    assert [(r.name, r.new) for r in records if isinstance(r, EventChange) and r.new == "ERROR"] == [("h0", "ERROR")]
    assert finding(records, NAME).verdict == IDLE


# Violated ------------------------------------------------------------------------------------------------


@cases(
    ("design", "lower"),
    [(V7, "task-flexible"), (V7_PINNED, "task-pinned"), (MERGED, "task-pinned")],
    ids=["v7", "v7-pinned", "merged"],
)
def test_violated_by_an_event_that_bypasses_the_order(design: Design, lower: str) -> None:
    records = trace(ordered(USE + HOST), design)
    violation, record = first(records, NAME)

    assert isinstance(record, Statement)
    assert violation.text == f"vlbr:vm0/0 ({lower}) has the LBR of cpu0, h0 (CPU-pinned) is ACTIVE and shut out"
    opens = [records[seq - 1] for seq in violation.because]
    assert [(type(r), getattr(r, "name", "")) for r in opens] == [(EventOpen, "vlbr:vm0/0"), (EventOpen, "h0")]


@cases("scope", ["cpu0 pinned", "task vm0/0 pinned", "cpu0"])
def test_each_class_above_the_guests(scope: str) -> None:
    records = trace(ordered(USE + f"host: h0 = open {scope} branch any; host: branch 1;"), V7)
    assert finding(records, NAME).verdict == VIOLATED


def test_a_host_event_of_the_guests_own_filter_is_a_rival() -> None:
    """Host events of one filter share the LBR. A guest shares with nobody."""
    steps = "host: h0 = open cpu0 pinned branch call_stack user; host: branch 1;"
    assert told(trace(ordered(USE + steps), MERGED))[0].endswith("h0 (CPU-pinned) is ACTIVE and shut out")


@cases("scope", ["task vm0/0 pinned", "cpu0", "task vm0/0"])
def test_no_class_below_the_guests(scope: str) -> None:
    """It is shut out too, but by an event of a higher class, or of its own."""
    records = trace(ordered(USE + f"host: h0 = open {scope} branch any; host: branch 1;"), V7_PINNED)
    assert finding(records, NAME).verdict == (IDLE if "pinned" in scope else HELD)


def test_violated_by_a_wait() -> None:
    records = host(GAP + "host: branch 1;")
    violation, record = first(records, NAME)

    assert isinstance(record, Statement)
    assert violation.text == "h0 (task-flexible) has the LBR of cpu0, h1 (CPU-flexible) is INACTIVE"
    assert [getattr(records[seq - 1], "name", "") for seq in violation.because] == ["h1", "h0"]


def test_what_comes_last_is_judged_at_rest() -> None:
    assert isinstance(first(host(GAP), NAME)[1], Rest)


def test_what_the_guest_brought_about_is_judged_where_it_goes_on() -> None:
    """The first read of the stack makes the event, the others are the guest's own."""
    story = scenario("vm0/0 { g = rdmsr LBR_STACK; } host { h0 = open cpu0 pinned branch any; run vm0/0 on cpu0; }")
    assert isinstance(first(trace(story, MERGED), NAME)[1], VmEntry)


def test_violated_by_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held with the walk as it is. The loser is in ERROR, and did want the LBR until just now."""
    assert finding(trace(ordered(USE + HOST), REVOKE_GP), NAME).verdict == HELD
    monkeypatch.setattr(sched, "sched_in", task_first)

    records = trace(ordered(USE + HOST), REVOKE_GP)
    assert told(records) == ["vlbr:vm0/0 (task-pinned) has the LBR of cpu0, h0 (CPU-pinned) is ERROR"]


def test_held_where_a_flexible_guest_waits() -> None:
    flexible = replace(REVOKE_GP, event=Event.TASK_FLEXIBLE)
    records = trace(ordered(USE + "host: h0 = open task vm0/0 pinned branch any; host: branch 1;"), flexible)
    assert finding(records, NAME).verdict == HELD


def test_an_exclusive_event_that_is_not_alone_was_not_denied_the_lbr() -> None:
    host = "host: p = open cpu0 pinned counter; host: h0 = open cpu0 pinned exclusive branch any; host: branch 1;"
    assert told(trace(ordered(USE + host), FENCED)) == []


NO_COUNTER = "machine { cpus = 1; depth = 8; counters = 1; fixed = 0; }\nvm vm0 { lbr = on; }"


def test_held_where_the_higher_one_lacks_a_counter() -> None:
    """h0 is in ERROR because of c, and could not be on without the guest either."""
    steps = "host: c = open cpu0 pinned counter;" + USE + "host: h0 = open cpu0 pinned branch any;"
    assert told(trace(ordered(steps, head=NO_COUNTER), FENCED)) == []


# Told once -----------------------------------------------------------------------------------------------


@cases("cpu", ["cpu0", "cpu1"])
def test_one_that_waits_on_is_told_once(cpu: str) -> None:
    """Though other events come meanwhile."""
    steps = GAP + "host: branch 1; host: a = open task t1 counter; host: branch 1; host: b = open task t1 counter;"
    head = "machine { cpus = 2; depth = 8; }\ntask t0, t1;"
    records = host(steps.replace("branch 1", "branch 1 on cpu0").replace("cpu0", cpu), head=head)
    assert len(told(records)) == 1


def test_one_that_was_served_meanwhile_is_told_again() -> None:
    served = "host: disable h1; host: enable h1; host: branch 1;"
    again = "host: h3 = open cpu0 pinned branch any_return; host: close h3; host: disable h0; host: enable h0;"
    assert len(told(host(GAP + "host: branch 1;" + served))) == 1
    assert len(told(host(GAP + "host: branch 1;" + served + again))) == 2


def test_one_that_was_served_while_the_guest_was_away_is_told_again() -> None:
    away = "host: run t0 on cpu0; host: branch 1; host: run vm0/0 on cpu0; host: branch 1;"
    assert len(told(trace(ordered(USE + HOST + away, head=TASK), MERGED))) == 2


# Refused at open -----------------------------------------------------------------------------------------


def test_violated_by_a_refusal_for_a_lower_ones_sake() -> None:
    records = trace(ordered("host: c = open cpu0 counter;" + USE + HOST), FIRST_COME)
    violation, record = first(records, NAME)

    assert isinstance(record, EventFailed)
    assert violation.text == "h0 (CPU-pinned) is refused for vlbr:vm0/0 (task-pinned)"
    (holder,) = [records[seq - 1] for seq in violation.because]
    assert isinstance(holder, EventOpen)
    assert holder.name == "vlbr:vm0/0"


def test_violated_by_a_refusal_for_what_is_no_event() -> None:
    records = trace(ordered(USE + HOST), MEDIATED)
    violation, record = first(records, NAME)

    assert isinstance(record, EventFailed)
    assert violation.text == "h0 (CPU-pinned) is refused for a mediated VM"
    (entry,) = [records[seq - 1] for seq in violation.because]
    assert isinstance(entry, VmEntry)


@cases(
    ("design", "head", "steps"),
    [
        (FENCED, "vm vm0 { lbr = off; }", ""),
        (MEDIATED, "vm vm0 { lbr = off; }", ""),
        (FENCED, "vm vm0 { lbr = on; }", "host: run vm0/0 on cpu0; vm0/0: cpuid;"),
    ],
    ids=["fenced, no LBR", "mediated, no LBR", "fenced, LBR off"],
)
def test_not_exercised_by_a_refusal_for_vms_that_have_not_the_lbr(design: Design, head: str, steps: str) -> None:
    """A mediated VM exists, and nobody has the LBR that h0 asked for."""
    records = trace(
        ordered(steps + "host: mediate;" + HOST, head=f"machine {{ cpus = 1; depth = 8; }}\n{head}"), design
    )

    assert [r.holder for r in records if isinstance(r, EventFailed)] == ["a mediated VM"]
    assert finding(records, NAME).verdict == IDLE


# Groups --------------------------------------------------------------------------------------------------


@cases("design", [MERGED, FENCED], ids=lambda d: d.name)
def test_a_sibling_wants_nothing_while_its_leader_is_off(design: Design) -> None:
    group = "host: l = open cpu0 pinned counter disabled; host: h = open cpu0 in l branch any;"
    assert finding(trace(ordered(group + USE), design), NAME).verdict == IDLE
    assert finding(trace(ordered(group + "host: enable l;" + USE), FENCED), NAME).verdict == HELD
    assert told(trace(ordered(group + USE + "host: enable l;"), V7)) != []


def test_a_sibling_wants_nothing_while_its_leader_is_in_error() -> None:
    """c has one of the two counters that the group of l needs, so that it is in ERROR."""
    group = "host: l = open cpu0 pinned counter; host: h = open cpu0 in l branch any;"
    head = NO_COUNTER.replace("counters = 1", "counters = 2")
    records = trace(ordered("host: c = open cpu0 pinned counter;" + group + USE, head=head), MERGED)

    assert ("l", "ERROR") in [(r.name, r.new) for r in records if isinstance(r, EventChange)]
    assert finding(records, NAME).verdict == IDLE


def test_a_sibling_of_a_group_that_has_just_lost_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    group = "host: l = open cpu0 pinned counter; host: h = open cpu0 in l branch any;"
    assert finding(trace(ordered(USE + group), REVOKE_GP), NAME).verdict == HELD
    monkeypatch.setattr(sched, "sched_in", task_first)

    assert told(trace(ordered(USE + group), REVOKE_GP)) == [
        "vlbr:vm0/0 (task-pinned) has the LBR of cpu0, h (CPU-pinned) is INACTIVE"
    ]


def test_a_sibling_whose_leader_has_gone_is_flexible() -> None:
    """``perf_group_detach``: no class of its own above the guest's any more."""
    group = "host: l = open cpu0 pinned counter; host: h = open cpu0 in l branch any; host: close l;"
    records = trace(ordered(group + "host: disable h; host: enable h;" + USE), FENCED)
    assert finding(records, NAME).verdict == HELD


# Another resource is missing -----------------------------------------------------------------------------

FULL = "machine { cpus = 1; counters = 1; fixed = 1; depth = 8; }\ntask t0;"
LOW = "host: run t0 on cpu0; host: low = open task t0 flexible branch any_call counting instructions;"
WANTS_COUNTER = "host: c = open cpu0 pinned counter;" + LOW + "host: high = open cpu0 flexible branch any;"


@cases("design", [MERGED, FENCED], ids=lambda d: d.name)
def test_a_flexible_event_that_waits_for_a_counter_is_not_denied_the_lbr(design: Design) -> None:
    records = host(WANTS_COUNTER + "host: branch 3;", head=FULL, design=design)

    assert [(r.name, r.reason) for r in records if isinstance(r, EventWaits)] == [("high", "no counter is free")]
    assert outcomes(records)["host:high"] == {"state": "INACTIVE", "samples": 0}
    assert finding(records, NAME).verdict == IDLE


def test_with_a_counter_it_waits_for_the_lbr() -> None:
    """The nearest story that is wrong: a walk in the wrong order gives the LBR to the task's event."""
    opens = "host: high = open cpu0 flexible branch any;" + LOW.replace("host: run t0 on cpu0;", "")
    steps = f"host: run t0 on cpu0; {opens} host: disable high; host: enable high; host: branch 3;"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sched, "sched_in", task_first)
        texts = told(host(steps, head=FULL))
    assert texts == ["low (task-flexible) has the LBR of cpu0, high (CPU-flexible) is INACTIVE"]
    assert (
        finding(host(steps + "host: disable high; host: enable high; host: branch 3;", head=FULL), NAME).verdict == HELD
    )


# Asleep until KVM acknowledges ---------------------------------------------------------------------------


def test_an_event_may_wait_while_the_acknowledgement_is_under_way() -> None:
    records = trace(ordered(USE + HOST), REVOKE_ACK)
    wait = next(r for r in records if isinstance(r, HostWait))

    assert finding(records, NAME).verdict == HELD
    assert finding(records[: wait.seq], NAME).violations == []


def test_violated_by_a_wait_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """KVM does not answer, and no lease ends: the guest keeps the LBR for ever."""
    monkeypatch.setattr(Revocations, "_arm", lambda self: None)
    records = trace(ordered(USE + HOST), REVOKE_ACK, "drop:Revoke:1")
    violation, record = first(records, NAME)

    assert isinstance(record, Rest)
    assert violation.text == (
        "vlbr:vm0/0 (task-pinned) has the LBR of cpu0, h0 (CPU-pinned) waits for KVM to acknowledge"
    )


@cases("after", [True, False], ids=["after", "before"])
def test_nobody_of_a_lower_class_gets_the_lbr_meanwhile(after: bool) -> None:
    """The guest's event goes on once more after the host went to sleep, or did so before it."""
    records = trace(ordered(USE + HOST), REVOKE_ACK)
    wait = next(i for i, r in enumerate(records) if isinstance(r, HostWait))
    opened = next(r for r in records if isinstance(r, EventOpen) and r.guest)
    off_and_on: list[AnyRecord] = [
        EventChange(opened.event, opened.name, "ACTIVE", "INACTIVE", 0),
        EventChange(opened.event, opened.name, "INACTIVE", "ACTIVE", 0),
    ]
    statement = next(r for r in reversed(records[:wait]) if isinstance(r, Statement))
    at = wait + after
    part = [*records[:at], *off_and_on, *records[at : wait + 1], statement]

    assert bool(told(renumbered([replace(record, time=0) for record in part]))) == after


def test_a_guest_is_refused_for_a_lower_one_too() -> None:
    records = trace(ordered("host: h0 = open cpu0 branch any; host: run vm0/0 on cpu0; vm0/0: nop;" + USE), FIRST_COME)
    assert told(records)[0] == "vlbr:vm0/0 (task-pinned) is refused for h0 (CPU-flexible)"


@cases(
    "opens",
    [
        "host: h0 = open cpu0 pinned branch any; host: h1 = open cpu0 branch any_call;",
        "host: h0 = open cpu0 pinned branch any; host: h1 = open cpu0 pinned branch any_call;",
    ],
    ids=["lower", "equal"],
)
def test_held_by_a_refusal_of_no_higher_one(opens: str) -> None:
    records = host(opens, design=FIRST_COME)

    assert [r.name for r in records if isinstance(r, EventFailed)] == ["h1"]
    assert finding(records, NAME).verdict == HELD


@cases(
    ("steps", "design"),
    [
        ("host: h0 = open cpu0 pinned counter;", MEDIATED),
        ("host: h0 = open cpu0 pinned counter bts; host: h1 = open cpu0 pinned branch any;", MERGED),
    ],
    ids=["no branches", "for nobody's sake"],
)
def test_not_exercised_by_a_refusal_that_is_none_of_the_lbrs(steps: str, design: Design) -> None:
    records = trace(ordered(steps, actors="host"), design)

    assert any(isinstance(r, EventFailed) for r in records)
    assert finding(records, NAME).verdict == IDLE


def test_perfs_order_refuses_nobody() -> None:
    order = replace(FIRST_COME, precedence=Precedence.PERF_ORDER)
    assert finding(trace(ordered(USE + HOST), order), NAME).verdict == HELD


# Each record that can bring a violation about by itself ---------------------------------------------------


def edited(records: list[AnyRecord], at: AnyRecord, *more: AnyRecord) -> list[AnyRecord]:
    """With ``more`` before the record ``at``, and without what comes after it."""
    before = records[: at.seq - 1]
    return renumbered([*before, *(replace(record, time=at.time) for record in more), at])


CHANGES = (EventChange, EventWaits, HostLbr)


@cases(("scope", "found"), [("task t1", IDLE), ("cpu0", VIOLATED)])
def test_an_open_that_nothing_follows(scope: str, found: str) -> None:
    """As if perf did not try to put the new event on."""
    low = "host: run t0 on cpu0; host: low = open task t0 branch any_call; host: branch 1;"
    records = host(low + f"host: high = open {scope} branch any; host: branch 1;")
    opened = next(r for r in records if isinstance(r, EventOpen) and r.name == "high")
    untried = [r for r in records if not (r.seq > opened.seq and isinstance(r, CHANGES))]

    assert finding(records, NAME).verdict == (HELD if scope == "cpu0" else IDLE)
    assert finding(renumbered(untried), NAME).verdict == found


@cases(("why", "found"), [(LACKS_COUNTER, IDLE), ("another filter", VIOLATED)])
def test_a_wait_for_something_else_becomes_one_for_the_lbr(why: str, found: str) -> None:
    """high lacks a counter; then perf tries again, and it lacks the LBR that low has."""
    records = host(WANTS_COUNTER + "host: branch 3; host: branch 1;", head=FULL)
    last = next(r for r in reversed(records) if isinstance(r, Statement))
    waits = next(r for r in records if isinstance(r, EventWaits))

    assert finding(edited(records, last, replace(waits, reason=why)), NAME).verdict == found


@cases(("on", "found"), [(True, HELD), (False, VIOLATED)])
def test_an_active_event_that_is_shut_out_later(on: bool, found: str) -> None:
    """No event changes its state with that."""
    records = trace(ordered(USE + HOST + "host: branch 1;"), replace(V7, shut_out=False))
    last = next(r for r in reversed(records) if isinstance(r, Statement))
    lbr = next(r for r in reversed(records) if isinstance(r, HostLbr) and r.enabled)

    assert finding(edited(records, last, replace(lbr, enabled=on)), NAME).verdict == found


@cases(("fault", "found"), [([], HELD), (["drop:Revoke:1"], VIOLATED)], ids=["wakes", "sleeps on"])
def test_an_opener_that_woke_waits_no_more(fault: list[str], found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its event is OFF once more, and the guest has the LBR."""
    monkeypatch.setattr(Revocations, "_arm", nothing)
    steps = USE + HOST + ("" if fault else "host: disable h0; vm0/0: x = rdmsr LBR_TOS; vm0/0: wrmsr DEBUGCTL, LBR;")
    records = trace(ordered(steps), REVOKE_ACK, *fault)

    assert any(isinstance(r, HostWake) for r in records) == (not fault)
    assert finding(records, NAME).verdict == found


@cases(("task", "found"), [("t1", IDLE), ("t0", VIOLATED)])
def test_a_thread_that_comes_and_is_not_served(task: str, found: str) -> None:
    """As if perf did not look at its events."""
    opens = "host: low = open cpu0 branch any_call; host: high = open task t0 pinned branch any; host: branch 1;"
    records = host(f"{opens} host: run {task} on cpu0; host: branch 1;")
    switch = next(r for r in records if isinstance(r, Switch))
    idle = [r for r in records if not (r.seq > switch.seq and isinstance(r, CHANGES))]

    assert finding(records, NAME).verdict == (HELD if task == "t0" else IDLE)
    assert finding(renumbered(idle), NAME).verdict == found


@cases(("branches", "found"), [("", HELD), ("host: branch 2;", VIOLATED)])
def test_what_branches_were_recorded_for_counts(branches: str, found: str) -> None:
    """As if all statements from the switch on were one, in which the CPU executes branches, or none, while h0 has the
    LBR; at its end h0 is off."""
    records = host(GAP + branches + "host: disable h0; host: branch 1;")
    inside = ("run", "h0", "branch 2", "disable")
    one = [r for r in records if not (isinstance(r, Statement) and r.text.startswith(inside))]

    assert finding(renumbered(one), NAME).verdict == found
