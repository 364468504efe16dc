"""no-loss: a guest that is not denied reads its last branches, across switches and exits."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

import perfcore_svc.perf.lbr
from contract.design import Design, Save
from contract.trace import Access, AnyRecord, GuestMsr, GuestPmi, LbrReset, VcpuReset
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
    outcomes,
    renumbered,
    trace,
)
from tests.designs import DESIGNS, FENCED, KVM_SWITCH, MEDIATED, MERGED, REVOKE_GP, V7, V8, VMX_TRANSITION

NAME = "no-loss"
every_design = cases("design", DESIGNS.values(), ids=DESIGNS)
TASK = "machine { cpus = 1; lbr = %s; depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }"
SWITCH = "host: h0 = open task t0 branch any; host: run t0 on cpu0; host: branch 5; host: run vm0/0 on cpu0;"
LOOK = "vm0/0: t1 = rdmsr LBR_TOS; vm0/0: g = rdmsr LBR_STACK; vm0/0: o1 = rdmsr LBR_FROM[4];"


def switched(design: Design, model: str = "skylake") -> list[AnyRecord]:
    """The guest's thread makes way for a task that uses the LBR itself, and comes back."""
    return trace(ordered(USE + SWITCH + LOOK, head=TASK % model), design)


@every_design
def test_held_across_a_switch_to_another_user(design: Design) -> None:
    records = switched(design)

    assert finding(records, NAME).verdict == HELD
    assert outcomes(records)["vm0/0:g"] == {"tos": 4, "own": 4, "foreign": 0, "written": 0, "empty": 4}


@every_design
def test_held_across_exits_and_a_full_ring(design: Design) -> None:
    steps = USE + "vm0/0: cpuid; vm0/0: branch 30; host: branch 3; vm0/0: branch 3 call user;" + LOOK
    assert finding(trace(ordered(steps), design), NAME).verdict == HELD


def test_held_on_haswell() -> None:
    """Format 4: the quirk mends addresses, and what a guest reads is what the hardware wrote."""
    assert finding(switched(MERGED, "haswell"), NAME).verdict == HELD


@cases(
    "steps",
    ["vm0/0: g = rdmsr LBR_STACK;", "vm0/0: branch 4; vm0/0: g = rdmsr LBR_STACK;", "vm0/0: wrmsr DEBUGCTL, LBR;"],
    ids=["nothing recorded", "LBR off", "no read"],
)
def test_not_exercised(steps: str) -> None:
    assert finding(trace(ordered("host: run vm0/0 on cpu0;" + steps), MERGED), NAME).verdict == IDLE


def test_a_denied_guest_begins_anew_though_user_space_has_turned_its_lbr_on() -> None:
    """It records nothing in between, and knows that it was denied. Its own write gives it a fresh LBR."""
    steps = (
        "host: run vm0/0 on cpu0; host: h = open cpu0 pinned branch any; vm0/0: wrmsr DEBUGCTL, LBR;"
        "user: u = set vm0/0 DEBUGCTL, LBR; vm0/0: branch 2; host: disable h; vm0/0: wrmsr DEBUGCTL, LBR;"
        "vm0/0: t = rdmsr LBR_TOS; vm0/0: f = rdmsr LBR_FROM[2]; vm0/0: branch 1; vm0/0: g = rdmsr LBR_STACK;"
    )
    records = trace(ordered(steps, actors="host, user, vm0/0"), FENCED)
    assert (outcomes(records)["user:u"], outcomes(records)["vm0/0:f"]) == (1, 0)
    assert [r.denied for r in records if isinstance(r, Access)] == [True, False]
    assert finding(records, NAME).verdict == HELD


def test_what_a_denied_guest_writes_into_its_fresh_lbr_counts() -> None:
    """Its filter is in force before it turns the LBR on."""
    steps = (
        "host: run vm0/0 on cpu0; host: h = open cpu0 pinned branch any; vm0/0: wrmsr DEBUGCTL, LBR; host: close h;"
        "vm0/0: wrmsr LBR_SELECT, KERNEL; vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: branch 1 call;"
        "vm0/0: wrmsr LBR_TOS, 5; vm0/0: g = rdmsr LBR_STACK;"
    )
    records = trace(ordered(steps), FENCED)
    assert [r.denied for r in records if isinstance(r, Access)][:3] == [True, False, False]
    assert finding(records, NAME).verdict == HELD


