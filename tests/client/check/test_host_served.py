"""host-served: an ACTIVE host LBR event does get its branches."""

from __future__ import annotations

import msgspec
import pytest

import perfcore_svc.machine.machine
import perfcore_svc.perf.lbr
from contract.design import Design
from contract.trace import LbrRestore, Retired, SampleTaken
from perfcore_svc.machine.machine import Machine
from perfcore_svc.perf.context import PerfCpu
from perfcore_svc.perf.lbr import lbr_read
from tests.cases import cases
from tests.client.check.runs import HELD, HOST, IDLE, USE, VIOLATED, finding, first, ordered, trace
from tests.designs import DESIGNS, KVM_SWITCH, MERGED, REVOKE_GP, V7

NAME = "host-served"
SAMPLE = "host: s0 = sample h0;"


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_held_without_a_guest(design: Design) -> None:
    story = ordered(HOST + SAMPLE, actors="host", head="machine { cpus = 1; depth = 8; }")
    assert finding(trace(story, design), NAME).verdict == HELD


def test_held_against_a_guest() -> None:
    assert finding(trace(ordered(USE + HOST + SAMPLE), REVOKE_GP), NAME).verdict == HELD


@cases(
    "steps",
    [
        USE + "host: branch 3;",
        "host: h0 = open cpu0 branch any;" + SAMPLE,
        "host: h0 = open cpu0 branch any_return; host: branch 3 jmp;" + SAMPLE,
        "host: h0 = open cpu0 branch any user; host: branch 3 jmp kernel;" + SAMPLE,
        "host: h0 = open task vm0/0 branch any; host: branch 3;" + SAMPLE,
    ],
    ids=["no event", "no branch", "wrong kind", "wrong privilege", "wrong task"],
)
def test_not_exercised(steps: str) -> None:
    assert finding(trace(ordered(steps), MERGED), NAME).verdict == IDLE


@cases("design", [V7, MERGED], ids=lambda d: d.name)
def test_violated_by_the_shut_out(design: Design) -> None:
    records = trace(ordered(USE + HOST), design)
    violation, record = first(records, NAME)

    assert isinstance(record, Retired)
    assert not record.guest
    assert violation.text == "h0 is ACTIVE on cpu0, but 3 branches of the host are not recorded"


def test_violated_by_a_debugctl_not_restored() -> None:
    steps = USE + "host: h0 = open cpu0 pinned branch any; vm0/0: cpuid; host: branch 3;"
    assert isinstance(first(trace(ordered(steps), KVM_SWITCH), NAME)[1], Retired)


def test_violated_by_an_incomplete_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    def half(machine: Machine, pc: PerfCpu) -> bool:
        was_read = lbr_read(machine, pc)
        pc.lbr_stack = (pc.lbr_stack[0][:1], pc.lbr_stack[1][:1])
        return was_read

    monkeypatch.setattr(perfcore_svc.perf.lbr, "lbr_read", half)
    violation, record = first(trace(ordered(HOST + SAMPLE), MERGED), NAME)

    assert isinstance(record, SampleTaken)
    assert violation.text == "the sample of h0 lacks 2 branches that it asked for and that were recorded"


def test_what_the_interrupts_own_calls_push_out_is_not_due() -> None:
    """The ring is full of calls when the interrupt comes, and goes on recording: call-stack mode is not frozen."""
    steps = "host: h0 = open cpu0 pinned branch call_stack period 40; host: branch 40 call;"
    records = trace(ordered(steps), MERGED)
    (sample,) = (record for record in records if isinstance(record, SampleTaken))

    assert sum(bool(value) for value in sample.from_ip) == len(sample.from_ip)
    assert finding(records, NAME).verdict == HELD


def test_overwritten_branches_are_not_due() -> None:
    steps = (
        "host: h0 = open cpu0 pinned branch any; host: branch 100;" + SAMPLE + "host: branch 3; host: s1 = sample h0;"
    )
    assert finding(trace(ordered(steps), MERGED), NAME).verdict == HELD


