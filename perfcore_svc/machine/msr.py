"""RDMSR and WRMSR on the hardware: which registers exist and which values they take.

SDM vol. 4 and vol. 3B (LBR); a register that does not exist or a bad value gives #GP. TOS keeps only its
log2(depth) bits; what a write of the others does is not settled by our sources, here it is ignored.
"""

from __future__ import annotations

from contract.x86 import (
    DEBUGCTL_DEFINED,
    IA32_DEBUGCTL,
    IA32_PERF_CAPABILITIES,
    MASK64,
    MSR_LBR_SELECT,
    MSR_LBR_TOS,
    PERF_CAP_FULL_WIDTH_WRITES,
    SELECT_CALL_STACK,
    SELECT_HARDWARE,
    LbrModel,
    is_canonical,
)
from perfcore_svc.machine.cpu import Cpu

_INFO_DEFINED = 0xFFFF | 7 << 61
_SIGN_BITS = 3 << 59


class GeneralProtectionError(Exception):
    """#GP(0)."""


def rdmsr(cpu: Cpu, msr: int) -> int:
    if msr == IA32_DEBUGCTL:
        return cpu.debugctl
    if msr == IA32_PERF_CAPABILITIES:
        return cpu.lbr.model.lbr_fmt | PERF_CAP_FULL_WIDTH_WRITES
    value = cpu.lbr.get(msr)
    if value is None:
        raise GeneralProtectionError
    return value


def wrmsr(cpu: Cpu, msr: int, value: int) -> None:
    model = cpu.lbr.model
    if msr == IA32_DEBUGCTL:
        _only(value, DEBUGCTL_DEFINED)
        cpu.debugctl = value
        return
    if cpu.lbr.get(msr) is None:
        raise GeneralProtectionError
    if msr == MSR_LBR_SELECT:
        _only(value, SELECT_HARDWARE if model.call_stack else SELECT_HARDWARE & ~SELECT_CALL_STACK)
    elif model.info_base and msr >= model.info_base:
        _only(value, _INFO_DEFINED)
    elif msr != MSR_LBR_TOS:
        is_from = model.from_base <= msr < model.from_base + model.depth
        if not is_canonical(_from_address(model, value) if is_from else value):
            raise GeneralProtectionError
    cpu.lbr.put(msr, value)


def _from_address(model: LbrModel, value: int) -> int:
    """The part of a FROM value that must be canonical. Formats 3 and 4 keep the mispredict flag in bit 63; the TSX
    flags of format 4 count as address bits on a part without TSX (``lbr_from_signext_quirk_needed``)."""
    if model.lbr_fmt in (3, 4):
        return value & MASK64 >> 1 | (value << 1 & 1 << 63)
    return value


def quirked_from(model: LbrModel, value: int) -> int:
    """A FROM value as software must write it back (``lbr_from_signext_quirk_wr``): bits 62:61 copied from the address's
    sign, bit 63 left alone."""
    return value | (value & _SIGN_BITS) << 2 if model.lbr_fmt == 4 else value


def _only(value: int, defined: int) -> None:
    if value & ~defined:
        raise GeneralProtectionError
