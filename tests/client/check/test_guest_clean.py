"""guest-clean: a guest reads only branches that it executed itself, or values that it wrote."""

from __future__ import annotations

from copy import deepcopy

import pytest
from msgspec.structs import replace

import kvm_svc.endpoint
from contract.design import Design, Save
from contract.messages import SchedOut
from contract.trace import Access, AnyRecord, GuestMsr, HostMsr, UserMsr
from kvm_svc.hypervisor import notifications
from kvm_svc.hypervisor.state import Hypervisor
from tests.cases import cases
from tests.client.check.runs import (
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
    trace,
    verdicts,
)
from tests.designs import DESIGNS, KVM_SWITCH, MERGED, REVOKE_GP, V7, V8

NAME = "guest-clean"
COLD = HOST + "host: close h0; host: run vm0/0 on cpu0; vm0/0: a = rdmsr LBR_FROM[2];"
TWO = "machine { cpus = 1; depth = 8; }\nvm vm0 { lbr = on; }\nvm vm1 { lbr = on; }"


def turns(design: Design) -> list[AnyRecord]:
    """Two VMs take turns on one CPU, each with a ring full of its own branches."""
    steps = "".join(f"host: run {v} on cpu0; {v}: wrmsr DEBUGCTL, LBR; {v}: branch 8;" for v in ("vm0/0", "vm1/0"))
    steps += "".join(f"host: run {v} on cpu0; {v}: g = rdmsr LBR_STACK;" for v in ("vm0/0", "vm1/0"))
    return trace(ordered(steps, actors="host, vm0/0, vm1/0", head=TWO), design)


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_held(design: Design) -> None:
    assert finding(trace(ordered(USE), design), NAME).verdict == HELD
    assert finding(turns(design), NAME).verdict == HELD


@cases("design", [V8, MERGED, KVM_SWITCH, REVOKE_GP], ids=lambda d: d.name)
def test_held_after_the_host(design: Design) -> None:
    assert finding(trace(ordered(COLD), design), NAME).verdict == HELD


@cases("steps", ["vm0/0: a = rdmsr LBR_TOS; vm0/0: b = rdmsr LBR_SELECT;", "vm0/0: branch 3;"])
def test_not_exercised(steps: str) -> None:
    assert finding(trace(ordered("host: run vm0/0 on cpu0;" + steps), MERGED), NAME).verdict == IDLE


def test_denied_reads_are_no_exercise() -> None:
    steps = HOST + "host: run vm0/0 on cpu0; vm0/0: a = rdmsr LBR_FROM[2];"
    assert finding(trace(ordered(steps), REVOKE_GP), NAME).verdict == IDLE


def test_own_values() -> None:
    steps = "host: run vm0/0 on cpu0; vm0/0: wrmsr LBR_FROM[2], 0x1234; vm0/0: a = rdmsr LBR_FROM[2];"
    for again in ("", "vm0/0: wrmsr LBR_FROM[3], 0x56; vm0/0: b = rdmsr LBR_FROM[3];"):
        assert finding(trace(ordered(steps + again), MERGED), NAME).verdict == HELD


def test_violated_by_v7s_first_read() -> None:
    """The access comes before the event that would have cleared the ring."""
    violation, record = first(trace(ordered(COLD), V7), NAME)

    assert isinstance(record, Access)
    assert violation.text == "vm0/0 reads a host branch (of the idle task)"


def test_violated_by_swapped_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    def swap(hv: Hypervisor, message: SchedOut) -> None:
        notifications.sched_out(hv, message)
        other = hv.vcpus["vm1/0" if message.vcpu == "vm0/0" else "vm0/0"]
        other.saved.snapshot = deepcopy(message.lbr)

    monkeypatch.setitem(kvm_svc.endpoint._HANDLERS, SchedOut, swap)
    records = turns(KVM_SWITCH)
    violation, record = first(records, NAME)

    assert isinstance(record, GuestMsr)
    assert violation.text == "vm0/0 reads a branch of guest vm1/0"
    assert verdicts(records)["no-leak"] == "violated"


def test_flags_that_a_guest_wrote_survive_a_switch() -> None:
    """Format 4 keeps the mispredict flag in bit 63; ``lbr_from_signext_quirk_wr`` mends bits 62:61 and no others."""
    head = "machine { lbr = haswell; depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }"
    steps = (
        "host: run vm0/0 on cpu0; vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: wrmsr LBR_FROM[0], 0x8000000000000010;"
        "host: h0 = open task t0 branch any; host: run t0 on cpu0; host: branch 1; host: run vm0/0 on cpu0;"
        "vm0/0: a = rdmsr LBR_FROM[0];"
    )
    assert finding(trace(ordered(steps, head=head), MERGED), NAME).verdict == HELD


def test_what_another_guest_wrote_is_not_its_own() -> None:
    """Nobody saves: vm0 reads a value that vm1 wrote into the ring, and that is no branch of anybody."""
    write = (
        "host: run vm0/0 on cpu0; vm0/0: a = rdmsr LBR_TOS; host: run vm1/0 on cpu0; vm1/0: wrmsr LBR_FROM[2], 0x1111;"
    )
    read = "host: run %s on cpu0; %s: b = rdmsr LBR_FROM[2];"
    design = replace(KVM_SWITCH, save=Save.NONE)

    def judged(reader: str) -> list[AnyRecord]:
        return trace(ordered(write + read % (reader, reader), actors="host, vm0/0, vm1/0", head=TWO), design)

    violation, record = first(judged("vm0/0"), NAME)
    assert isinstance(record, GuestMsr)
    assert violation.text == "vm0/0 reads nobody's branch"
    assert finding(judged("vm1/0"), NAME).verdict == HELD


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_what_user_space_wrote_for_the_guest(design: Design) -> None:
    """A restore: the value is nobody's branch, and nothing has leaked, in a register or in an image."""
    steps = "host: run vm0/0 on cpu0; user: a = set vm0/0 LBR_FROM[0], 0x1111; vm0/0: f = rdmsr LBR_FROM[0];"
    records = trace(ordered(steps, actors="host, vm0/0, user"), design)

    assert finding(records, NAME).verdict != VIOLATED
    written = [r for r in records if isinstance(r, UserMsr) and not r.read and r.touches_lbr]
    if written and outcomes(records)["vm0/0:f"] == 0x1111:
        others = [r for r in records if r not in written and not isinstance(r, HostMsr)]
        assert finding(renumbered(others), NAME).verdict == VIOLATED, "and nothing else excuses it"
