"""user-clean: user space reads no branch of the host or of another VM out of a guest's LBR."""

from __future__ import annotations

import msgspec

from contract.design import Design, Save
from contract.provenance import branch_base
from contract.trace import AnyRecord, UserMsr
from tests.cases import cases
from tests.client.check.runs import HELD, IDLE, USE, VIOLATED, finding, first, ordered, outcomes, trace
from tests.designs import DESIGNS, FENCED, KVM_SWITCH, MEDIATED, MERGED, VMX_TRANSITION

NAME = "user-clean"
TWO_CPUS = "machine { cpus = 2; depth = 8; }\ntask t1;\nvm vm0 { lbr = on; }"
TWO_VMS = "machine { cpus = 1; depth = 8; }\nvm vm0 { lbr = on; }\nvm vm1 { lbr = on; }"
ELSEWHERE = (
    "host: run vm0/0 on cpu0; host: run t1 on cpu1; host: h = open cpu1 pinned branch any; host: branch 8 on cpu1;"
    "host: disable h; vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: branch 2; vm0/0: cpuid; user: u = get vm0/0 LBR_FROM[5]"
)
"""The ioctl runs on a CPU where a host event has recorded, if another task makes it."""
OWN = USE + "vm0/0: cpuid; user: u = get vm0/0 LBR_FROM[4];"
LEAK_TO_OTHER_THREADS = {d.name for d in DESIGNS.values()} - {"fenced", "vmx-transition", "mediated", "first-come"}


def elsewhere(design: Design, thread: str = " from t1") -> list[AnyRecord]:
    return trace(ordered(f"{ELSEWHERE}{thread};", actors="host, vm0/0, user", head=TWO_CPUS), design)


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_another_thread_reads_the_lbr_of_its_own_cpu(design: Design) -> None:
    """Unless the design serves the vCPU's thread alone, or has the whole LBR of the guest in an image."""
    found = finding(elsewhere(design), NAME).verdict
    if design.name in LEAK_TO_OTHER_THREADS:
        assert found == VIOLATED
    elif design.name != "first-come":
        assert found != VIOLATED


@cases("register", ["FROM", "TO"])
def test_violated_by_a_host_address(register: str) -> None:
    steps = f"{ELSEWHERE} from t1;".replace("LBR_FROM", f"LBR_{register}")
    records = trace(ordered(steps, actors="host, vm0/0, user", head=TWO_CPUS), MERGED)
    violation, record = first(records, NAME)

    assert isinstance(record, UserMsr)
    assert violation.text == "user space of vm0/0 (t1) reads a host branch (of thread t1)"


def test_not_exercised_by_the_empty_entries_of_the_own_cpu() -> None:
    assert finding(elsewhere(MERGED, ""), NAME).verdict == IDLE


@cases("design", DESIGNS.values(), ids=DESIGNS)
def test_held_by_the_guests_own_branches(design: Design) -> None:
    records = trace(ordered(OWN, actors="host, vm0/0, user"), design)
    assert finding(records, NAME).verdict == HELD


@cases("design", [MERGED, VMX_TRANSITION], ids=lambda d: d.name)
@cases("by", ["vm0/0: wrmsr", "user: a = set vm0/0"], ids=["guest", "user space"])
def test_a_written_value_that_looks_like_a_host_branch(design: Design, by: str) -> None:
    forged = branch_base(0, False, "jmp", "user")
    steps = f"host: run vm0/0 on cpu0; vm0/0: t = rdmsr LBR_TOS; {by} LBR_FROM[2], {forged:#x}; vm0/0: cpuid;"
    records = trace(ordered(steps + "user: u = get vm0/0 LBR_FROM[2];", actors="host, vm0/0, user"), design)

    assert outcomes(records)["user:u"] == forged
    assert finding(records, NAME).verdict == HELD


def test_violated_by_a_branch_of_another_vm() -> None:
    """Nobody saves: what vm1 recorded is still there when user space reads vm0's LBR."""
    steps = (
        "host: run vm0/0 on cpu0; vm0/0: a = rdmsr LBR_TOS; host: run vm1/0 on cpu0; vm1/0: wrmsr DEBUGCTL, LBR;"
        "vm1/0: branch 8; host: run vm0/0 on cpu0; user: u = get vm0/0 LBR_FROM[3];"
    )
    design = msgspec.structs.replace(KVM_SWITCH, save=Save.NONE)
    records = trace(ordered(steps, actors="host, vm0/0, vm1/0, user", head=TWO_VMS), design)

    assert first(records, NAME)[0].text == "user space of vm0/0 (its own thread) reads a branch of guest vm1/0"


@cases("changes", [{"read": False}, {"processed": False}, {"value": 0}, {"msr": 0x1C9}], ids=str)
def test_not_exercised(changes: dict[str, object]) -> None:
    """A write, a read that was rejected, an empty entry, a register without addresses."""
    records = trace(ordered(OWN, actors="host, vm0/0, user"), FENCED)
    at, read = next((i, r) for i, r in enumerate(records) if isinstance(r, UserMsr) and r.read)
    assert finding(records, NAME).verdict == HELD
    records[at] = msgspec.structs.replace(read, **changes)

    assert finding(records, NAME).verdict == IDLE


def test_a_rejected_ioctl_shows_nothing() -> None:
    assert outcomes(elsewhere(FENCED))["user:u"] == "ENOENT"
    assert isinstance(outcomes(elsewhere(MEDIATED))["user:u"], int)
