"""An entry that switches the whole LBR: the guest's ring goes in and comes out, the host's is put aside or cleared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from contract.lbr_ring import LbrRing
from contract.machine import (
    AnyReply,
    Branch,
    Controls,
    Cpuid,
    Enter,
    EntryRefused,
    Exit,
    GuestValue,
    Nop,
    Ran,
    Rdmsr,
    Wrmsr,
)
from contract.messages import LbrImage
from contract.trace import HostMsr, LbrRestore, LbrSave, VmEntry, VmEntryRefused, VmExit
from contract.x86 import MSR_LBR_SELECT, MSR_LBR_TOS, lbr_model
from perfcore_svc.machine.machine import Machine
from perfcore_svc.machine.prices import PRICES
from tests.cases import cases
from tests.perfcore_svc.hosts import picture
from tests.perfcore_svc.machine.bench import FREEZE, FROM0, LBR, RESERVED, Bench, kinds, left

GUEST = LbrImage(5, 2, [1, 2, 3, 4], [5, 6, 7, 8], [1, 1, 1, 1])
HOST = LbrImage(6, 1, [11, 12, 13, 14], [15, 16, 17, 18], [2, 2, 2, 2])
CLEAR = LbrImage(0, 0, [0] * 4, [0] * 4, [0] * 4)
KERNEL = 0xFFFF_8000_0000_0000


def bench(lbr: str = "skylake", *, debugctl: int = 0) -> Bench:
    """The host has something in its LBR."""
    m = Bench(lbr)
    m.cpus[0].debugctl = debugctl
    m.cpus[0].lbr.load(HOST, with_select=True)
    return m


def ring(m: Machine) -> LbrImage:
    return m.cpus[0].lbr.store()


# In and out ------------------------------------------------------------------------------------------------


def test_the_guest_finds_its_own_lbr_from_the_entry_on() -> None:
    m = bench()
    reply = m.enter(Rdmsr(MSR_LBR_TOS), Rdmsr(MSR_LBR_SELECT), Rdmsr(FROM0 + 3), passthrough=True, lbr=GUEST)
    assert reply == Ran([GuestValue(2), GuestValue(5), GuestValue(4)])
    assert ring(m) == GUEST


def test_the_exit_brings_what_the_guest_has_made_of_it() -> None:
    m = bench()
    exit_ = left(m.enter(Wrmsr(MSR_LBR_SELECT, 9), Wrmsr(FROM0, 0), Cpuid(), passthrough=True, lbr=GUEST))
    assert exit_.lbr == replace(GUEST, select=9, from_ip=[0, 2, 3, 4])


def test_what_came_out_can_go_in_again() -> None:
    m = bench()
    first = left(m.enter(Branch(3, "call", "user"), Cpuid(), debugctl=LBR, lbr=LbrImage()))
    assert first.lbr is not None
    assert first.lbr.from_ip.count(0) == 1
    assert left(m.enter(Cpuid(), lbr=first.lbr)).lbr == first.lbr


def test_the_image_shares_nothing_with_the_ring() -> None:
    m = bench()
    given = replace(GUEST, from_ip=[1, 2, 3, 4])
    exit_ = left(m.enter(Branch(4, "jcc", "user"), Cpuid(), debugctl=LBR, lbr=given))
    assert given.from_ip == [1, 2, 3, 4]
    m.cpus[0].lbr.from_ip[0] = 99
    assert exit_.lbr is not None
    assert exit_.lbr.from_ip[0] != 99


@cases("debugctl", [LBR, LBR | FREEZE])
def test_a_host_that_uses_the_lbr_finds_its_own_after_the_exit(debugctl: int) -> None:
    m = bench(debugctl=debugctl)
    left(m.enter(Branch(9, "jcc", "user"), Cpuid(), debugctl=LBR, lbr=GUEST))
    assert (ring(m), m.cpus[0].debugctl) == (HOST, debugctl)


@cases("debugctl", [0, FREEZE])
def test_a_host_that_does_not_finds_nothing_of_the_guest(debugctl: int) -> None:
    m = bench(debugctl=debugctl)
    left(m.enter(Branch(9, "jcc", "user"), Cpuid(), debugctl=LBR, lbr=GUEST))
    assert ring(m) == CLEAR


def test_what_an_earlier_entry_put_aside_does_not_come_back() -> None:
    m = bench(debugctl=LBR)
    left(m.enter(Cpuid(), lbr=GUEST))
    m.cpus[0].debugctl = 0
    left(m.enter(Cpuid(), lbr=GUEST))
    assert ring(m) == CLEAR


def test_an_entry_without_an_lbr_switches_none_even_after_one_that_did() -> None:
    m = bench(debugctl=LBR)
    left(m.enter(Cpuid(), lbr=GUEST))
    assert left(m.enter(Cpuid())).lbr is None
    assert ring(m) == HOST
    assert [r.switched for r in m.effects.records if isinstance(r, VmEntry)] == [True, False]


Leave = Callable[[Bench], AnyReply]


def interrupted(m: Bench) -> AnyReply:
    m.enter(lbr=GUEST)
    m.interrupt(m.cpus[0])
    assert ring(m) == HOST, "at the exit, not when KVM hears of it"
    m.retire(m.cpus[0], "jcc", "kernel", 1)
    return m.go_on(Nop())


LEAVING: dict[str, Leave] = {
    "interrupted": interrupted,
    "kicked": lambda m: (m.enter(lbr=GUEST), m.go_on(Nop(), kick=True))[1],
    "goes on": lambda m: (m.enter(lbr=GUEST), m.go_on(Cpuid()))[1],
    "intercepted": lambda m: m.enter(Rdmsr(MSR_LBR_TOS), lbr=GUEST),
}


@cases("how", LEAVING)
def test_every_way_out_takes_the_guests_lbr_out(how: str) -> None:
    m = bench(debugctl=LBR)
    assert left(LEAVING[how](m)).lbr == GUEST
    records = [r for r in m.effects.records if isinstance(r, LbrRestore)]
    assert [(r.component, r.owner, r.image, r.select) for r in records] == [
        ("vmx", "v", GUEST, True),
        ("vmx", "host", HOST, True),
    ]


def test_the_switch_is_on_record_in_its_order() -> None:
    m = bench(debugctl=LBR)
    m.enter(Cpuid(), lbr=GUEST)
    assert kinds(m.effects) == [LbrSave, LbrRestore, VmEntry, LbrSave, LbrRestore, VmExit]
    assert [(r.component, r.owner) for r in m.effects.records if isinstance(r, LbrSave)] == [
        ("kvm", "host"),
        ("vmx", "v"),
    ]


def test_two_guests_on_two_cpus_have_two_lbrs() -> None:
    m = bench(debugctl=LBR)
    m.cpus[1].task = "w"
    m.enter(lbr=GUEST)
    assert left(m.ask(Enter("w", 1, Controls(0, False, lbr=HOST), [Cpuid()]))).lbr == HOST
    assert (ring(m), m.cpus[1].lbr.store()) == (GUEST, CLEAR)
    m.interrupt(m.cpus[0])
    assert (ring(m), m.cpus[1].lbr.store()) == (HOST, CLEAR)


# Haswell ---------------------------------------------------------------------------------------------------


def test_a_kernel_from_comes_out_as_software_must_write_it_on_haswell() -> None:
    """The errata that made such a list fail the entry on real machines: the hardware stores bits 62:61 as 0."""
    m = Bench("haswell")
    exit_ = left(m.enter(Branch(4), Cpuid(), debugctl=LBR, lbr=LbrImage()))
    assert exit_.lbr is not None
    assert all(value & KERNEL == KERNEL & ~(1 << 63) for value in exit_.lbr.from_ip)
    assert isinstance(m.enter(Cpuid(), lbr=exit_.lbr), Exit)


def test_a_kernel_from_as_haswell_stores_it_refuses_the_entry() -> None:
    stored = 0x1FFF_8000_1234_5678
    m = Bench("haswell")
    assert m.enter(lbr=LbrImage(0, 0, [0, stored, 0, 0], [0] * 4, [0] * 4)) == EntryRefused(f"msr-load: {FROM0 + 1:#x}")
    mended = LbrImage(0, 0, [0, stored | 3 << 61, 0, 0], [0] * 4, [0] * 4)
    assert isinstance(m.enter(lbr=mended), Ran)


def test_the_hosts_own_ring_is_what_it_was_on_haswell() -> None:
    m = Bench("haswell")
    m.cpus[0].debugctl = LBR
    m.retire(m.cpus[0], "jmp", "kernel", 3)
    before = ring(m)
    m.enter(Cpuid(), lbr=LbrImage())
    assert ring(m) == before


# Bad images ------------------------------------------------------------------------------------------------

FOUR = [0] * 4
NO_IMAGE = "msr-load: this is no image of this LBR"


@cases(
    ("image", "reason"),
    [
        (LbrImage(0, 4, FOUR, FOUR, FOUR), NO_IMAGE),
        (LbrImage(0, -1, FOUR, FOUR, FOUR), NO_IMAGE),
        (LbrImage(1 << 10, 0, FOUR, FOUR, FOUR), "msr-load: 0x1c8"),
        (LbrImage(1 << 10), NO_IMAGE),
        (LbrImage(0, 0, [1] * 3, FOUR, FOUR), NO_IMAGE),
        (LbrImage(0, 0, FOUR, [1] * 5, FOUR), NO_IMAGE),
        (LbrImage(0, 0, FOUR, FOUR, [1] * 8), NO_IMAGE),
        (LbrImage(0, 0, [0, 0, 0, 1 << 47], FOUR, FOUR), "msr-load: 0x683"),
        (LbrImage(0, 0, FOUR, [0, 1 << 63, 0, 0], FOUR), "msr-load: 0x6c1"),
        (LbrImage(0, 0, FOUR, FOUR, [1 << 16, 0, 0, 0]), "msr-load: 0xdc0"),
        (LbrImage(0, 0, [1 << 47, 0, 0, 0], [1 << 47, 0, 0, 0], FOUR), "msr-load: 0x680"),
    ],
)
def test_a_bad_image_refuses_the_entry_and_changes_nothing(image: LbrImage, reason: str) -> None:
    m = bench(debugctl=LBR)
    before = picture(m.cpus)
    assert m.enter(Branch(1), debugctl=LBR, lbr=image) == EntryRefused(reason)
    assert picture(m.cpus) == before
    assert (m.operations, m.vmcs, kinds(m.effects)) == ({}, {}, [VmEntryRefused])


@cases(
    ("lbr", "image"),
    [
        ("skylake", LbrImage(0, 0, [], [1 << 47] * 4, [])),
        ("nehalem", LbrImage(1 << 9)),
        ("core2", LbrImage(1, 0, FOUR, FOUR, FOUR)),
        ("haswell", LbrImage(0, 0, FOUR, FOUR, [7] * 4)),
    ],
)
def test_an_image_of_registers_that_the_part_has_not_refuses_the_entry(lbr: str, image: LbrImage) -> None:
    assert Bench(lbr).enter(Branch(1), debugctl=LBR, lbr=image) == EntryRefused(NO_IMAGE)


def test_a_select_that_the_part_has_not_refuses_the_entry() -> None:
    call_stack = LbrImage(1 << 9, 0, FOUR, FOUR, FOUR)
    assert Bench("nehalem").enter(lbr=call_stack) == EntryRefused(f"msr-load: {MSR_LBR_SELECT:#x}")
    assert isinstance(Bench("haswell").enter(lbr=call_stack), Ran)


def test_bad_debugctl_is_said_before_a_bad_image() -> None:
    reply = bench().enter(debugctl=RESERVED, lbr=LbrImage(0, 4))
    assert isinstance(reply, EntryRefused)
    assert "DEBUGCTL" in reply.reason


# Its cost --------------------------------------------------------------------------------------------------


def priced(m: Machine) -> dict[str, Any]:
    return {name: count for name, count in m.operations.items() if name not in ("vmentry", "vmexit")}


@cases(("name", "registers"), [("skylake", 98), ("haswell", 34), ("nehalem", 34), ("core2", 9)])
@cases("in_use", [True, False])
def test_every_register_is_stored_once_and_loaded_twice(name: str, registers: int, in_use: bool) -> None:
    m = Bench(name)
    m.model = lbr_model(name)
    m.cpus[0].lbr = LbrRing(m.model)
    m.cpus[0].debugctl = LBR * in_use
    assert isinstance(m.enter(Cpuid(), lbr=ring(m)), Exit)
    aside = {"rdmsr": registers, "lbr-save": 1, "wrmsr": 1} if in_use else {}
    assert priced(m) == {"msr-load": 2 * registers, "msr-store": registers} | aside


def test_list_entries_have_a_price() -> None:
    assert {"msr-load", "msr-store"} <= set(PRICES)


def test_no_access_of_the_lists_is_an_access_of_software() -> None:
    m = bench()
    m.enter(Cpuid(), lbr=GUEST)
    assert not [r for r in m.effects.records if isinstance(r, HostMsr)]