def test_denied_guest_begins_anew() -> None:
    """It was told with a #GP that the LBR is not its own; that the ring is empty afterwards is no surprise."""
    later = "host: close h0; vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: o2 = rdmsr LBR_FROM[4];"
    records = trace(ordered(USE + HOST + AGAIN + later), REVOKE_GP)

    assert outcomes(records)["vm0/0:o1"] == "#GP"
    assert outcomes(records)["vm0/0:o2"] == 0
    assert finding(records, NAME).verdict == HELD


def test_a_guest_that_got_the_lbr_back_is_judged_again() -> None:
    """The host takes it again, and this time nobody tells the guest."""
    back = "host: close h0; vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: branch 4; vm0/0: t2 = rdmsr LBR_TOS;"
    lost = "host: h1 = open cpu0 pinned branch any; vm0/0: o2 = rdmsr LBR_FROM[t2];"
    records = trace(ordered(USE + HOST + AGAIN + back + lost), REVOKE_GP, "drop:Revoke:2")

    assert finding(trace(ordered(USE + HOST + AGAIN + back), REVOKE_GP), NAME).verdict == HELD
    assert first(records, NAME)[0].text == "vm0/0 reads 0 where it left a branch of guest vm0/0"


def test_written_values_count() -> None:
    steps = (
        "host: run vm0/0 on cpu0; vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: wrmsr LBR_TO[5], 0x10; vm0/0: a = rdmsr LBR_TO[5];"
    )
    assert finding(trace(ordered(steps), MERGED), NAME).verdict == HELD


@cases("design", [MERGED, V7], ids=lambda d: d.name)
def test_violated_by_the_newcomers_reset(design: Design) -> None:
    """A host event that arrives beside the guest's clears the ring, even while another user has it."""
    records = trace(ordered(USE + HOST + AGAIN), design)
    violation, record = first(records, NAME)

    assert isinstance(record, GuestMsr)
    assert violation.text == "vm0/0 reads 0 where it left a branch of guest vm0/0"
    assert [type(records[seq - 1]) for seq in violation.because] == [LbrReset]


@cases("design", [KVM_SWITCH, MERGED, V7, V8, REVOKE_GP], ids=lambda d: d.name)
def test_violated_without_saving(design: Design) -> None:
    _, record = first(switched(replace(design, save=Save.NONE)), NAME)

    assert isinstance(record, GuestMsr | Access)
    assert record.vcpu == "vm0/0"


def test_violated_when_perf_skips_the_restore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perfcore_svc.perf.lbr, "_restore", lambda machine, pc, saved, owner: None)

    assert isinstance(first(switched(MERGED), NAME)[1], GuestMsr)


def test_violated_by_merged_release_rule() -> None:
    """LBR off at the first entry after a sched-in: the event goes, and with it what the guest wanted to read."""
    steps = USE + "vm0/0: wrmsr DEBUGCTL, 0;" + SWITCH + LOOK
    violation, _ = first(trace(ordered(steps, head=TASK % "skylake"), MERGED), NAME)

    assert "reads 0 where it left a branch of guest vm0/0" in violation.text


def test_user_space_turning_the_lbr_off_is_no_loss() -> None:
    """KVM_SET_MSRS of DEBUGCTL: what the guest runs from then on is not to be recorded."""
    steps = USE + "user: u0 = set vm0/0 DEBUGCTL, 0; vm0/0: branch 2;" + LOOK
    records = trace(ordered(steps, actors="host, vm0/0, user"), MERGED)

    assert outcomes(records)["vm0/0:t1"] == 4
    assert finding(records, NAME).verdict == HELD


def test_loss_after_user_space_turned_the_lbr_on() -> None:
    """The other way round it must not be blind."""
    steps = (
        "host: run vm0/0 on cpu0; vm0/0: a = rdmsr LBR_TOS; user: u0 = set vm0/0 DEBUGCTL, 1; vm0/0: branch 4;"
        "vm0/0: f = rdmsr LBR_FROM[4];"
    )
    records = trace(ordered(steps, actors="host, vm0/0, user"), MERGED)
    assert outcomes(records)["vm0/0:f"] != 0
    assert finding(records, NAME).verdict == HELD


