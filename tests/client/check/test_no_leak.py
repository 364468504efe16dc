"""no-leak: nothing of the host or of another VM is readable by a guest."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

import perfcore_svc.perf.lbr
from contract.design import Design, Event, Save
from contract.provenance import branch_base
from contract.trace import Access, AnyRecord, GuestMsr, Setup, VmEntry
from tests.cases import cases
from tests.client.check.runs import AGAIN, HELD, HOST, IDLE, USE, VIOLATED, finding, first, ordered, trace
from tests.designs import DESIGNS, KVM_SWITCH, MERGED, REVOKE_GP, V7, V8

NAME = "no-leak"
TWO_VMS = "machine { cpus = 1; depth = 8; }\nvm vm0 { lbr = on; }\nvm vm1 { lbr = on; }"
TWO_VCPUS = "machine { cpus = 1; depth = 8; }\nvm vm0 { vcpus = 2; lbr = on; }"


def shared_cpu(design: Design, head: str = TWO_VMS, other: str = "vm1/0") -> list[AnyRecord]:
    """Two vCPUs take turns on one CPU; the first comes back and looks."""
    steps = "".join(f"host: run {v} on cpu0; {v}: wrmsr DEBUGCTL, LBR; {v}: branch 3;" for v in ("vm0/0", other))
    steps += "host: run vm0/0 on cpu0; vm0/0: branch 2; vm0/0: g = rdmsr LBR_STACK;"
    return trace(ordered(steps, actors=f"host, vm0/0, {other}", head=head), design)


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_held_between_vms(design: Design) -> None:
    found = finding(shared_cpu(design), NAME)

    # v8's inverted check passes nothing through while the event is on; reads through KVM still count.
    assert found.verdict == HELD


@cases("design", [V7, V8, MERGED, REVOKE_GP], ids=lambda d: d.name)
def test_held_against_the_host(design: Design) -> None:
    steps = HOST + "host: close h0;" + USE
    assert finding(trace(ordered(steps), design), NAME).verdict == HELD


@cases("steps", [USE + AGAIN, HOST, USE + HOST], ids=["alone", "no guest", "host last"])
def test_not_exercised(steps: str) -> None:
    assert finding(trace(ordered(steps), MERGED), NAME).verdict == IDLE


def test_one_vm_cannot_leak_to_itself() -> None:
    records = shared_cpu(replace(KVM_SWITCH, save=Save.NONE), TWO_VCPUS, "vm0/1")

    assert finding(records, NAME).verdict == IDLE


@cases("design", [KVM_SWITCH, MERGED, REVOKE_GP], ids=lambda d: d.name)
def test_readable_is_enough(design: Design) -> None:
    """Save axis none: the other VM's branches are there at entry, read or not."""
    records = shared_cpu(replace(design, save=Save.NONE))
    if design.event is not Event.NONE:
        # perf itself clears the ring for a task without LBR data: no leak, but a loss.
        assert finding(records, NAME).verdict == HELD
        assert finding(records, "no-loss").verdict == VIOLATED
        return
    violation, record = first(records, NAME)

    assert isinstance(record, VmEntry)
    assert record.passthrough
    assert violation.text == "vm0/0 enters with the LBR passed through and a branch of guest vm1/0 in it"


def test_violated_when_perf_neither_resets_nor_restores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perfcore_svc.perf.lbr, "_restore", lambda machine, pc, saved, owner: None)
    monkeypatch.setattr(perfcore_svc.perf.lbr, "lbr_reset", lambda machine, pc, why: None)
    violation, record = first(shared_cpu(MERGED), NAME)

    assert isinstance(record, VmEntry)
    assert "a branch of guest vm0/0 in it" in violation.text


def test_violated_by_an_intercepted_read() -> None:
    """v7's first read hands out what the host left."""
    steps = HOST + "host: close h0; host: run vm0/0 on cpu0; vm0/0: a = rdmsr LBR_FROM[2];"
    violation, record = first(trace(ordered(steps), V7), NAME)

    assert isinstance(record, Access)
    assert violation.text == "vm0/0 reads a host branch (of the idle task)"


def test_violated_by_the_host_beside_the_guest() -> None:
    violation, record = first(trace(ordered(USE + HOST + AGAIN), KVM_SWITCH), NAME)

    assert isinstance(record, VmEntry)
    assert "a host branch (of thread vm0/0) in it" in violation.text


@cases(("actor", "guest", "verdict"), [("", False, VIOLATED), ("vm1/0", True, VIOLATED), ("vm0/1", True, HELD)])
def test_a_read_that_is_passed_through(actor: str, guest: bool, verdict: str) -> None:
    """The ring had no foreign branch at the entry, but the read gives one. A branch of the own VM is no leak."""
    head = "machine { cpus = 2; depth = 8; }\nvm vm0 { vcpus = 2; lbr = on; }\nvm vm1 { lbr = on; }"
    steps = "host: run vm1/0 on cpu0; vm1/0: wrmsr DEBUGCTL, LBR; vm1/0: branch 2; " + USE
    records = trace(ordered(steps, actors="host, vm0/0, vm1/0", head=head), MERGED)
    setup = records[0]
    assert isinstance(setup, Setup)
    at, read = [(i, r) for i, r in enumerate(records) if isinstance(r, GuestMsr)][-1]
    assert finding(records, NAME).verdict == HELD

    value = branch_base(setup.actors.index(actor), guest, "jmp", "user")
    records[at] = replace(read, value=value)
    found = finding(records, NAME)
    assert found.verdict == verdict
    assert [v.seq for v in found.violations] == [read.seq] * (verdict == VIOLATED)
