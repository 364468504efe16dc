"""KVM's reaction to messages of the host: threads, grants, revocations, and messages that come too late (R6)."""

from __future__ import annotations

from itertools import pairwise

from contract.machine import Continue, Enter, Exit, GuestValue, MsrDone, Nop, Ran, Rdmsr, Wrmsr
from contract.messages import (
    Ack,
    Available,
    CreateEvent,
    EventCreated,
    EventState,
    LbrImage,
    ReleaseEvent,
    Revoke,
    SchedIn,
    SchedOut,
)
from contract.trace import Access, ClaimChange, Discard, GuestEvent, VcpuLoad, VcpuPut, VcpuWait, VcpuWake
from contract.x86 import IA32_DEBUGCTL
from kvm_svc.hypervisor.claim import ClaimPhase
from tests.designs import KVM_SWITCH, MERGED, REVOKE_GP, V7
from tests.kvm_svc.rig import FROM0, VCPU, Script

EVENT = 7
DEBUGCTL_1 = Wrmsr(IA32_DEBUGCTL, 1)


def waiting() -> Script:
    """``revoke-gp``: the guest turned the LBR on, KVM has asked for an event."""
    script = Script(REVOKE_GP)
    script.tell(SchedIn(VCPU, 0, 0))
    script.step([DEBUGCTL_1], Exit("msr-write", [], 0, IA32_DEBUGCTL, True, 1))
    script.step([])
    assert script.heard() == [CreateEvent(VCPU, 1)]
    return script


def granted(grant: int = 3) -> Script:
    script = waiting()
    script.tell(EventCreated(VCPU, 1, EVENT, state="ACTIVE", grant=grant))
    script.step([])
    assert (script.vcpu().grant.number, script.vcpu().debugctl) == (grant, 1)
    return script


def in_guest_mode() -> Script:
    script = granted()
    script.step([Nop()], Ran([GuestValue()]))
    assert (script.vcpu().guest_mode, script.vcpu().lbr_desc.passthrough) == (True, True)
    return script


def test_sched_in_and_out() -> None:
    script = Script(V7)
    script.tell(SchedIn(VCPU, 1, 0x801))
    assert (script.vcpu().cpu, script.vcpu().host_debugctl) == (1, 0x801)

    script.tell(SchedOut(VCPU, 1))
    assert script.vcpu().cpu == -1
    assert [(r.vcpu, r.cpu) for r in script.records(VcpuLoad)] == [(VCPU, 1)]
    assert [(r.vcpu, r.cpu) for r in script.records(VcpuPut)] == [(VCPU, 1)]


def test_news_of_others_changes_nothing() -> None:
    script = granted()
    before = repr(script.vcpu())

    for body in (
        SchedIn("vm9/0", 3, 0),
        SchedOut("vm9/0", 3),
        EventCreated("vm9/0", 1, 9),
        EventState(99, "ERROR", 0),
        Revoke(99, 9, ""),
        Available(99, 0),
    ):
        assert script.tell(body) == []

    assert repr(script.vcpu()) == before


def test_event_created_wakes_only_its_request() -> None:
    script = waiting()
    script.tell(EventCreated(VCPU, 2, 9))
    assert script.vcpu().waiting

    script.tell(EventCreated(VCPU, 1, EVENT))
    assert (script.vcpu().waiting, script.vcpu().lbr_desc.event) == (False, EVENT)
    assert len(script.records(VcpuWait)) == len(script.records(VcpuWake)) == 1


def test_failed_creation_wakes_too() -> None:
    script = waiting()
    script.tell(EventCreated(VCPU, 1, 0, "EBUSY"))

    assert (script.vcpu().lbr_desc.event, script.vcpu().lbr_desc.create_errno) == (0, "EBUSY")
    assert [(r.change, r.reason) for r in script.records(GuestEvent)] == [("failed", "EBUSY")]


def test_designs_without_notifier_ignore_states() -> None:
    script = Script(MERGED)
    script.tell(SchedIn(VCPU, 0, 0))
    script.step([Rdmsr(FROM0)], Exit("msr-read", [], 0, FROM0))
    script.step([])
    script.tell(EventCreated(VCPU, 1, EVENT, state="ACTIVE", grant=3))

    assert (script.vcpu().claim.state, script.vcpu().grant.number) == ("", 0)


def test_event_state() -> None:
    script = granted(3)

    script.tell(EventState(EVENT, "INACTIVE", -1))
    claim, grant = script.vcpu().claim, script.vcpu().grant
    assert (grant.number, claim.state, claim.phase) == (0, "INACTIVE", ClaimPhase.OFF)

    script.tell(EventState(EVENT, "ACTIVE", 0, 4))
    assert (grant.number, grant.newest, claim.phase) == (4, 4, ClaimPhase.HELD)

    script.tell(EventState(EVENT, "ERROR", 0))
    assert (grant.number, claim.phase, script.vcpu().debugctl) == (0, ClaimPhase.LOST, 0)


