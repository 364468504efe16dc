"""no-starvation: a guest whose thread has a CPU runs."""

from __future__ import annotations

import pytest

from contract.design import Design
from contract.trace import AnyRecord, End, Rest, VcpuWait, VcpuWake, VmEntry
from kvm_svc.hypervisor import lbr
from tests.cases import cases
from tests.client.check.runs import (
    AGAIN,
    HELD,
    HOST,
    IDLE,
    OPEN,
    USE,
    VIOLATED,
    finding,
    first,
    ordered,
    renumbered,
    scenario,
    trace,
)
from tests.designs import DESIGNS, FAIL_ENTRY, FENCED, MERGED, REVOKE_GP

NAME = "no-starvation"
every_design = cases("design", DESIGNS.values(), ids=DESIGNS)

# Two threads, so that the host can go on where the guest cannot.
ASKS = "vm0/0 { wrmsr DEBUGCTL, LBR; branch 4; branch 4; branch 4; branch 4; }"
LEAVES = scenario(ASKS + "host { run vm0/0 on cpu0; advance 1us; advance 1us; idle cpu0; }")
COMES_BACK = scenario(ASKS + "host { run vm0/0 on cpu0; advance 1us; advance 1us; idle cpu0; run vm0/0 on cpu0; }")
LOSES = scenario(
    ASKS + "host { run vm0/0 on cpu0; advance 1us; h0 = open cpu0 pinned branch any; branch 3; close h0; }"
)


@every_design
def test_held(design: Design) -> None:
    assert finding(trace(ordered(USE + "vm0/0: branch 3;"), design), NAME).verdict == HELD
    assert finding(trace(COMES_BACK, design), NAME).verdict == HELD
    assert finding(trace(LOSES, design), NAME).verdict == HELD


@cases("steps", [HOST, "host: run vm0/0 on cpu0;" + HOST], ids=["no thread", "no code"])
@every_design
def test_not_exercised(design: Design, steps: str) -> None:
    assert finding(trace(ordered(steps), design), NAME).verdict == IDLE


def test_not_exercised_by_a_guest_that_never_got_a_cpu() -> None:
    """It has code left, but no thread that could run it."""
    records = trace(scenario("host { idle cpu0; } vm0/0 { nop; }"), MERGED)

    assert [r.unfinished for r in records if isinstance(r, End)] == [{"vm0/0": "its thread is on no CPU"}]
    assert finding(records, NAME).verdict == IDLE


# Violated ------------------------------------------------------------------------------------------------


@cases("design", [MERGED, REVOKE_GP], ids=lambda d: d.name)
def test_violated_by_an_answer_that_never_comes(design: Design) -> None:
    records = trace(ordered(USE), design, "drop:EventCreated:1")
    violation, record = first(records, NAME)

    assert isinstance(record, Rest)
    assert violation.text == "vm0/0 has a CPU and cannot continue: waits for EventCreated"
    (wait,) = [records[seq - 1] for seq in violation.because]
    assert isinstance(wait, VcpuWait)
    assert wait.vcpu == "vm0/0"


def test_held_where_the_answer_is_sent_again() -> None:
    assert finding(trace(ordered(USE), FENCED, "drop:EventCreated:1"), NAME).verdict == HELD


def test_a_guest_that_could_not_be_entered_exercises_it() -> None:
    """KVM never hears that the thread runs: no entry, and nothing that the thread waits for."""
    records = trace(ordered(USE), MERGED, "drop:SchedIn:1")
    violation, _ = first(records, NAME)

    assert not any(isinstance(r, VmEntry) for r in records)
    assert violation.text == "vm0/0 has a CPU and cannot continue: KVM has not taken SchedIn for cpu0"
    assert violation.because == []


def test_a_wait_that_is_over_explains_nothing() -> None:
    records = trace(COMES_BACK, MERGED, "drop:SchedIn:2")
    violation, _ = first(records, NAME)

    assert any(isinstance(r, VcpuWake) for r in records)
    assert "has not taken SchedIn" in violation.text
    assert violation.because == []


def test_violated_where_entries_fail_and_the_host_stays() -> None:
    records = trace(ordered(USE + HOST + AGAIN), FAIL_ENTRY)
    violation, _ = first(records, NAME)

    assert violation.text == "vm0/0 has a CPU and cannot continue: waits for Available"
    (wait,) = [records[seq - 1] for seq in violation.because]
    assert wait == [r for r in records if isinstance(r, VcpuWait)][-1]


def test_violated_where_nobody_says_that_the_host_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or where KVM lets nobody in for it."""
    assert finding(trace(LOSES, FAIL_ENTRY), NAME).verdict == HELD
    assert first(trace(LOSES, FAIL_ENTRY, "drop:Available:1"), NAME)[0].text.endswith("waits for Available")

    monkeypatch.setattr(lbr, "_let_in", lambda hv, vcpu: None)
    assert first(trace(LOSES, FAIL_ENTRY), NAME)[0].text.endswith("waits for Available")


# Not starved ---------------------------------------------------------------------------------------------


def test_a_guest_whose_thread_has_left_its_cpu_is_not_starved() -> None:
    records = trace(LEAVES, MERGED, "drop:EventCreated:1")
    (end,) = [r for r in records if isinstance(r, End)]

    assert end.unfinished == {"vm0/0": "waits for EventCreated"}
    assert finding(records, NAME).verdict == HELD


def test_open_before_rest() -> None:
    """The trace is cut before it comes to rest; what is due is named."""
    records = trace(ordered(USE), MERGED, "drop:EventCreated:1")
    found = finding(records[:-1], NAME)

    assert isinstance(records[-1], Rest)
    assert (found.verdict, found.violations) == (OPEN, [])
    (due,) = found.pending
    assert due.text == "vm0/0 waits for EventCreated"
    assert isinstance(records[due.seq - 1], VcpuWait)
    assert finding(records, NAME).violations


def test_open_before_rest_though_nothing_is_due() -> None:
    records = trace(ordered(USE), MERGED)
    assert (finding(records[:-1], NAME).verdict, finding(records[:-1], NAME).pending) == (OPEN, [])
    assert finding(records, NAME).verdict == HELD


def waits(message: str) -> list[AnyRecord]:
    """The guest waits for ``message`` from then on."""
    records = trace(ordered(USE), MERGED)
    return renumbered([*records[:-1], VcpuWait("vm0/0", message), records[-1]])


def test_an_ioctl_of_user_space_has_the_mutex() -> None:
    """The caller of the ioctl keeps the guest from running, not the host and not KVM."""
    assert finding(waits("the end of an ioctl"), NAME).verdict == HELD
    assert finding(waits("EventCreated"), NAME).verdict == VIOLATED


def test_each_starved_guest_is_told() -> None:
    head = "machine { cpus = 2; depth = 8; }\nvm vm0 { vcpus = 2; lbr = on; }"
    story = scenario("host { run vm0/0 on cpu0; run vm0/1 on cpu1; } vm0/0 { nop; } vm0/1 { nop; }", head=head)
    found = finding(trace(story, MERGED, "drop:SchedIn:1", "drop:SchedIn:2"), NAME)

    assert [v.text.split()[0] for v in found.violations] == ["vm0/0", "vm0/1"]
