"""Monitors at their edges: violations that only one clause sees, and guests that would be accused wrongly."""

from __future__ import annotations

from msgspec.structs import replace

from contract.design import Design, Save
from contract.invariants import INVARIANTS
from contract.provenance import branch_base
from contract.trace import AnyRecord, GuestMsr, LbrRestore, Retired, SampleTaken, VmEntry
from tests.cases import cases
from tests.client.check.runs import HELD, HOST, USE, VIOLATED, finding, first, ordered, outcomes, trace, verdicts
from tests.designs import DESIGNS, KVM_SWITCH, MERGED

TASK = "machine { cpus = 1; depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }"
TWO_VMS = "machine { cpus = 1; depth = 8; }\nvm vm0 { lbr = on; }\nvm vm1 { lbr = on; }"
LBR_ON = "vm0/0: wrmsr DEBUGCTL, LBR;"


# one-owner -------------------------------------------------------------------------------------------------


def test_one_owner_sees_kvm_restore_over_a_live_host_ring() -> None:
    steps = USE + "host: run t0 on cpu0;" + HOST + "host: run vm0/0 on cpu0; vm0/0: nop;"
    records = trace(ordered(steps, head=TASK), KVM_SWITCH)
    violation, record = first(records, "one-owner")

    assert isinstance(record, LbrRestore)
    assert violation.text == "KVM writes the LBR for vm0/0 while the host has the LBR of cpu0 on"


def test_one_owner_lets_perf_restore_into_its_own_ring() -> None:
    steps = (
        "host: h0 = open task t0 branch call_stack user; host: h1 = open task vm0/0 branch call_stack user;"
        "host: run t0 on cpu0; host: branch 2 call user; host: run vm0/0 on cpu0; host: branch 3 call user;"
        "host: run t0 on cpu0;"
    )
    records = trace(ordered(steps, actors="host", head=TASK), MERGED)

    assert any(isinstance(r, LbrRestore) and r.component == "perf" for r in records)
    assert finding(records, "one-owner").verdict != VIOLATED


STALE = "host: h0 = open cpu0 branch any; host: run vm0/0 on cpu0;" + LBR_ON + "vm0/0: branch 2;"


def test_one_owner_sees_host_branches_in_a_guests_live_ring() -> None:
    """KVM remembered the host's DEBUGCTL at vcpu_load, when the LBR was the host's, and writes it back at an exit."""
    records = trace(ordered(STALE + "vm0/0: cpuid; host: branch 3;"), MERGED)
    violation, record = first(records, "one-owner")

    assert isinstance(record, Retired)
    assert not record.guest
    assert violation.text == "host branches are recorded on cpu0 into the ring of vm0/0"
    (entry,) = [records[seq - 1] for seq in violation.because]
    assert isinstance(entry, VmEntry)


def test_one_owner_has_nothing_against_host_branches_that_are_not_recorded() -> None:
    steps = USE + "vm0/0: cpuid; host: branch 3;"
    assert finding(trace(ordered(steps), MERGED), "one-owner").verdict != VIOLATED


# host-served -----------------------------------------------------------------------------------------------


def test_host_served_misses_what_kvm_wiped() -> None:
    steps = "host: run vm0/0 on cpu0;" + HOST + "vm0/0: a = rdmsr LBR_TOS; host: s0 = sample h0;"
    records = trace(ordered(steps), KVM_SWITCH)
    violation, record = first(records, "host-served")

    assert isinstance(record, SampleTaken)
    assert violation.text == "the sample of h0 lacks 3 branches that it asked for and that were recorded"


# no-loss ---------------------------------------------------------------------------------------------------


@cases("design", DESIGNS.values(), ids=DESIGNS)
@cases("returns", [1, 3])
def test_no_loss_with_a_return_first_in_call_stack_mode(design: Design, returns: int) -> None:
    """A return pops: TOS goes back, and so must that of the reference."""
    steps = (
        "host: run vm0/0 on cpu0; vm0/0: wrmsr LBR_SELECT, 0x3c4;" + LBR_ON + f"vm0/0: branch {returns} return user;"
        "vm0/0: branch 2 call user; vm0/0: t = rdmsr LBR_TOS; vm0/0: f = rdmsr LBR_FROM[t];"
    )
    records = trace(ordered(steps), design)

    assert outcomes(records)["vm0/0:t"] == (2 - returns) % 8
    assert outcomes(records)["vm0/0:f"] != 0
    assert finding(records, "no-loss").verdict == HELD


# no-leak and guest-clean -----------------------------------------------------------------------------------


@cases("bank", ["FROM", "TO"])
def test_a_guests_own_value_that_looks_like_a_host_branch_is_no_leak(bank: str) -> None:
    forged = branch_base(0, False, "jmp", "user") + (bank == "TO")
    steps = (
        HOST + "host: close h0; host: run vm0/0 on cpu0; vm0/0: a = rdmsr LBR_TOS;"
        f"vm0/0: wrmsr LBR_{bank}[2], {forged:#x}; vm0/0: cpuid; vm0/0: b = rdmsr LBR_{bank}[2];"
    )
    records = trace(ordered(steps), MERGED)

    assert outcomes(records)["vm0/0:b"] == forged
    assert isinstance(next(r for r in records if isinstance(r, GuestMsr) and r.value == forged), GuestMsr)
    for invariant in ("no-leak", "guest-clean"):
        assert finding(records, invariant).verdict == HELD


def leftover(*writes: str) -> list[AnyRecord]:
    """Nobody saves: vm1 leaves one branch behind and writes over part of it; vm0 comes back to that."""
    steps = "host: run vm0/0 on cpu0; vm0/0: a = rdmsr LBR_TOS; host: run vm1/0 on cpu0;"
    steps += "vm1/0: wrmsr DEBUGCTL, LBR; vm1/0: branch 1; vm1/0: wrmsr DEBUGCTL, 0;"
    steps += "".join(f"vm1/0: wrmsr {write};" for write in writes) + "host: run vm0/0 on cpu0; vm0/0: nop;"
    return trace(ordered(steps, actors="host, vm0/0, vm1/0", head=TWO_VMS), replace(KVM_SWITCH, save=Save.NONE))


@cases("left", ["FROM", "TO"])
def test_no_leak_looks_at_either_address_of_a_branch(left: str) -> None:
    over = {"FROM": "TO", "TO": "FROM"}[left]
    records = leftover(f"LBR_{over}[1], 0")
    violation, record = first(records, "no-leak")

    assert isinstance(record, VmEntry)
    assert record.vcpu == "vm0/0"
    assert violation.text == "vm0/0 enters with the LBR passed through and a branch of guest vm1/0 in it"


def test_no_leak_of_what_was_written_over() -> None:
    assert finding(leftover("LBR_FROM[1], 0", "LBR_TO[1], 0"), "no-leak").verdict == HELD


def test_every_run_here_is_a_trace() -> None:
    assert tuple(verdicts(trace(ordered(STALE), MERGED))) == INVARIANTS
