"""no-counter: LBR emulation takes no counter and causes no PMI."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from contract.design import Design, Takes
from contract.trace import CounterEvent, EventChange, EventOpen, GuestPmi, Pmi
from kvm_svc.hypervisor import pmi, run
from kvm_svc.hypervisor.state import Hypervisor, Vcpu
from perfcore_svc.perf import core, opening
from perfcore_svc.perf.event import PerfEvent
from tests.cases import cases
from tests.client.check.runs import AGAIN, HELD, HOST, IDLE, USE, VIOLATED, finding, first, ordered, trace
from tests.designs import DESIGNS, KVM_SWITCH, REVOKE_GP, V8

NAME = "no-counter"
COUNTER = replace(REVOKE_GP, takes=Takes.COUNTER)
TWO = "machine { cpus = 2; depth = 8; }\nvm vm0 { vcpus = 2; lbr = on; }"
# Counter 0 counts branches and interrupts at the tenth.
COUNT = (
    "vm0/0: wrmsr PERFEVTSEL0, 0x5300c4; vm0/0: wrmsr PMC0, 0xfffffff6; vm0/0: wrmsr PERF_GLOBAL_CTRL, 1;"
    "vm0/0: branch 20; vm0/0: nop;"
)
LOAD = "host: run vm0/0 on cpu0;"


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_held_unless_the_guests_event_takes_a_counter(design: Design) -> None:
    expected = VIOLATED if design.takes is Takes.COUNTER else HELD
    assert finding(trace(ordered(USE + HOST + AGAIN), design), NAME).verdict == expected


def test_held_by_an_entry_alone_where_no_event_stands_for_the_guest() -> None:
    records = trace(ordered(LOAD + "vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: nop;"), KVM_SWITCH)

    assert not any(isinstance(r, EventChange) for r in records)
    assert finding(records, NAME).verdict == HELD


def test_held_by_an_event_alone() -> None:
    """The guest reads, and never enters with its LBR on."""
    assert finding(trace(ordered(LOAD + "vm0/0: a = rdmsr LBR_TOS;"), REVOKE_GP), NAME).verdict == HELD


def test_a_place_in_the_event_list_is_no_counter() -> None:
    assert finding(trace(ordered(USE), replace(REVOKE_GP, takes=Takes.PLACE)), NAME).verdict == HELD


def test_held_beside_the_pmis_of_others() -> None:
    """The host's event overflows, and the guest's own counter does."""
    records = trace(ordered(USE + "host: h0 = open cpu0 counter period 5; host: branch 20;" + COUNT), REVOKE_GP)

    assert {name for r in records if isinstance(r, Pmi) for name in r.events} > {"h0"}
    assert any(isinstance(r, GuestPmi) for r in records)
    assert finding(records, NAME).verdict == HELD


@cases(
    "steps",
    [LOAD + "vm0/0: branch 3; vm0/0: wrmsr DEBUGCTL, 0; vm0/0: cpuid;", HOST, LOAD + COUNT],
    ids=["no use of the LBR", "no guest", "a counter alone"],
)
def test_not_exercised(steps: str) -> None:
    assert finding(trace(ordered(steps), REVOKE_GP), NAME).verdict == IDLE


def test_not_exercised_by_an_event_that_never_was_on() -> None:
    """It would take a counter if it were."""
    records = trace(ordered(HOST + LOAD + "vm0/0: a = rdmsr LBR_TOS;"), COUNTER)

    assert any(isinstance(r, EventOpen) and r.guest and r.counter for r in records)
    assert finding(records, NAME).verdict == IDLE


def test_violated_by_a_counter() -> None:
    """``perf_event_create_kernel_counter`` gives one by itself."""
    records = trace(ordered(USE), COUNTER)
    violation, record = first(records, NAME)

    assert isinstance(record, EventChange)
    assert violation.text == "vlbr:vm0/0 takes a counter of cpu0"
    (opened,) = [records[seq - 1] for seq in violation.because]
    assert isinstance(opened, EventOpen)
    assert (opened.guest, opened.counter) == ("vm0/0", True)


def test_violated_each_time_it_takes_one() -> None:
    records = trace(ordered(USE + "host: idle cpu0; host: run vm0/0 on cpu0;"), COUNTER)
    assert len(finding(records, NAME).violations) == 2


@cases("design", [REVOKE_GP, V8], ids=lambda d: d.name)
def test_violated_by_an_event_that_overflows(design: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    real = opening.guest_event

    def periodic(*arguments: Any) -> PerfEvent:
        event = real(*arguments)
        event.period = event.overflow_at = 3
        return event

    monkeypatch.setattr(core, "guest_event", periodic)
    records = trace(ordered(USE + "vm0/0: nop;"), design)
    violation, record = first(records, NAME)

    assert isinstance(record, Pmi)
    assert violation.text == "vlbr:vm0/0 causes a PMI"
    (opened,) = [records[seq - 1] for seq in violation.because]
    assert isinstance(opened, EventOpen)
    assert opened.guest == "vm0/0"


def unasked(hv: Hypervisor, vcpu: Vcpu) -> None:
    vcpu.pmu.pmi = True
    pmi.deliver_pmi(hv, vcpu)


@cases("steps", [USE, LOAD + "vm0/0: cpuid;"], ids=["in use", "not in use"])
def test_violated_by_a_pmi_that_no_counter_of_the_guest_explains(steps: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "deliver_pmi", unasked)
    violation, record = first(trace(ordered(steps), REVOKE_GP), NAME)

    assert isinstance(record, GuestPmi)
    assert (violation.text, violation.because) == ("vm0/0 gets a PMI, and has programmed no counter", [])


def test_another_vcpus_counter_explains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "deliver_pmi", unasked)
    steps = LOAD + "host: run vm0/1 on cpu1;" + COUNT + "vm0/1: nop;"
    records = trace(ordered(steps, actors="host, vm0/0, vm0/1", head=TWO), REVOKE_GP)
    counting = next(r.seq for r in records if isinstance(r, CounterEvent))
    found = finding(records, NAME)

    assert found.verdict == VIOLATED
    assert {v.text.split()[0] for v in found.violations if v.seq > counting} == {"vm0/1"}
    assert any(isinstance(r, GuestPmi) and r.vcpu == "vm0/0" and r.seq > counting for r in records)


@cases(("what", "verdict"), [("created", HELD), ("resumed", HELD), ("failed", VIOLATED)])
def test_a_counter_that_could_not_be_made_explains_nothing(what: str, verdict: str) -> None:
    """The guest's PMI comes from an event that counts for it."""
    records = trace(ordered(USE + COUNT), REVOKE_GP)
    assert any(isinstance(r, GuestPmi) for r in records)
    changed = [replace(r, change=what) if isinstance(r, CounterEvent) else r for r in records]

    assert finding(changed, NAME).verdict == verdict
