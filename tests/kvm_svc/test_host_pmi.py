"""A host counter overflows in guest mode and clears the guest's DEBUGCTL.LBR (FREEZE_LBRS_ON_PMI)."""

from __future__ import annotations

from contract.design import Design
from contract.machine import Enter, Exit, GuestValue, Nop, Ran, Wrmsr
from contract.trace import GuestPmi
from contract.x86 import IA32_DEBUGCTL
from kvm_svc.hypervisor.pmi import deliver_pmi
from tests.cases import cases
from tests.designs import FENCED, MERGED, REVOKE_GP
from tests.kvm_svc.told import Told, held

BOTH, FREEZE, LBR = 0x801, 0x800, 1


def after_overflow(design: Design, debugctl: int = FREEZE, *, frozen: bool = True) -> Told:
    told = held(design)
    told.vcpu().debugctl = BOTH
    told.step([Nop(), Nop()], Exit("nmi", [GuestValue()], debugctl, frozen=frozen), Ran([GuestValue()]))
    return told


@cases(("design", "debugctl"), [(MERGED, FREEZE), (REVOKE_GP, FREEZE), (FENCED, BOTH)])
def test_only_fenced_puts_the_bit_back(design: Design, debugctl: int) -> None:
    told = after_overflow(design)
    entry = [r for r in told.asked if isinstance(r, Enter)][-1]
    assert (entry.controls.debugctl, told.vcpu().debugctl) == (debugctl, debugctl)


def test_an_exit_that_froze_nothing_leaves_debugctl() -> None:
    assert after_overflow(MERGED, BOTH, frozen=False).vcpu().debugctl == BOTH


def deliver(told: Told) -> bool:
    """The PMI of the guest's own counter is delivered; whether the record says that the LBR was frozen."""
    vcpu = told.vcpu()
    vcpu.pmu.pmi = True
    deliver_pmi(told.core.hv, vcpu)
    (record,) = told.core.effects.take()
    assert isinstance(record, GuestPmi)
    return record.frozen


def test_a_pmi_of_the_guests_own_counter_finds_its_lbr_frozen_already() -> None:
    told = after_overflow(MERGED)
    assert deliver(told)
    assert told.vcpu().debugctl == FREEZE
    assert not deliver(told), "that overflow has been told of"


def test_a_guest_that_asks_for_no_freeze_any_more_gets_none() -> None:
    told = after_overflow(MERGED)
    told.vcpu().debugctl = LBR
    assert not deliver(told)
    assert told.vcpu().debugctl == LBR


def test_a_guest_that_has_written_debugctl_since_gets_no_late_freeze() -> None:
    told = after_overflow(MERGED)
    told.access(Wrmsr(IA32_DEBUGCTL, BOTH))
    told.access(Wrmsr(IA32_DEBUGCTL, FREEZE))
    assert not deliver(told)


def test_fenced_freezes_for_the_guests_own_pmi_only() -> None:
    told = after_overflow(FENCED)
    assert deliver(told)
    assert told.vcpu().debugctl == FREEZE