def test_a_guest_is_told_of_a_loss_even_when_the_lbr_is_free_again() -> None:
    """revoke-gp: a guest that did not touch the LBR while it was revoked is denied once before it may have it back."""
    records = trace(ordered(USE + HOST + "host: close h0;" + AGAIN), REVOKE_GP)

    assert any(isinstance(r, Access) and r.denied for r in records)
    assert finding(records, NAME).verdict == HELD


def test_tos_counts() -> None:
    violation, _ = first(trace(ordered(USE + HOST + AGAIN), KVM_SWITCH), NAME)

    assert violation.text == "vm0/0 reads TOS 1 where it left TOS 6"


@cases("thread", ["", " from t0"], ids=["own thread", "another task"])
@cases("design", [VMX_TRANSITION, MEDIATED], ids=lambda d: d.name)
def test_user_space_writes_into_the_image_that_an_entry_loads(design: Design, thread: str) -> None:
    """Whichever thread makes the ioctl: there is one image, and the guest must find the value in it."""
    steps = USE + f"host: run t0 on cpu1; vm0/0: cpuid; user: a = set vm0/0 LBR_FROM[2], 0x1111{thread};"
    head = (TASK % "skylake").replace("cpus = 1", "cpus = 2")
    story = ordered(steps + "vm0/0: f = rdmsr LBR_FROM[2];", actors="host, vm0/0, user", head=head)
    records = trace(story, design)

    assert (outcomes(records)["user:a"], outcomes(records)["vm0/0:f"]) == (1, 0x1111)
    assert finding(records, NAME).verdict == HELD
    at, read = [(i, r) for i, r in enumerate(records) if isinstance(r, GuestMsr)][-1]
    records[at] = replace(read, value=0)
    assert first(records, NAME)[0].text == "vm0/0 reads 0 where it left nobody's branch"


def test_a_position_that_user_space_wrote_counts() -> None:
    steps = "host: run vm0/0 on cpu0; user: a = set vm0/0 LBR_TOS, 5; vm0/0: t = rdmsr LBR_TOS;"
    records = trace(ordered(steps, actors="host, vm0/0, user"), MERGED)

    assert outcomes(records)["vm0/0:t"] == 5
    assert finding(records, NAME).verdict == HELD
    at, read = [(i, r) for i, r in enumerate(records) if isinstance(r, GuestMsr | Access)][-1]
    records[at] = replace(read, value=4)
    assert first(records, NAME)[0].text == "vm0/0 reads TOS 4 where it left TOS 5"


@cases("frozen", [True, False])
def test_branches_after_a_pmi_that_froze_the_lbr_are_not_missed(frozen: bool) -> None:
    """The nearest trace that must be flagged: the same, where the record says that the LBR went on."""
    steps = (
        "host: run vm0/0 on cpu0; vm0/0: wrmsr DEBUGCTL, LBR|FREEZE_LBRS_ON_PMI; vm0/0: wrmsr PERFEVTSEL0, 0x5300c4;"
        "vm0/0: wrmsr PMC0, 0xfffffffd; vm0/0: wrmsr PERF_GLOBAL_CTRL, 1; vm0/0: branch 3; vm0/0: nop;"
        "vm0/0: branch 12;"
        "vm0/0: t = rdmsr LBR_TOS; vm0/0: f = rdmsr LBR_FROM[3];"
    )
    records = trace(ordered(steps), MERGED)
    pmis = [r for r in records if isinstance(r, GuestPmi)]
    assert [r.frozen for r in pmis[:1]] == [True]
    for pmi in pmis:
        pmi.frozen = frozen

    assert finding(records, NAME).verdict == (HELD if frozen else VIOLATED)


def test_branches_after_a_reset_are_not_missed() -> None:
    """A reset clears DEBUGCTL.LBR; without it the guest would have recorded them."""
    steps = USE + "vm0/0: cpuid; user: reset vm0/0; vm0/0: branch 2; vm0/0: f = rdmsr LBR_FROM[5];"
    records = trace(ordered(steps, actors="host, vm0/0, user"), MERGED)

    assert outcomes(records)["vm0/0:f"] == 0
    assert finding(records, NAME).verdict == HELD
    kept = [r for r in records if not isinstance(r, VcpuReset)]
    assert finding(renumbered(kept), NAME).verdict == VIOLATED
