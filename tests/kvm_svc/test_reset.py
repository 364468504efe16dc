"""ResetVcpu: the event goes, DEBUGCTL and the counters are 0, and passthrough stays as it was until the next entry."""

from __future__ import annotations

import pytest

from contract.control import GetMsr, ResetVcpu, SetMsr, StopLbr
from contract.design import Design
from contract.errors import RefusedError
from contract.machine import AnyReply, Branch, Continue, Cpuid, Exit, Nop, NotRunning
from contract.messages import CreateEvent, EventCreated, EventState, ReleaseEvent, Revoke
from contract.results import Done
from contract.trace import CounterEvent, Granted, GuestEvent, VcpuReset, VmEntry
from contract.x86 import IA32_DEBUGCTL, MSR_EVENTSEL, MSR_GLOBAL_CTRL, MSR_LBR_TOS, MSR_PMC
from tests.cases import cases
from tests.designs import DESIGNS, FAIL_ENTRY, FENCED, MERGED, REVOKE_ACK, REVOKE_GP, V7, VMX_TRANSITION
from tests.kvm_svc.rig import FROM0, VCPU, Rig
from tests.kvm_svc.told import EVENT, READ, Told, asked, held, loaded

RESET = ResetVcpu(VCPU)
every_design = cases("design", DESIGNS.values(), ids=DESIGNS)
grants = cases("design", [REVOKE_GP, REVOKE_ACK, FENCED, FAIL_ENTRY], ids=lambda d: d.name)


def in_use(design: Design) -> Rig:
    rig = Rig(design)
    rig.debugctl(1)
    rig.guest(Branch(3))
    return rig


@every_design
def test_a_reset_guest_has_debugctl_0_and_no_event(design: Design) -> None:
    rig = in_use(design)
    assert rig.kvm(RESET) == Done()

    assert (rig.vcpu().debugctl, rig.vcpu().lbr_desc.event) == (0, 0)
    assert rig.sent(ReleaseEvent) == (design.event != "none")
    assert [r.vcpu for r in rig.records(VcpuReset)] == [VCPU]


@every_design
def test_the_claim_begins_anew(design: Design) -> None:
    rig = in_use(design)
    rig.kvm(RESET)
    assert (rig.vcpu().claim.phase, rig.vcpu().grant.number) == ("none", 0)


@every_design
def test_it_leaves_guest_mode_first(design: Design) -> None:
    rig = in_use(design)
    rig.kvm(RESET)
    assert not rig.vcpu().guest_mode
    assert rig.wire.host.machine.cpus[0].guest == ""


def test_the_registers_of_the_lbr_stay() -> None:
    """The host's own reset of them comes with the next event."""
    rig = in_use(VMX_TRANSITION)
    rig.kvm(RESET)
    assert rig.kvm(GetMsr(VCPU, MSR_LBR_TOS)) == Done(3)


def test_under_v7_passthrough_stays() -> None:
    rig = in_use(V7)
    rig.kvm(RESET)
    rig.guest(Nop())
    assert rig.records(VmEntry)[-1].passthrough


def test_as_merged_the_next_entry_corrects_it() -> None:
    rig = in_use(MERGED)
    rig.kvm(RESET)
    assert rig.vcpu().lbr_desc.passthrough

    rig.guest(Nop())
    assert not rig.records(VmEntry)[-1].passthrough
    assert not rig.vcpu().lbr_desc.passthrough


@grants
def test_a_grant_ends_with_it_at_once(design: Design) -> None:
    rig = in_use(design)
    rig.kvm(RESET)
    assert not rig.vcpu().lbr_desc.passthrough
    assert [(r.grant > 0, r.reason) for r in rig.records(Granted)] == [(True, "EventCreated"), (False, "reset")]


@grants
def test_news_of_the_old_grant_stays_old(design: Design) -> None:
    told = held(design)
    told.command(RESET)
    told.access(READ)
    told.tell(EventCreated(VCPU, 2, 8, state="INACTIVE"))
    told.tell(EventState(8, "ACTIVE", 0, 3))
    assert told.grant.number == 0


@grants
def test_a_guest_that_was_denied_begins_anew(design: Design) -> None:
    told = held(design)
    told.tell(Revoke(EVENT, 3, ""))
    told.heard()
    told.command(RESET)
    assert told.heard()[-1] == ReleaseEvent(EVENT)

    assert told.access(READ) is None
    assert told.heard() == [CreateEvent(VCPU, 2)]


def test_what_user_space_stopped_stays_stopped() -> None:
    told = held(MERGED)
    told.command(StopLbr(VCPU))
    told.command(RESET)
    assert told.claim.phase == "stopped"


def test_the_counters_and_their_events_go() -> None:
    rig = Rig(MERGED)
    rig.wrmsr(MSR_GLOBAL_CTRL, 1)
    rig.wrmsr(MSR_EVENTSEL, 3 << 16 | 1 << 22)
    rig.guest(Branch(5))
    assert rig.rdmsr(MSR_PMC).value == 5
    rig.kvm(RESET)
    rig.settle()

    assert rig.records(CounterEvent)[-1].change == "released"
    assert (rig.rdmsr(MSR_PMC).value, rig.rdmsr(MSR_EVENTSEL).value, rig.rdmsr(MSR_GLOBAL_CTRL).value) == (0, 0, 0)


def test_a_guest_without_anything_is_reset_without_a_word() -> None:
    told = loaded(MERGED)
    told.heard()
    assert told.command(RESET) == Done()
    assert (told.heard(), told.records(GuestEvent)) == ([], [])


def test_a_thread_that_is_on_no_cpu_can_be_reset() -> None:
    rig = Rig(MERGED, place=False)
    assert rig.kvm(RESET) == Done()


# Not now -----------------------------------------------------------------------------------------------------


def refused(told: Told, errno: str, *replies: AnyReply) -> None:
    before = repr(told.vcpu())
    with pytest.raises(RefusedError) as error:
        told.command(RESET, *replies)
    assert (error.value.errno, repr(told.vcpu())) == (errno, before)
    assert told.records(VcpuReset) == []


def test_a_guest_that_waits_for_its_event_is_busy() -> None:
    refused(asked(MERGED), "EBUSY")


def test_a_guest_whose_event_user_space_has_made_is_busy() -> None:
    told = loaded(MERGED)
    told.command(SetMsr(VCPU, IA32_DEBUGCTL, 1))
    refused(told, "EBUSY")


def test_a_guest_with_an_exit_under_way_is_busy() -> None:
    told = loaded(MERGED)
    told.step([Cpuid()], Exit("cpuid", [], 0))
    refused(told, "EBUSY")


def test_a_guest_with_an_ioctl_under_way_is_busy() -> None:
    told = loaded(MERGED)
    told.command(GetMsr(VCPU, FROM0))
    told.tell(EventCreated(VCPU, 1, EVENT))
    refused(told, "EBUSY")


def test_a_guest_that_is_starved_is_busy() -> None:
    told = held(FAIL_ENTRY)
    told.tell(Revoke(EVENT, 3, ""))
    told.step([Nop()])
    refused(told, "EBUSY")


def test_a_guest_whose_thread_has_moved_cannot_leave_guest_mode_now() -> None:
    told = held(MERGED)
    told.enter(active=True)
    refused(told, "EAGAIN", NotRunning(""))
    assert told.asked == [Continue(VCPU, 0, [], kick=True)]
