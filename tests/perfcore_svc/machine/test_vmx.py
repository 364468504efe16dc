"""VM-entry and VM-exit: DEBUGCTL, passthrough, MSR lists, and exits that nobody asked for."""

from __future__ import annotations

from msgspec.structs import replace

from contract.machine import (
    Branch,
    Cpuid,
    EntryRefused,
    GuestValue,
    Nop,
    NotRunning,
    Ran,
    Rdmsr,
    Wrmsr,
)
from contract.messages import LbrImage
from contract.trace import GuestMsr, VmEntry, VmEntryRefused, VmExit
from contract.x86 import IA32_DEBUGCTL, MSR_LBR_SELECT, MSR_LBR_TOS, SELECT_CALL_STACK
from tests.cases import cases
from tests.perfcore_svc.hosts import picture
from tests.perfcore_svc.machine.bench import BTF, FREEZE, FROM0, LBR, RESERVED, Bench, kinds, left

FOUR = [0] * 4
EMPTY = LbrImage(0, 0, FOUR, FOUR, FOUR)
IMAGE = LbrImage(5, 2, [1, 2, 3, 4], [5, 6, 7, 8], [9, 9, 9, 9])

# DEBUGCTL ------------------------------------------------------------------------------------------------


def test_entry_loads_the_guests_debugctl() -> None:
    m = Bench()
    m.cpus[0].debugctl = BTF
    assert isinstance(m.enter(debugctl=LBR | FREEZE), Ran)
    assert m.cpus[0].debugctl == LBR | FREEZE
    (entry,) = m.effects.records
    assert isinstance(entry, VmEntry)
    assert (entry.debugctl, entry.host_debugctl) == (LBR | FREEZE, BTF)


@cases(("before", "remembered", "after"), [(0, 0, 0), (LBR, 0, 0), (0, LBR, LBR), (LBR, None, LBR), (BTF, LBR, LBR)])
def test_exit_zeroes_debugctl_and_the_remembered_value_is_written_back(
    before: int, remembered: int | None, after: int
) -> None:
    m = Bench()
    m.cpus[0].debugctl = before
    exit_ = left(m.enter(Cpuid(), debugctl=FREEZE, host_debugctl=remembered))
    assert exit_.debugctl == FREEZE, "the guest's value is saved"
    assert m.cpus[0].debugctl == after
    record = m.effects.records[-1]
    assert isinstance(record, VmExit)
    assert record.debugctl == after


def test_what_the_guest_has_in_debugctl_can_stay_on_after_the_exit() -> None:
    m = Bench()
    m.cpus[0].debugctl = BTF
    exit_ = left(m.enter(Cpuid(), debugctl=LBR, host_debugctl=FREEZE, keep_debugctl=True))
    assert (exit_.debugctl, m.cpus[0].debugctl) == (LBR, LBR)
    assert [r.debugctl for r in m.effects.records if isinstance(r, VmExit)] == [LBR]


def test_entry_and_exit_leave_the_ring_alone() -> None:
    m = Bench()
    m.cpus[0].lbr.load(IMAGE, with_select=True)
    before = m.cpus[0].lbr.store()
    exit_ = left(m.enter(Cpuid(), debugctl=LBR))
    assert m.cpus[0].lbr.store() == before
    assert exit_.lbr is None
    assert [r.switched for r in m.effects.records if isinstance(r, VmEntry)] == [False]


def test_reserved_debugctl_bits_fail_the_entry() -> None:
    m = Bench()
    reply = m.enter(Cpuid(), debugctl=LBR | RESERVED)
    assert isinstance(reply, EntryRefused)
    assert "invalid-guest-state" in reply.reason
    assert m.cpus[0].guest == ""
    assert kinds(m.effects) == [VmEntryRefused]


# Intercept and passthrough ---------------------------------------------------------------------------------


