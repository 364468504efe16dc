"""An event that is asked for before the guest's first entry."""

from __future__ import annotations

from msgspec.structs import replace

from contract.control import MachineSpec, SetMsr, StopLbr, VmSpec
from contract.design import Activation, Design
from contract.machine import Cpuid, Exit, GuestValue, Nop, Ran
from contract.messages import CreateEvent, EventCreated, ReleaseEvent, SchedIn
from contract.trace import VmEntry
from contract.x86 import IA32_DEBUGCTL
from tests.cases import cases
from tests.designs import FENCED, MERGED, REVOKE_GP
from tests.kvm_svc.rig import VCPU, Rig
from tests.kvm_svc.told import EVENT, Told, loaded

EAGER = replace(MERGED, activation=Activation.EAGER)


def tried(answer: EventCreated) -> Told:
    """The answer to what an eager guest asked for."""
    told = loaded(EAGER)
    assert not told.step([Nop()]).finished
    assert told.heard() == [CreateEvent(VCPU, 1)]
    told.tell(answer)
    return told


def test_an_eager_guest_asks_before_it_is_entered() -> None:
    told = loaded(EAGER)
    assert not told.step([Nop()]).finished
    assert (told.asked, told.heard(), told.vcpu().waiting) == ([], [CreateEvent(VCPU, 1)], True)


def test_a_lazy_guest_does_not() -> None:
    told = loaded(MERGED)
    told.enter()
    assert told.heard() == []


def test_an_eager_guest_has_its_lbr_passed_through_from_its_first_entry_on() -> None:
    rig = Rig(EAGER)
    rig.guest(Nop())
    assert [entry.passthrough for entry in rig.records(VmEntry)] == [True]


@cases("design", [REVOKE_GP, FENCED], ids=lambda d: d.name)
def test_an_eager_guest_is_entered_under_its_grant(design: Design) -> None:
    rig = Rig(replace(design, activation=Activation.EAGER))
    rig.guest(Nop())
    assert [entry.passthrough for entry in rig.records(VmEntry)] == [True]


def test_what_it_asked_for_in_vain_it_does_not_ask_for_again() -> None:
    told = tried(EventCreated(VCPU, 1, 0, "EBUSY"))

    assert told.go_on(Ran([GuestValue()])) == [GuestValue()]
    told.step([Cpuid()], Exit("cpuid", [], 0))
    told.step([])
    told.enter()
    assert told.heard() == []


def test_its_failure_denies_the_guest_nothing_at_its_entry() -> None:
    told = tried(EventCreated(VCPU, 1, 0, "EBUSY"))
    told.go_on(Ran([GuestValue()]))
    assert (told.claim.phase, told.vcpu().debugctl) == ("none", 0)


def test_an_event_that_user_space_had_made_is_not_asked_for_again() -> None:
    told = loaded(EAGER)
    told.command(SetMsr(VCPU, IA32_DEBUGCTL, 1))
    told.tell(EventCreated(VCPU, 1, EVENT))
    told.heard()
    told.enter(active=True)
    assert told.heard() == []


def test_a_guest_without_an_lbr_asks_for_nothing() -> None:
    told = Told(EAGER, VmSpec("vm0", lbr=False))
    told.tell(SchedIn(VCPU, 0, 0))
    told.heard()
    told.enter()
    assert told.heard() == []


def test_a_guest_that_user_space_stopped_asks_for_nothing() -> None:
    told = loaded(EAGER)
    told.command(StopLbr(VCPU))
    told.heard()
    told.enter()
    assert told.heard() == []


def test_each_vcpu_asks_for_itself() -> None:
    rig = Rig(EAGER, machine=MachineSpec(cpus=2, depth=8), vms=[VmSpec("vm0", 2)])
    rig.place("vm0/1", 1)
    rig.guest(Nop())
    rig.guest(Nop(), vcpu="vm0/1")
    assert rig.sent(CreateEvent) == 2


def test_an_event_that_was_given_back_is_not_asked_for_again() -> None:
    """At the first entry of the next slice the LBR is off: the event goes, and its next use asks for another."""
    rig = Rig(EAGER)
    rig.guest(Nop())
    rig.slice()
    rig.guest(Nop())
    rig.slice()
    rig.guest(Nop())
    assert (rig.sent(ReleaseEvent), rig.sent(CreateEvent)) == (1, 1)
