"""agreement: at rest both sides hold the same view."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

import kvm_svc.endpoint
from contract.design import Admission, Design, EntryCheck, Event, Notifier
from contract.messages import Revoke
from contract.results import VcpuView
from contract.trace import AnyRecord, CounterEvent, Rest, VcpuMoved
from tests.cases import cases
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
    play_late,
    renumbered,
    trace,
)
from tests.designs import DESIGNS, FAIL_ENTRY, MERGED, REVOKE_GP, V7

NAME = "agreement"
TASK = "machine { cpus = 1; depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }"
TWO = "machine { cpus = 2; depth = 8; }\nvm vm0 { vcpus = 2; lbr = on; }"
LEAVE = "host: run t0 on cpu0;"
FLEXIBLE = replace(REVOKE_GP, event=Event.TASK_FLEXIBLE)


def texts(records: list[AnyRecord]) -> list[str]:
    found = finding(records, NAME)
    assert {v.seq for v in found.violations} <= {len(records)}
    return [v.text for v in found.violations]


@cases("design", DESIGNS.values(), ids=DESIGNS)
@cases("steps", [USE, USE + LEAVE, USE + LEAVE + "host: run vm0/0 on cpu0; vm0/0: nop;"])
def test_held(design: Design, steps: str) -> None:
    assert finding(trace(ordered(steps, head=TASK), design), NAME).verdict == HELD


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_held_after_a_loss_unless_nobody_looks_or_tells(design: Design) -> None:
    """If the event can lose its slot, the host has to tell KVM, or KVM has to check at the entry."""
    can_lose = design.admission in (Admission.PRIVATE_SLOT, Admission.ORDINARY_SLOT)
    unseen = can_lose and design.notifier is Notifier.NONE and design.entry_check is EntryCheck.NONE
    found = finding(trace(ordered(USE + HOST + AGAIN, head=TASK), design), NAME)

    assert [v.text for v in found.violations] == ["vm0/0 has the LBR passed through, its event is ERROR"] * unseen


def test_not_exercised_without_a_vm() -> None:
    records = trace(ordered(HOST, actors="host", head="machine { cpus = 1; }"), MERGED)
    assert finding(records, NAME).verdict == IDLE


def test_not_exercised_before_rest() -> None:
    records = trace(ordered(USE), MERGED)
    assert finding(records[:-1], NAME).verdict == IDLE


@cases(
    ("steps", "fault", "expected"),
    [
        (USE + LEAVE, "drop:SchedOut:1", ["vm0/0 runs on no CPU, KVM believes on cpu0"]),
        ("host: run vm0/0 on cpu0;", "drop:SchedIn:1", ["vm0/0 runs on cpu0, KVM believes on no CPU"]),
        (USE, "drop:EventCreated:1", ["the host keeps event 1 for vm0/0, KVM knows nothing of it"]),
        (
            USE + HOST + AGAIN,
            "drop:Revoke:1",
            [
                "KVM holds grant 1 for vm0/0, the host's is 0 (ERROR)",
                "vm0/0 has the LBR passed through, its event is ERROR",
                "KVM was told that the event of vm0/0 is ACTIVE, it is ERROR",
            ],
        ),
        (
            USE + HOST,
            "drop:Revoke:1",
            [
                "KVM holds grant 1 for vm0/0, the host's is 0 (ERROR)",
                "vm0/0 has the LBR passed through, its event is ERROR",
                "KVM was told that the event of vm0/0 is ACTIVE, it is ERROR",
            ],
        ),
        (
            USE + HOST + "host: close h0;",
            "drop:ReleaseEvent:1",
            ["the host keeps event 1 for vm0/0, KVM knows nothing of it"],
        ),
    ],
    ids=lambda v: v if isinstance(v, str) and ":" in v and ";" not in v else None,
)
def test_violated_by_losses(steps: str, fault: str, expected: list[str]) -> None:
    records = trace(ordered(steps, head=TASK), REVOKE_GP, fault)
    assert texts(records) == expected
    assert isinstance(first(records, NAME)[1], Rest)


def test_violated_when_kvm_is_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kvm_svc.endpoint._HANDLERS, Revoke, lambda hv, message: None)

    assert texts(trace(ordered(USE + HOST + AGAIN), REVOKE_GP))[0].startswith("KVM holds grant 1")


def test_violated_by_a_lost_grant() -> None:
    """A flexible event comes back by itself, with a grant that nobody has asked for."""
    records = trace(
        ordered(USE + HOST + "host: close h0; host: advance 4ms;", head=TASK), FLEXIBLE, "drop:EventState:1"
    )

    assert texts(records) == [
        "KVM holds grant 0 for vm0/0, the host's is 2 (ACTIVE)",
        "KVM was told that the event of vm0/0 is ERROR, it is ACTIVE",
    ]


def test_violated_when_a_grant_overtakes_a_sched_in_without_one() -> None:
    """That SchedIn has no grant number, so R6 cannot tell that it is old: KVM drops the grant it was given."""
    story = ordered(USE + LEAVE + HOST + "host: run vm0/0 on cpu0; host: close h0;", head=TASK)
    records = play_late(story, FAIL_ENTRY, "SchedIn", 2, "EventCreated")

    assert texts(records) == ["KVM holds grant 0 for vm0/0, the host's is 2 (ACTIVE)"]


@cases("design", [V7, MERGED], ids=lambda d: d.name)
def test_designs_without_notifier_agree_on_no_grants(design: Design) -> None:
    """They are told nothing, so nothing they hold can be wrong."""
    records = trace(ordered(USE + HOST, head=TASK), design)
    (rest,) = [r for r in records if isinstance(r, Rest)]

    assert {view.grant for kvm in rest.kvm for view in kvm.vcpus} == {0}
    assert finding(records, NAME).verdict == HELD


# Hand-made ends ------------------------------------------------------------------------------------------


def two_vcpus() -> list[AnyRecord]:
    steps = "".join(f"host: run vm0/{i} on cpu{i}; vm0/{i}: wrmsr DEBUGCTL, LBR; vm0/{i}: nop;" for i in (0, 1))
    return trace(ordered(steps, actors="host, vm0/0, vm0/1", head=TWO), REVOKE_GP)


def ending(records: list[AnyRecord], **changes: object) -> list[AnyRecord]:
    """The same run with KVM's view of vm0/0 changed at its end."""
    rest = records[-1]
    assert isinstance(rest, Rest)
    vcpus = rest.kvm[0].vcpus
    changed = msgspec.structs.replace(vcpus[0], **changes)
    kvm = msgspec.structs.replace(rest.kvm[0], vcpus=[changed, *vcpus[1:]])
    return [*records[:-1], msgspec.structs.replace(rest, kvm=[kvm])]