def test_revoke_ends_use() -> None:
    script = in_guest_mode()

    assert script.tell(Revoke(EVENT, 3, "")) == []

    vcpu = script.vcpu()
    assert (vcpu.grant.number, vcpu.claim.state, vcpu.claim.phase) == (0, "ERROR", ClaimPhase.LOST)
    assert (vcpu.lbr_desc.passthrough, vcpu.debugctl) == (False, 0)
    assert vcpu.lbr_desc.event == EVENT


def test_revoked_guest_gets_gp() -> None:
    script = granted()
    script.tell(Revoke(EVENT, 3, ""))
    script.step([Rdmsr(FROM0)], Exit("msr-read", [], 0, FROM0))

    assert script.step([]).values == [GuestValue(fault=True)]
    assert script.asked == []
    assert [(r.result, r.denied) for r in script.records(Access)][-1] == ("gp", True)


def test_available_releases_the_dead_event() -> None:
    script = granted()
    script.tell(Revoke(EVENT, 3, ""))

    assert script.tell(Available(EVENT, 0)) == [ReleaseEvent(EVENT)]
    assert (script.vcpu().lbr_desc.event, script.vcpu().claim.phase) == (0, ClaimPhase.LOST), (
        "until the guest has been told"
    )


def test_available_means_nothing_to_an_owner() -> None:
    script = granted()

    assert script.tell(Available(EVENT, 0)) == []
    assert (script.vcpu().lbr_desc.event, script.vcpu().grant.number) == (EVENT, 3)


def test_recovered_guest_asks_afresh() -> None:
    script = granted()
    script.tell(Revoke(EVENT, 3, ""))
    script.tell(Available(EVENT, 0))
    script.step([Rdmsr(FROM0)], Exit("msr-read", [], 0, FROM0))
    assert script.step([]).values[-1].fault
    script.step([Rdmsr(FROM0)], Exit("msr-read", [], 0, FROM0))
    script.step([])
    assert script.heard() == [CreateEvent(VCPU, 2)]

    script.tell(EventCreated(VCPU, 2, 8, state="ACTIVE", grant=4))
    assert script.step([], MsrDone(met=True, value=5)).values == [GuestValue(5)]
    assert script.vcpu().grant.number == 4
    moves = ["none", "asked", "held", "lost", "denied", "none", "asked", "held"]
    assert [(r.old, r.new) for r in script.records(ClaimChange)] == list(pairwise(moves))


def test_kick_out_of_guest_mode() -> None:
    """Passthrough ends while the guest runs: it must leave guest mode before it runs on."""
    script = in_guest_mode()
    script.tell(Revoke(EVENT, 3, ""))
    assert script.vcpu().kick

    script.step([Nop()], Exit("external-interrupt", [], 0), Ran([GuestValue()]))

    first, second = script.asked
    assert isinstance(first, Continue)
    assert first.kick
    assert isinstance(second, Enter)
    assert (second.controls.passthrough, second.controls.debugctl) == (False, 0)
    assert not script.vcpu().kick


def test_no_kick_outside_guest_mode() -> None:
    script = granted()
    script.tell(Revoke(EVENT, 3, ""))

    assert not script.vcpu().kick


def test_no_kick_without_reason() -> None:
    script = in_guest_mode()
    script.tell(EventState(EVENT, "ACTIVE", 0, 4))
    script.step([Nop()], Ran([GuestValue()]))

    (first,) = script.asked
    assert isinstance(first, Continue)
    assert not first.kick


def test_snapshot_comes_with_sched_out() -> None:
    script = Script(KVM_SWITCH)
    image = LbrImage(tos=2, from_ip=[1] * 8, to_ip=[2] * 8, info=[3] * 8)
    script.tell(SchedIn(VCPU, 0, 0))
    script.tell(SchedOut(VCPU, 0, image))
    assert script.vcpu().saved.snapshot is None

    script.vcpu().saved.active = True
    script.tell(SchedOut(VCPU, 0, image))
    assert script.vcpu().saved.snapshot == image


def test_messages_kvm_has_no_use_for() -> None:
    script = Script(REVOKE_GP)
    script.tell(Ack(1))

    assert [r.rule for r in script.records(Discard)] == ["R1"]


def test_kick_when_only_the_grant_ends() -> None:
    """INACTIVE is no denial and does not change DEBUGCTL, but passthrough ends."""
    script = in_guest_mode()
    script.tell(EventState(EVENT, "INACTIVE", -1))

    assert (script.vcpu().kick, script.vcpu().lbr_desc.passthrough, script.vcpu().debugctl) == (True, False, 1)