@cases(("again", "verdict"), [("", HELD), ("host: branch 1;", VIOLATED)], ids=["old", "new"])
def test_only_branches_of_this_spell_are_due(again: str, verdict: str) -> None:
    """An empty sample after a disable and enable: what the ring holds from before is not missed."""
    steps = HOST + "host: disable h0; host: enable h0;" + again + SAMPLE
    records = trace(ordered(steps), MERGED)
    at, sample = next((i, r) for i, r in enumerate(records) if isinstance(r, SampleTaken))
    assert sample.from_ip
    records[at] = msgspec.structs.replace(sample, from_ip=[], to_ip=[])

    assert finding(records, NAME).verdict == verdict


@cases("lbr", ["skylake", "haswell", "sandybridge"])
def test_judged_when_serial_numbers_have_wrapped_around(lbr: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event is on when the numbers begin again at 0. It must still get the branches that it asked for."""
    monkeypatch.setattr(perfcore_svc.machine.machine, "SERIAL_LIMIT", 20)
    head = f"machine {{ cpus = 1; lbr = {lbr}; depth = 8; }}"
    steps = "host: branch 18; host: h0 = open cpu0 pinned branch any; host: branch 3;" + SAMPLE
    records = trace(ordered(steps, actors="host", head=head), MERGED)
    at, sample = next((i, r) for i, r in enumerate(records) if isinstance(r, SampleTaken))

    assert [r.first for r in records if isinstance(r, Retired)] == [0, 0]
    assert finding(records, NAME).verdict == HELD
    records[at] = msgspec.structs.replace(sample, from_ip=[], to_ip=[])
    assert first(records, NAME)[0].text.startswith("the sample of h0 lacks 3 branches")


def test_a_number_that_comes_again_is_a_new_branch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ring holds branches 0 to 2 when the event comes, and the same numbers again afterwards."""
    monkeypatch.setattr(perfcore_svc.machine.machine, "SERIAL_LIMIT", 3)
    steps = HOST + "host: disable h0; host: enable h0; host: branch 3;" + SAMPLE
    records = trace(ordered(steps, actors="host", head="machine { cpus = 1; depth = 8; }"), MERGED)
    at, sample = next((i, r) for i, r in enumerate(records) if isinstance(r, SampleTaken))

    assert finding(records, NAME).verdict == HELD
    records[at] = msgspec.structs.replace(sample, from_ip=[], to_ip=[])
    assert finding(records, NAME).verdict == VIOLATED


def test_what_perf_put_back_is_not_due() -> None:
    """A task's call stack goes back when the task does: it is from before the event was last ACTIVE."""
    head = "machine { cpus = 1; depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }"
    steps = (
        "host: h0 = open task t0 branch call_stack user; host: h1 = open task vm0/0 branch call_stack user;"
        "host: run t0 on cpu0; host: branch 2 call user; host: run vm0/0 on cpu0; host: branch 3 call user;"
        "host: run t0 on cpu0;" + SAMPLE
    )
    records = trace(ordered(steps, actors="host", head=head), MERGED)
    at, sample = next((i, r) for i, r in enumerate(records) if isinstance(r, SampleTaken))
    records[at] = msgspec.structs.replace(sample, from_ip=[], to_ip=[])

    assert any(isinstance(r, LbrRestore) and any(r.image.from_ip) for r in records)
    assert finding(records, NAME).verdict == HELD


@cases(
    ("steps", "head"),
    [
        ("host: h0 = open cpu0 branch any; host: branch 3; host: run t0 on cpu0; host: branch 1;", "task t0;"),
        (
            "host: h0 = open cpu0 branch call_stack user; host: a = open task t0 branch call_stack user;"
            "host: b = open task t1 branch call_stack user; host: run t0 on cpu0; host: branch 2 call user;"
            "host: run t1 on cpu0; host: branch 3 call user; host: run t0 on cpu0;",
            "task t0; task t1;",
        ),
        ("host: h0 = open cpu0 branch call_stack user; host: branch 3 call user; host: branch 1 return user;", ""),
    ],
    ids=["cleared at a switch", "another stack put back", "popped by a return"],
)
def test_what_a_ring_of_the_hosts_own_would_not_have_is_not_due(steps: str, head: str) -> None:
    """Perf itself clears the ring, or loads it; and in call-stack mode returns take entries away."""
    machine = f"machine {{ cpus = 1; depth = 8; }}\n{head}"
    records = trace(ordered(steps + SAMPLE, actors="host", head=machine), MERGED)

    assert any(isinstance(r, SampleTaken) for r in records)
    assert finding(records, NAME).verdict == HELD