def test_an_intercepted_access_exits_with_what_it_was() -> None:
    m = Bench()
    exit_ = left(m.enter(Nop(), Wrmsr(MSR_LBR_SELECT, 5), Nop()))
    assert (exit_.reason, exit_.msr, exit_.write, exit_.value) == ("msr-write", MSR_LBR_SELECT, True, 5)
    assert exit_.values == [GuestValue()]
    assert m.cpus[0].lbr.select == 0
    exit_ = left(m.enter(Rdmsr(FROM0)))
    assert (exit_.reason, exit_.msr, exit_.write, exit_.value) == ("msr-read", FROM0, False, 0)
    assert (m.operations["vmexit"], m.operations["msr-exit"]) == (2, 2)


def test_a_passed_through_access_meets_the_hardware() -> None:
    m = Bench()
    reply = m.enter(Wrmsr(MSR_LBR_SELECT, 5), Rdmsr(MSR_LBR_SELECT), passthrough=True)
    assert reply == Ran([GuestValue(5), GuestValue(5)])
    assert m.cpus[0].lbr.select == 5
    assert kinds(m.effects) == [VmEntry, GuestMsr, GuestMsr]
    assert "vmexit" not in m.operations


@cases("msr", [IA32_DEBUGCTL, 0x345, 0x684, 0x10])
def test_only_lbr_msrs_pass_through(msr: int) -> None:
    assert left(Bench().enter(Rdmsr(msr), passthrough=True)).msr == msr


def test_a_fault_ends_the_guest_code() -> None:
    m = Bench()
    reply = m.enter(Wrmsr(MSR_LBR_SELECT, 1 << 10), Wrmsr(MSR_LBR_SELECT, 1), passthrough=True)
    assert reply == Ran([GuestValue(1 << 10, fault=True)])
    assert m.cpus[0].lbr.select == 0
    assert m.cpus[0].guest == "v", "#GP is the guest's own business"


# Forced exits ----------------------------------------------------------------------------------------------


def test_an_interrupt_is_reported_at_the_next_continue() -> None:
    m = Bench()
    m.enter(debugctl=LBR, lbr=IMAGE, host_debugctl=FREEZE)
    m.interrupt(m.cpus[0])
    assert (m.cpus[0].guest, m.cpus[0].debugctl) == ("", FREEZE)
    exit_ = left(m.go_on(Nop()))
    assert (exit_.reason, exit_.values, exit_.debugctl, exit_.lbr) == ("external-interrupt", [], LBR, IMAGE)
    assert isinstance(m.go_on(Nop()), NotRunning), "it is reported once"


def test_a_forced_exit_is_reported_though_the_thread_has_left() -> None:
    m = Bench()
    m.enter()
    m.interrupt(m.cpus[0])
    m.cpus[0].task = ""
    assert left(m.go_on()).reason == "external-interrupt"


def test_an_interrupt_in_host_mode_forces_nothing() -> None:
    m = Bench()
    m.interrupt(m.cpus[0])
    assert m.operations == {}
    assert isinstance(m.go_on(), NotRunning)


def test_a_new_entry_forgets_the_forced_exit() -> None:
    m = Bench()
    m.enter()
    m.interrupt(m.cpus[0])
    m.enter()
    assert m.go_on(Nop()) == Ran([GuestValue()])


def test_continue_goes_on_in_guest_mode_with_the_same_controls() -> None:
    m = Bench()
    m.enter(passthrough=True)
    assert m.go_on(Rdmsr(MSR_LBR_TOS)) == Ran([GuestValue(0)])
    assert m.operations["vmentry"] == 1


def test_a_kick_forces_the_guest_out_before_it_goes_on() -> None:
    m = Bench()
    m.enter(debugctl=LBR, passthrough=True)
    exit_ = left(m.go_on(Wrmsr(MSR_LBR_SELECT, 1), kick=True))
    assert (exit_.reason, exit_.values, exit_.debugctl) == ("external-interrupt", [], LBR)
    assert m.cpus[0].lbr.select == 0
    assert m.operations["ipi"] == 1


# MSR lists -------------------------------------------------------------------------------------------------


def test_the_guests_lbr_is_loaded_at_entry_and_stored_at_exit() -> None:
    m = Bench()
    ops = Wrmsr(MSR_LBR_SELECT, 6), Rdmsr(MSR_LBR_TOS), Rdmsr(FROM0 + 3), Cpuid()
    exit_ = left(m.enter(*ops, passthrough=True, lbr=IMAGE))
    assert exit_.values == [GuestValue(6), GuestValue(2), GuestValue(4)]
    assert exit_.lbr == replace(IMAGE, select=6)
    assert [r.switched for r in m.effects.records if isinstance(r, VmEntry)] == [True]


