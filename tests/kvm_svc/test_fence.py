"""The fence: every entry and every emulated use names its grant, and a stale grant is refused everywhere."""

from __future__ import annotations

from msgspec.structs import replace

from contract.control import Close, GetMsr, Open, SetMsr
from contract.design import Denial, Design, EntryCheck
from contract.machine import Branch, Check, GuestValue, Look, Rdmsr, ReadMsr, WriteMsr, Wrmsr
from contract.messages import CreateEvent, EventCreated, EventState, ReleaseEvent, Revoke
from contract.results import Done
from contract.trace import Granted, Retired, VmEntry
from contract.x86 import IA32_DEBUGCTL
from kvm_svc.hypervisor.lbr import set_passthrough
from tests.cases import cases
from tests.designs import FENCED, MERGED, REVOKE_GP
from tests.kvm_svc.rig import FROM0, VCPU, Rig
from tests.kvm_svc.told import EVENT, GONE, HELD, READ, TURN_ON, WRITE, Told, held, loaded, results

GP = [GuestValue(fault=True)]
VARIANTS = {
    "fenced": FENCED,
    "reads zero": replace(FENCED, denial=Denial.READ_ZERO),
    "told of losses too": replace(REVOKE_GP, entry_check=EntryCheck.FENCE),
    "told of nothing but grants": replace(MERGED, entry_check=EntryCheck.FENCE),
}
fenced = cases("design", VARIANTS.values(), ids=VARIANTS)


# At entry ----------------------------------------------------------------------------------------------------


@fenced
def test_an_entry_names_event_and_grant(design: Design) -> None:
    enter = held(design).enter(active=True)

    check = Check(EVENT, when_active=True, otherwise=False, refuse=False, grant=3, strip=True)
    assert (enter.controls.check, enter.controls.debugctl) == (check, 1)


def test_an_entry_by_the_current_grant_is_passed_through() -> None:
    told = held(FENCED)
    told.enter(active=True)

    assert (told.vcpu().lbr_desc.passthrough, told.vcpu().debugctl, told.grant.number) == (True, 1, 3)


@fenced
def test_an_entry_by_a_stale_grant_takes_the_lbr_away(design: Design) -> None:
    told = held(design)
    told.enter(active=False)

    assert (told.vcpu().lbr_desc.passthrough, told.vcpu().debugctl) == (False, 0)
    assert (told.claim.phase, told.grant.number) == ("lost", 0)


def test_without_a_grant_there_is_nothing_to_check_and_nothing_passed_through() -> None:
    told = loaded(FENCED)
    told.command(SetMsr(VCPU, IA32_DEBUGCTL, 1))
    told.tell(EventCreated(VCPU, 1, EVENT, state="INACTIVE"))
    controls = told.enter().controls

    assert (controls.check, controls.passthrough, controls.debugctl) == (None, False, 0)


def test_the_silicon_enters_with_a_stale_grant_as_without_any() -> None:
    """The host has taken the LBR, the Revoke is under way."""
    rig = Rig(FENCED)
    rig.debugctl(1)
    rig.perf(Open("h0", 0, pinned=True, branch=["any"]), settle=False)
    rig.step(Branch(4))

    entry = rig.records(VmEntry)[-1]
    assert (entry.passthrough, entry.debugctl) == (False, 0)
    assert not rig.records(Retired)[-1].recorded


# Uses --------------------------------------------------------------------------------------------------------


@fenced
def test_an_lbr_msr_access_names_event_and_grant(design: Design) -> None:
    told = held(design)

    told.access(READ, HELD)
    assert told.asked == [ReadMsr(VCPU, 0, FROM0, EVENT, grant=3)]
    told.access(WRITE, HELD)
    assert told.asked == [WriteMsr(VCPU, 0, FROM0, 5, EVENT, grant=3)]


@cases("op", [READ, WRITE, TURN_ON])
def test_a_use_by_a_stale_grant_is_denied(op: Rdmsr | Wrmsr) -> None:
    told = held(FENCED)

    assert told.access(op, GONE) == GP
    assert (told.claim.phase, told.grant.number, told.vcpu().debugctl) == ("denied", 0, 0)
    assert results(told)[-1] == ("gp", True)


def test_debugctl_with_lbr_looks_first() -> None:
    told = held(FENCED)
    assert told.access(TURN_ON, HELD) == [GuestValue()]
    assert told.asked == [Look(VCPU, 0, EVENT, 3)]


