"""revoked-means-revoked: once KVM has taken a Revoke its guest does not use the LBR."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

import kvm_svc.endpoint
from contract.design import Event
from contract.messages import Revoke
from contract.trace import AnyRecord, Delivery, Discard, GuestMsr, HostMsr, Retired, VmEntry
from contract.x86 import IA32_DEBUGCTL, MSR_LBR_TOS
from kvm_svc.hypervisor import notifications
from kvm_svc.hypervisor.claim import ClaimPhase
from kvm_svc.hypervisor.state import Hypervisor, Vcpu
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
    play_late,
    renumbered,
    scenario,
    trace,
)
from tests.designs import DESIGNS, REVOKE_GP

NAME = "revoked-means-revoked"
# The thread comes back: SchedIn with grant 1. The host takes the LBR: Revoke of grant 1.
BACK = "host: run t0 on cpu0; host: run vm0/0 on cpu0;"
TASK = "machine { cpus = 1; depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }"
RACE = ordered(USE + BACK + HOST + AGAIN, head=TASK)


def late_grant() -> list[AnyRecord]:
    """Revoke of grant 1 overtakes the SchedIn that says it goes on."""
    return play_late(RACE, REVOKE_GP, "SchedIn", 2, "Revoke")


def test_held() -> None:
    assert finding(trace(ordered(USE + HOST + AGAIN), REVOKE_GP), NAME).verdict == HELD
    assert finding(trace(RACE, REVOKE_GP), NAME).verdict == HELD


def test_held_when_revoke_overtakes_its_grant() -> None:
    assert finding(late_grant(), NAME).verdict == HELD


def test_held_after_a_new_grant() -> None:
    records = trace(ordered(USE + HOST + "host: close h0; vm0/0: wrmsr DEBUGCTL, LBR;" + AGAIN), REVOKE_GP)

    assert isinstance(outcomes(records)["vm0/0:t1"], int)
    assert finding(records, NAME).verdict == HELD


def test_not_exercised_without_a_revoke() -> None:
    assert finding(trace(ordered(USE + AGAIN), REVOKE_GP), NAME).verdict == IDLE


@cases("name", [name for name, design in DESIGNS.items() if design.notifier == "none"])
def test_not_exercised_without_a_notifier(name: str) -> None:
    assert finding(trace(ordered(USE + HOST + AGAIN), DESIGNS[name]), NAME).verdict == IDLE


def test_not_exercised_by_a_lost_revoke() -> None:
    """A Revoke that KVM never took binds nobody: one-owner judges that."""
    records = trace(ordered(USE + HOST + AGAIN), REVOKE_GP, "drop:Revoke:1")

    assert finding(records, NAME).verdict == IDLE
    assert finding(records, "one-owner").verdict == VIOLATED


def test_violated_when_kvm_is_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kvm_svc.endpoint._HANDLERS, Revoke, lambda hv, message: None)
    records = trace(ordered(USE + HOST + AGAIN), REVOKE_GP)
    violation, record = first(records, NAME)

    assert isinstance(record, VmEntry)
    assert violation.text == "vm0/0 enters with the LBR after grant 1 was revoked"
    (taken,) = [records[seq - 1] for seq in violation.because]
    assert isinstance(taken, Delivery)
    assert taken.message == "Revoke"


def test_violated_without_the_newest_grant_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def trusting(hv: Hypervisor, vcpu: Vcpu, grant: int, until: int, why: str) -> None:
        vcpu.grant.number, vcpu.claim.phase = grant, ClaimPhase.HELD

    monkeypatch.setattr(notifications, "hold_grant", trusting)
    records = late_grant()
    violation, record = first(records, NAME)

    assert isinstance(record, VmEntry | GuestMsr)
    assert "after grant 1 was revoked" in violation.text
    assert finding(trace(RACE, REVOKE_GP), NAME).verdict == HELD


def test_r6_revoke_overtakes_event_created() -> None:
    """The host takes the LBR back before KVM has heard of the event: the revoked grant must not be used."""
    story = scenario(
        "vm0/0 { wrmsr DEBUGCTL, LBR; branch 4; t0 = rdmsr LBR_TOS; }"
        "host { run vm0/0 on cpu0; advance 1us; advance 1us; h0 = open cpu0 pinned branch any; branch 3; }"
    )
    records = trace(story, REVOKE_GP, "reorder:EventCreated:1")

    assert finding(records, NAME).verdict == HELD
    assert finding(records, "one-owner").verdict != VIOLATED


def test_stale_revoke_binds_nobody() -> None:
    """A flexible event comes back with grant 2 at the next sched-in; the Revoke of grant 1 arrives after that."""
    flexible = replace(REVOKE_GP, event=Event.TASK_FLEXIBLE)
    story = ordered(USE + HOST + "host: close h0;" + BACK + "vm0/0: nop; vm0/0: a = rdmsr LBR_TOS;", head=TASK)
    records = play_late(story, flexible, "Revoke", 1, "SchedIn")

    assert isinstance(outcomes(records)["vm0/0:a"], int)
    assert finding(records, NAME).verdict == IDLE


# Each kind of record ---------------------------------------------------------------------------------------


def after_revoke(*more: AnyRecord) -> list[str]:
    """The violations if ``more`` happens after KVM has taken the Revoke of grant 1, and the guest is out."""
    records = trace(ordered(USE + HOST), REVOKE_GP)
    assert any(isinstance(r, Delivery) and r.message == "Revoke" for r in records)
    changed = [*records[:-2], *(replace(record, time=records[-2].time) for record in more), *records[-2:]]
    return [violation.text for violation in finding(renumbered(changed), NAME).violations]


def branch(actor: int, *, guest: bool, recorded: bool) -> Retired:
    return Retired(
        cpu=0, actor=actor, guest=guest, branch="jmp", privilege="user", first=100, count=1, recorded=recorded
    )


@cases(
    ("record", "flagged"),
    [
        (VmEntry(0, "vm0/0", 1, False, 0), "enters with the LBR"),
        (VmEntry(0, "vm0/0", 0, True, 0), "enters with the LBR"),
        (VmEntry(0, "vm0/0", 0, False, 1), ""),
        (GuestMsr(0, "vm0/0", False, MSR_LBR_TOS, 3, False), "reaches an LBR register"),
        (HostMsr(0, "kvm", False, MSR_LBR_TOS, 3, on_behalf="vm0/0"), "is served by the LBR"),
        (HostMsr(0, "perf", False, MSR_LBR_TOS, 3), ""),
        (HostMsr(0, "kvm", True, IA32_DEBUGCTL, 1, on_behalf="vm0/0"), ""),
    ],
    ids=["entry with LBR", "entry passed through", "entry", "guest", "KVM for it", "perf", "KVM: DEBUGCTL"],
)
def test_each_use_after_a_revoke_and_its_neighbour(record: AnyRecord, flagged: str) -> None:
    assert after_revoke(record) == ([f"vm0/0 {flagged} after grant 1 was revoked"] if flagged else [])


def test_violated_by_a_guest_that_goes_on_recording() -> None:
    actors = trace(ordered(USE + HOST), REVOKE_GP)[0].actors  # type: ignore[union-attr]
    vcpu = actors.index("vm0/0")

    assert after_revoke(branch(vcpu, guest=True, recorded=True)) == ["vm0/0 records branches after grant 1 was revoked"]
    assert after_revoke(branch(vcpu, guest=True, recorded=False)) == []
    assert after_revoke(branch(vcpu, guest=False, recorded=True)) == []


def test_violated_where_a_guest_is_not_forced_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """KVM takes the Revoke, and leaves the guest in guest mode with its LBR on."""
    running = scenario(
        "vm0/0 { wrmsr DEBUGCTL, LBR; branch 4; branch 4; branch 4; branch 4; }"
        "host { run vm0/0 on cpu0; advance 1us; advance 1us; h0 = open cpu0 pinned branch any; branch 3; }"
    )
    assert finding(trace(running, REVOKE_GP), NAME).verdict == HELD
    monkeypatch.setitem(kvm_svc.endpoint._HANDLERS, Revoke, lambda hv, message: None)
    texts = [violation.text for violation in finding(trace(running, REVOKE_GP), NAME).violations]

    assert "vm0/0 records branches after grant 1 was revoked" in texts


@cases(("rule", "flagged"), [(None, True), ("R5", False)], ids=["taken", "discarded"])
def test_a_revoke_that_kvm_throws_away_binds_nobody(rule: str | None, flagged: bool) -> None:
    records = trace(ordered(USE + HOST), REVOKE_GP)
    at = next(i for i, r in enumerate(records) if isinstance(r, Delivery) and r.message == "Revoke")
    taken = records[at]
    assert isinstance(taken, Delivery)
    use = replace(VmEntry(0, "vm0/0", 1, False, 0), time=taken.time)
    away = [] if rule is None else [Discard(taken.session, False, taken.n, "Revoke", rule, "stale", time=taken.time)]

    assert bool(finding(renumbered([*records[: at + 1], *away, use]), NAME).violations) == flagged
