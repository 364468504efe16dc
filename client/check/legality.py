"""The legality of a guest's accesses, from the SDM (vol. 4 for the registers, vol. 3B "Last Branch, Interrupt, and
Exception Recording" for their formats). The silicon and KVM are judged by these rules, so the rules are written here
independently and use nothing of theirs."""

from __future__ import annotations

from contract.x86 import LbrModel

DEBUGCTL_ALWAYS = 0b11
"""LBR and BTF. KVM clears them if it does not support them (``vmx_set_msr``), so they never fault."""
DEBUGCTL_RESERVED = 0xFFFF_FFFF_FFFF_2038
"""Bits 5:3, 13 and 63:16."""
_LEGACY = ((0x1C8, 2), (0x40, 8), (0x60, 8), (0x680, 32), (0x6C0, 32), (0xDC0, 32))
"""First MSR and number of MSRs: LBR_SELECT and LBR_TOS, the banks of Core 2, FROM, TO, INFO."""
_ARCHITECTURAL = ((0x1200, 32), (0x1500, 32), (0x1600, 32))
"""INFO, FROM, TO."""
_SPACE = frozenset([first + i for first, count in _LEGACY + _ARCHITECTURAL for i in range(count)])
_SELECT_BITS, _CALL_STACK = 0x3FF, 0x200
_INFO_RESERVED = 0x1FFF_FFFF_FFFF_0000
"""Bits 60:16. The bits above them are flags, the bits below them are cycles."""


def in_lbr_space(msr: int) -> bool:
    """Whether an LBR of one of these generations has a register at this address."""
    return msr in _SPACE


def is_register(model: LbrModel, msr: int) -> bool:
    """Whether this LBR has the register."""
    if msr == 0x1C8:
        return model.has_select
    if msr == 0x1C9:
        return model.has_tos
    depth = model.depth
    if 0 <= msr - model.from_base < depth or 0 <= msr - model.to_base < depth:
        return True
    return model.info_base > 0 and 0 <= msr - model.info_base < depth


def faults(model: LbrModel, msr: int, value: int) -> bool:
    """Whether WRMSR of this value to this LBR register gives #GP, because of reserved bits or an address that is not
    canonical. FROM of formats 3 and 4 has its sign in bit 62, and a flag in bit 63."""
    if msr == 0x1C9:
        return False
    if msr == 0x1C8:
        return bool(value & ~(_SELECT_BITS if model.call_stack else _SELECT_BITS & ~_CALL_STACK))
    if model.info_base and 0 <= msr - model.info_base < model.depth:
        return bool(value & _INFO_RESERVED)
    flagged = model.lbr_fmt in (3, 4) and 0 <= msr - model.from_base < model.depth
    sign = value >> 47 & (0xFFFF if flagged else 0x1FFFF)
    return sign not in (0, 0xFFFF if flagged else 0x1FFFF)