def test_debugctl_without_lbr_does_not_look() -> None:
    told = held(FENCED)
    assert told.access(Wrmsr(IA32_DEBUGCTL, 0x800)) == [GuestValue()]
    assert (told.asked, told.vcpu().debugctl) == ([], 0x800)


def test_a_write_that_was_denied_is_not_stored() -> None:
    told = held(FENCED)
    told.access(Wrmsr(IA32_DEBUGCTL, 0x801), GONE)
    assert told.vcpu().debugctl == 0


def test_user_space_uses_the_grant_too_and_tells_the_guest_nothing() -> None:
    told = held(FENCED)
    assert told.command(GetMsr(VCPU, FROM0), GONE) == Done(errno="ENOENT")
    assert told.asked == [ReadMsr(VCPU, 0, FROM0, EVENT, grant=3)]
    assert told.claim.phase == "lost"


def test_the_silicon_refuses_a_use_by_a_stale_grant() -> None:
    rig = Rig(FENCED)
    rig.rdmsr(FROM0)
    rig.perf(Open("h0", 0, pinned=True, branch=["any"]), settle=False)
    rig.kvm(SetMsr(VCPU, FROM0, 0x10))

    assert rig.vcpu().claim.phase == "lost"
    assert 0x10 not in rig.wire.host.machine.cpus[0].lbr.from_ip


# After that --------------------------------------------------------------------------------------------------


def lost() -> Told:
    told = held(FENCED)
    told.enter(active=False)
    told.vcpu().guest_mode = False
    return told


@cases("op", [READ, WRITE, TURN_ON])
def test_the_next_use_is_denied_and_the_one_after_it_asks_for_a_fresh_event(op: Rdmsr | Wrmsr) -> None:
    told = lost()

    assert told.access(op) == GP
    assert (told.asked, told.heard()) == ([], [])
    assert told.access(op) is None
    assert told.heard() == [ReleaseEvent(EVENT), CreateEvent(VCPU, 2)]


def test_the_fresh_event_serves_the_guest_under_its_own_grant() -> None:
    told = lost()
    told.access(READ)
    told.access(READ)
    told.heard()
    told.tell(EventCreated(VCPU, 2, 8, state="ACTIVE", grant=4))

    assert told.go_on(HELD) == [GuestValue()]
    assert told.asked == [ReadMsr(VCPU, 0, FROM0, 8, grant=4)]
    assert told.enter(active=True).controls.check == Check(8, True, False, grant=4, strip=True)


def test_the_revoke_that_comes_late_changes_nothing() -> None:
    told = lost()
    told.access(READ)
    before = repr(told.vcpu()), len(told.records(Granted))

    assert told.tell(Revoke(EVENT, 3, "")) == []
    assert (repr(told.vcpu()).replace("state='ERROR'", "state='ACTIVE'"), len(told.records(Granted))) == before


@cases("news", [Revoke(8, 3, ""), EventState(8, "ACTIVE", 0, 3)])
def test_news_of_the_old_grant_does_not_touch_the_new_one(news: Revoke | EventState) -> None:
    told = lost()
    told.access(READ)
    told.access(READ)
    told.tell(EventCreated(VCPU, 2, 8, state="ACTIVE", grant=4))
    told.tell(news)

    assert (told.claim.phase, told.grant.number) == ("held", 4)


def test_a_guest_that_is_in_guest_mode_when_its_grant_ends_is_kicked_out() -> None:
    told = held(FENCED)
    told.enter(active=True)
    told.tell(Revoke(EVENT, 3, ""))

    assert told.vcpu().kick


@cases(("inside", "before", "kicked"), [(True, True, True), (False, True, False), (True, False, False)])
def test_only_a_guest_that_is_in_guest_mode_and_loses_passthrough_is_kicked_out(
    inside: bool, before: bool, kicked: bool
) -> None:
    told = held(FENCED)
    vcpu = told.vcpu()
    vcpu.guest_mode, vcpu.lbr_desc.passthrough, vcpu.kick = inside, before, False
    set_passthrough(told.core.hv, vcpu, not before, "")

    assert (vcpu.lbr_desc.passthrough, vcpu.kick) == (not before, kicked)


def test_a_guest_is_served_again_once_the_host_has_let_go() -> None:
    rig = Rig(FENCED)
    rig.debugctl(1)
    rig.host_event()
    assert [rig.debugctl(1), rig.debugctl(1)] == [False, False]

    rig.perf(Close("h0"))
    assert rig.debugctl(1)
    assert [denied for _, denied in results(rig)] == [False, True, True, False]