def test_an_lbr_that_the_host_does_not_use_is_empty_after_the_exit() -> None:
    m = Bench()
    m.cpus[0].lbr.load(IMAGE, with_select=True)
    exit_ = left(m.enter(Branch(2), Cpuid(), debugctl=LBR, lbr=LbrImage()))
    assert exit_.lbr is not None
    assert (exit_.lbr.tos, exit_.lbr.from_ip.count(0)) == (2, 2)
    assert m.cpus[0].lbr.store() == EMPTY


def test_an_lbr_that_the_host_uses_is_put_aside_and_put_back() -> None:
    m = Bench()
    m.cpus[0].lbr.load(IMAGE, with_select=True)
    m.cpus[0].debugctl = LBR
    exit_ = left(m.enter(Branch(2), Cpuid(), debugctl=LBR, lbr=LbrImage()))
    assert exit_.lbr is not None
    assert (exit_.lbr.tos, exit_.lbr.from_ip.count(0)) == (2, 2), "nothing of the host is in it"
    assert m.cpus[0].lbr.store() == IMAGE


@cases(("host_debugctl", "more"), [(0, {}), (LBR, {"rdmsr": 14, "lbr-save": 1, "wrmsr": 1})])
def test_a_switched_lbr_costs_each_register_three_times(host_debugctl: int, more: dict[str, int]) -> None:
    """TOS, SELECT, and FROM, TO and INFO of four entries: loaded, stored, and loaded for the host."""
    m = Bench()
    m.cpus[0].debugctl = host_debugctl
    m.enter(Cpuid(), lbr=IMAGE)
    assert m.operations == {"vmentry": 1, "vmexit": 1, "msr-load": 28, "msr-store": 14, **more}


BAD_VALUES = [
    ("sandybridge", LbrImage(SELECT_CALL_STACK, 0, FOUR, FOUR, FOUR), MSR_LBR_SELECT),
    ("skylake", LbrImage(0, 0, [0, 1 << 47, 0, 0], FOUR, FOUR), FROM0 + 1),
    ("skylake", LbrImage(0, 0, FOUR, [0, 0, 1 << 47, 0], FOUR), 0x6C2),
    ("skylake", LbrImage(0, 0, FOUR, FOUR, [0, 0, 0, 1 << 16]), 0xDC3),
]


@cases(("lbr", "image", "msr"), BAD_VALUES)
def test_a_bad_value_refuses_the_entry_before_anything_is_loaded(lbr: str, image: LbrImage, msr: int) -> None:
    m = Bench(lbr)
    before = picture(m.cpus)
    assert m.enter(Branch(1), debugctl=LBR, lbr=image) == EntryRefused(f"msr-load: {msr:#x}")
    assert picture(m.cpus) == before
    assert (kinds(m.effects), m.operations) == ([VmEntryRefused], {})


def test_a_haswell_kernel_from_in_the_load_list_must_be_sign_extended() -> None:
    """The errata that made such a list fail the entry on real machines."""
    m = Bench("haswell")
    stored = 0x1FFF_8000_1234_5678
    assert m.enter(lbr=LbrImage(0, 0, [stored, 0, 0, 0], FOUR, FOUR)) == EntryRefused(f"msr-load: {FROM0:#x}")
    assert isinstance(m.enter(lbr=LbrImage(0, 0, [stored | 3 << 61, 0, 0, 0], FOUR, FOUR)), Ran)


def test_a_haswell_image_comes_out_of_an_exit_fit_to_go_in_again() -> None:
    m = Bench("haswell")
    stored = left(m.enter(Branch(1), Cpuid(), debugctl=LBR, lbr=LbrImage())).lbr
    assert stored is not None
    assert stored.from_ip[1] >> 61 == 3, "a kernel address, sign-extended up to bit 62"
    assert isinstance(m.enter(lbr=stored), Ran)
