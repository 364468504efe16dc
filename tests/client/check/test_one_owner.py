"""one-owner: host and guest never both use a CPU's LBR."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

import kvm_svc.endpoint
from contract.design import Design
from contract.messages import LbrImage, Revoke
from contract.trace import GuestMsr, HostLbr, HostMsr, LbrRestore, Retired, VmEntry
from tests.cases import cases
from tests.client.check.runs import AGAIN, HELD, HOST, IDLE, USE, VIOLATED, finding, first, ordered, renumbered, trace
from tests.designs import DESIGNS, KVM_SWITCH, MERGED, REVOKE_GP, V7

NAME = "one-owner"


@cases("design", [V7, MERGED, REVOKE_GP], ids=lambda d: d.name)
def test_held(design: Design) -> None:
    """By shutting the host out, or by revoking."""
    assert finding(trace(ordered(USE + HOST + AGAIN), design), NAME).verdict == HELD


@cases("design", DESIGNS.values(), ids=DESIGNS)
@cases(
    "steps",
    [USE + AGAIN, "host: run vm0/0 on cpu0;" + HOST + "vm0/0: branch 3; vm0/0: cpuid;", HOST],
    ids=["no host", "no use", "no guest"],
)
def test_not_exercised(design: Design, steps: str) -> None:
    assert finding(trace(ordered(steps), design), NAME).verdict == IDLE


def test_other_cpu_is_no_contention() -> None:
    head = "machine { cpus = 2; depth = 8; }\nvm vm0 { lbr = on; }"
    story = ordered(USE + "host: h0 = open cpu1 pinned branch any; host: branch 3 on cpu1;" + AGAIN, head=head)

    assert finding(trace(story, KVM_SWITCH), NAME).verdict == IDLE


@cases("design", [KVM_SWITCH, replace(MERGED, shut_out=False), replace(V7, shut_out=False)], ids=lambda d: d.name)
def test_violated_by_entering(design: Design) -> None:
    records = trace(ordered(USE + HOST + AGAIN), design)
    violation, record = first(records, NAME)

    assert isinstance(record, VmEntry)
    assert record.debugctl & 1
    assert "enters with DEBUGCTL.LBR set while the host has the LBR of cpu0 on" in violation.text
    (host_on,) = [records[seq - 1] for seq in violation.because]
    assert isinstance(host_on, HostLbr)
    assert host_on.enabled


def test_violated_by_reading_passed_through() -> None:
    steps = "host: run vm0/0 on cpu0; vm0/0: a = rdmsr LBR_TOS;" + HOST + "vm0/0: b = rdmsr LBR_TOS;"
    _, record = first(trace(ordered(steps), KVM_SWITCH), NAME)

    assert isinstance(record, GuestMsr)


def test_violated_by_kvm_for_the_guest() -> None:
    """v7 goes to the hardware before it has an event that would shut the host out."""
    steps = HOST + "host: run vm0/0 on cpu0; vm0/0: a = rdmsr LBR_TOS;"
    violation, record = first(trace(ordered(steps), V7), NAME)

    assert isinstance(record, HostMsr)
    assert record.on_behalf == "vm0/0"
    assert violation.text.startswith("KVM reads an LBR register for vm0/0")


def test_violated_when_kvm_is_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kvm_svc.endpoint._HANDLERS, Revoke, lambda hv, message: None)
    _, record = first(trace(ordered(USE + HOST + AGAIN), REVOKE_GP), NAME)

    assert isinstance(record, VmEntry)


def test_violated_by_a_lost_revoke() -> None:
    assert finding(trace(ordered(USE + HOST + AGAIN), REVOKE_GP, "drop:Revoke:1"), NAME).verdict == VIOLATED


def test_host_off_again_is_no_owner() -> None:
    records = trace(ordered(USE + HOST + "host: close h0;" + AGAIN), KVM_SWITCH)

    assert finding(records, NAME).verdict != VIOLATED


@cases(
    ("by", "on", "found"),
    [("kvm", True, True), ("kvm", False, False), ("perf", True, False)],
    ids=["kvm beside the host", "kvm alone", "perf"],
)
def test_kvm_that_loads_a_guests_lbr_uses_it(by: str, on: bool, found: bool) -> None:
    records = trace(ordered(USE + HOST + ("" if on else "host: close h0;")), REVOKE_GP)
    empty = LbrImage(0, 0, [0] * 8, [0] * 8, [0] * 8)
    restore = LbrRestore(0, by, "vm0/0", empty, False, time=records[-2].time)
    violations = finding(renumbered([*records[:-2], restore, *records[-2:]]), NAME).violations

    assert [v.text for v in violations] == (
        ["KVM writes the LBR for vm0/0 while the host has the LBR of cpu0 on"] if found else []
    )


@cases(("guest", "recorded", "found"), [(False, True, True), (False, False, False)])
def test_host_branches_in_a_live_ring(guest: bool, recorded: bool, found: bool) -> None:
    """The guest's thread is on the CPU, last entered with its LBR on, and its event is ACTIVE."""
    records = trace(ordered(USE), REVOKE_GP)
    branches = Retired(0, 0, guest, "jmp", "user", 500, 1, recorded, time=records[-2].time)
    violations = finding(renumbered([*records[:-2], branches, *records[-2:]]), NAME).violations

    assert bool(violations) == found
