"""RDMSR and WRMSR: which registers there are, and which values they take."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from contract.lbr_ring import LbrRing, from_field, mended_from
from contract.provenance import branch_base
from contract.x86 import (
    IA32_DEBUGCTL,
    IA32_PERF_CAPABILITIES,
    LBR_MODELS,
    MASK64,
    MSR_LBR_SELECT,
    MSR_LBR_TOS,
    lbr_model,
)
from perfcore_svc.machine.cpu import Cpu
from perfcore_svc.machine.msr import GeneralProtectionError, rdmsr, wrmsr
from tests.cases import cases
from tests.contract.test_lbr_takes import registers

KERNEL_ADDRESS = 0xFFFF_8000_1234_5678
USER_ADDRESS = 0x1234_5678
WITH_LBR = sorted(name for name, model in LBR_MODELS.items() if model.has_lbr)


def cpu_of(name: str, depth: int = 0) -> Cpu:
    return Cpu(0, LbrRing(lbr_model(name, depth)))


def takes(cpu: Cpu, msr: int, value: int) -> bool:
    """Whether WRMSR takes the value; one that faults must have changed nothing."""
    before = cpu.lbr.store(), cpu.debugctl
    try:
        wrmsr(cpu, msr, value)
    except GeneralProtectionError:
        assert (cpu.lbr.store(), cpu.debugctl) == before
        return False
    return True


def exists(cpu: Cpu, msr: int) -> bool:
    try:
        rdmsr(cpu, msr)
    except GeneralProtectionError:
        return False
    return True


@cases(("name", "depth"), [*product(LBR_MODELS, [0]), *product(WITH_LBR, [4])])
def test_registers_of_each_model(name: str, depth: int) -> None:
    cpu = cpu_of(name, depth)
    lbr = registers(cpu.lbr.model)
    probed = range(0x2000)
    assert {m for m in probed if exists(cpu, m)} == lbr | {IA32_DEBUGCTL, IA32_PERF_CAPABILITIES}
    assert {m for m in probed if takes(cpu, m, 0)} == lbr | {IA32_DEBUGCTL}


@cases(
    ("name", "msr"),
    [("core2", 0x1C8), ("core2", 0x680), ("core2", 0x44), ("nehalem", 0xDC0), ("nehalem", 0x690), ("haswell", 0xDC0)],
)
def test_registers_that_a_model_lacks(name: str, msr: int) -> None:
    assert not exists(cpu_of(name), msr)


def test_a_reduced_depth_takes_registers_away() -> None:
    cpu = cpu_of("skylake", 4)
    assert [exists(cpu, m) for m in (0x683, 0x684, 0x6C3, 0x6C4, 0xDC3, 0xDC4)] == [True, False] * 3


@cases(("name", "lbr_fmt"), [("core2", 2), ("nehalem", 3), ("haswell", 4), ("skylake", 5), ("none", 0), ("arch", 0x3F)])
def test_perf_capabilities_names_the_format(name: str, lbr_fmt: int) -> None:
    assert rdmsr(cpu_of(name), IA32_PERF_CAPABILITIES) & 0x3F == lbr_fmt


@cases("bit", range(64))
def test_debugctl_takes_defined_bits_only(bit: int) -> None:
    cpu = cpu_of("skylake")
    defined = bit in (0, 1, 2, 6, 7, 8, 9, 10, 11, 12, 14, 15)
    assert takes(cpu, IA32_DEBUGCTL, 1 << bit) == defined
    assert rdmsr(cpu, IA32_DEBUGCTL) == (1 << bit if defined else 0)


@cases(("name", "bits"), [("nehalem", 9), ("sandybridge", 9), ("haswell", 10), ("skylake", 10)])
def test_lbr_select_has_a_call_stack_bit_only_where_the_mode_exists(name: str, bits: int) -> None:
    cpu = cpu_of(name)
    assert [takes(cpu, MSR_LBR_SELECT, 1 << bit) for bit in range(64)] == [bit < bits for bit in range(64)]


@cases(("depth", "bits"), [(2, 1), (4, 2), (0, 5)])
def test_tos_keeps_as_many_bits_as_the_ring_needs(depth: int, bits: int) -> None:
    cpu = cpu_of("skylake", depth)
    assert takes(cpu, MSR_LBR_TOS, MASK64)
    assert rdmsr(cpu, MSR_LBR_TOS) == (1 << bits) - 1


def test_info_bits_of_format_5() -> None:
    cpu = cpu_of("skylake")
    assert {bit for bit in range(64) if takes(cpu, 0xDC1, 1 << bit)} == {*range(16), 61, 62, 63}


@cases("name", ["core2", "nehalem", "haswell", "skylake"])
@cases("value", [1 << 47, 0x7FFF << 48, 0xFFFF << 48, 1 << 63 | 1 << 50])
def test_to_must_be_canonical(name: str, value: int) -> None:
    cpu = cpu_of(name)
    assert not takes(cpu, cpu.lbr.model.to_base, value)
    assert takes(cpu, cpu.lbr.model.to_base, KERNEL_ADDRESS)


MISPREDICT, IN_TX, ABORT = 1 << 63, 1 << 62, 1 << 61


@cases(
    ("name", "value", "taken"),
    [
        ("skylake", USER_ADDRESS, True),
        ("skylake", KERNEL_ADDRESS, True),
        ("skylake", USER_ADDRESS | MISPREDICT, False),
        ("skylake", KERNEL_ADDRESS & ~MISPREDICT, False),
        ("nehalem", USER_ADDRESS | MISPREDICT, True),
        ("nehalem", KERNEL_ADDRESS & ~MISPREDICT, True),
        ("nehalem", USER_ADDRESS | IN_TX, False),
        ("nehalem", 1 << 47, False),
        ("haswell", USER_ADDRESS | MISPREDICT, True),
        ("haswell", KERNEL_ADDRESS & ~MISPREDICT, True),
        ("haswell", KERNEL_ADDRESS & ~IN_TX, False),
        ("haswell", KERNEL_ADDRESS & ~ABORT, False),
        ("haswell", USER_ADDRESS | ABORT, False),
        ("core2", USER_ADDRESS | MISPREDICT, False),
    ],
)
def test_from_by_format(name: str, value: int, taken: bool) -> None:
    cpu = cpu_of(name)
    assert takes(cpu, cpu.lbr.model.from_base, value) == taken


def test_haswell_does_not_take_back_what_it_stored_for_a_kernel_branch() -> None:
    """Without TSX the hardware stores bits 62:61 as 0, but WRMSR wants them sign-extended."""
    cpu = cpu_of("haswell")
    stored = from_field(4, branch_base(1, False, "jmp", "kernel"))
    assert not takes(cpu, 0x680, stored)
    assert takes(cpu, 0x680, mended_from(cpu.lbr.model, stored))


@given(
    st.sampled_from(WITH_LBR),
    st.sampled_from(["user", "kernel"]),
    st.integers(0, (1 << 28) - 1),
    st.booleans(),
)
def test_a_mended_from_is_taken_and_keeps_address_and_mispredict(
    name: str, privilege: str, serial: int, mispredicted: bool
) -> None:
    cpu = cpu_of(name)
    model = cpu.lbr.model
    stored = from_field(model.lbr_fmt, branch_base(1, True, "call", privilege) + 2 * serial)
    if model.lbr_fmt in (3, 4) and mispredicted:
        stored |= MISPREDICT
    mended = mended_from(model, stored)
    tsx_flags = IN_TX | ABORT if model.lbr_fmt == 4 else 0
    assert mended & ~tsx_flags == stored & ~tsx_flags
    assert takes(cpu, model.from_base, mended)