@cases(
    ("changes", "expected"),
    [
        ({"cpu": 1}, ["vm0/0 runs on cpu0, KVM believes on cpu1"]),
        ({"cpu": -1}, ["vm0/0 runs on cpu0, KVM believes on no CPU"]),
        ({"grant": 9}, ["KVM holds grant 9 for vm0/0, the host's is 1 (ACTIVE)"]),
        ({"state": "ERROR"}, ["KVM was told that the event of vm0/0 is ERROR, it is ACTIVE"]),
        ({"state": "INACTIVE"}, ["KVM was told that the event of vm0/0 is INACTIVE, it is ACTIVE"]),
        ({"state": ""}, []),
        (
            {"event": 9},
            [
                "vm0/0 believes in event 9, the host has no such event",
                "the host keeps event 1 for vm0/0, KVM knows nothing of it",
            ],
        ),
    ],
)
def test_each_part_of_the_view(changes: dict[str, object], expected: list[str]) -> None:
    assert texts(two_vcpus()) == []
    assert texts(ending(two_vcpus(), **changes)) == expected


def test_events_of_two_vcpus_mixed_up() -> None:
    """Both sides know both events; KVM has them for the wrong vCPUs."""
    records = two_vcpus()
    rest = records[-1]
    assert isinstance(rest, Rest)
    a, b = rest.kvm[0].vcpus

    def swapped(view: VcpuView, other: VcpuView) -> VcpuView:
        return msgspec.structs.replace(view, event=other.event, grant=other.grant)

    kvm = msgspec.structs.replace(rest.kvm[0], vcpus=[swapped(a, b), swapped(b, a)])

    assert texts([*records[:-1], msgspec.structs.replace(rest, kvm=[kvm])]) != []


@cases(("told", "verdict"), [("ACTIVE", HELD), ("INACTIVE", HELD), ("ERROR", VIOLATED)])
def test_a_thread_that_is_off_is_not_told_of(told: str, verdict: str) -> None:
    """Its event goes off with it, and the host tells KVM only of the thread."""
    steps = "".join(f"host: run vm0/{i} on cpu{i}; vm0/{i}: wrmsr DEBUGCTL, LBR; vm0/{i}: nop;" for i in (0, 1))
    records = trace(ordered(steps + "host: idle cpu0;", actors="host, vm0/0, vm0/1", head=TWO), REVOKE_GP)

    assert finding(ending(records, state=told), NAME).verdict == verdict


# Counters --------------------------------------------------------------------------------------------------

COUNT = (
    "host: run vm0/0 on cpu0; vm0/0: wrmsr PERFEVTSEL0, 0x5300c4; vm0/0: wrmsr PERF_GLOBAL_CTRL, 1; vm0/0: branch 3;"
    "vm0/0: nop;"
)


def counting() -> list[AnyRecord]:
    return trace(ordered(COUNT), MERGED)


@cases("more", ["", "vm0/0: wrmsr PERFEVTSEL0, 0x5300c5; vm0/0: nop;", "vm0/0: cpuid; user: reset vm0/0;"])
def test_held_with_a_counter(more: str) -> None:
    records = trace(ordered(COUNT + more, actors="host, vm0/0, user"), MERGED)

    assert any(isinstance(r, CounterEvent) and r.change == "created" for r in records)
    assert finding(records, NAME).verdict == HELD


@cases("forgets", [CounterEvent, VcpuMoved])
def test_violated_by_an_event_of_a_counter_that_kvm_forgets(forgets: type) -> None:
    records = counting()
    at, made = next((i, r) for i, r in enumerate(records) if isinstance(r, CounterEvent))
    if forgets is CounterEvent:
        del records[at]
    else:
        records.insert(at + 1, VcpuMoved(vcpu="vm0/0", action="loaded", debugctl=0, lbr=False))
    expected = f"the host keeps event {made.event}, which counts for vm0/0, KVM knows nothing of it"

    assert texts(renumbered(records)) == [expected]


def test_a_saved_vcpu_is_not_forgotten() -> None:
    records = counting()
    records.insert(-1, VcpuMoved(vcpu="vm0/0", action="saved", debugctl=0, lbr=False))
    assert texts(renumbered(records)) == []


@cases("what", ["created", "resumed", "paused", "released"])
def test_violated_by_an_event_of_a_counter_that_the_host_has_not(what: str) -> None:
    records = counting()
    records.insert(-1, CounterEvent(vcpu="vm0/0", counter=1, event=77, change=what))
    expected = ["vm0/0 believes in event 77, which counts for it, the host has no such event"]

    assert texts(renumbered(records)) == (expected if what in ("created", "resumed") else [])


def test_violated_by_a_counter_that_is_not_given_back() -> None:
    """The vCPU is reset and a ReleaseEvent is lost."""
    steps = ordered(COUNT + "vm0/0: cpuid; user: reset vm0/0;", actors="host, vm0/0, user")
    assert len(texts(trace(steps, MERGED, "drop:ReleaseEvent:1"))) == 1
