"""MSRs as litmus text names them: spellings, addresses, bit names."""

from __future__ import annotations

import re

from client.litmus.expression import MsrRef
from contract.x86 import (
    COUNTER_NAMES,
    COUNTERS_NAMED,
    IA32_DEBUGCTL,
    IA32_PERF_CAPABILITIES,
    MSR_EVENTSEL,
    MSR_LBR_SELECT,
    MSR_LBR_TOS,
    MSR_X2APIC_LVTPC,
    Debugctl,
    Eventsel,
    LbrModel,
    LbrSelect,
    Lvt,
)

SINGLE = {
    "DEBUGCTL": IA32_DEBUGCTL,
    "PERF_CAPABILITIES": IA32_PERF_CAPABILITIES,
    "LBR_SELECT": MSR_LBR_SELECT,
    "LBR_TOS": MSR_LBR_TOS,
    **{name: msr for msr, name in COUNTER_NAMES.items()},
}
BANKS = ("LBR_FROM", "LBR_TO", "LBR_INFO")
LBR_STACK = "LBR_STACK"
MAX_MSR = 0xFFFF_FFFF

_ALIASES = {
    "IA32_DEBUGCTL": "DEBUGCTL",
    "IA32_PERF_CAPABILITIES": "PERF_CAPABILITIES",
    "MSR_LBR_SELECT": "LBR_SELECT",
    "MSR_LBR_TOS": "LBR_TOS",
    "MSR_LASTBRANCH_TOS": "LBR_TOS",
}
_SDM_ENTRY = re.compile(r"MSR_LASTBRANCH_([0-9]{1,4})_(FROM|TO)_IP")
_SDM_INFO = re.compile(r"MSR_LBR_INFO_([0-9]{1,4})")

SPELLINGS = (*SINGLE, *BANKS, *_ALIASES)

_BITS: dict[int, dict[str, int]] = {
    IA32_DEBUGCTL: {bit.name: int(bit) for bit in Debugctl if bit.name},
    MSR_LBR_SELECT: {bit.name: int(bit) for bit in LbrSelect if bit.name},
    MSR_X2APIC_LVTPC: {bit.name: int(bit) for bit in Lvt if bit.name},
    **{MSR_EVENTSEL + i: {bit.name: int(bit) for bit in Eventsel if bit.name} for i in range(COUNTERS_NAMED)},
}

BITS = {name: bit for names in _BITS.values() for name, bit in names.items()}
"""Every bit that has a name. No two registers share a name."""


def named(text: str) -> MsrRef | None:
    """The short name of the MSR for a spelling; None if there is no such MSR."""
    if entry := _SDM_ENTRY.fullmatch(text):
        return MsrRef(f"LBR_{entry[2]}", int(entry[1]))
    if info := _SDM_INFO.fullmatch(text):
        return MsrRef("LBR_INFO", int(info[1]))
    short = _ALIASES.get(text, str(text))  # No token of the parser, which Python compares much more slowly.
    return MsrRef(short) if short in SINGLE or short in BANKS else None


def number(name: str) -> int | None:
    """The address, if ``name`` is a number in the form that a valid ``MsrRef`` holds: ``0x1c9``."""
    if not re.fullmatch(r"0x[0-9a-f]{1,16}", name):
        return None
    value = int(name, 16)
    return value if name == f"{value:#x}" else None


def address(ref: MsrRef, model: LbrModel, index: int = 0) -> int:
    """The address of ``ref``, which is valid on ``model``. ``index``: the value of an index that is not a number."""
    if not ref.name:
        return index & MAX_MSR
    if ref.name in SINGLE:
        return SINGLE[ref.name]
    if ref.name in BANKS:
        base = {"LBR_FROM": model.from_base, "LBR_TO": model.to_base, "LBR_INFO": model.info_base}[ref.name]
        return base + (ref.index if isinstance(ref.index, int) else index % model.depth)
    return int(ref.name, 16)


def taken(name: str) -> bool:
    """Whether ``name`` is an MSR or a bit of one, and so cannot be a register."""
    return name in BITS or name == LBR_STACK or named(name) is not None


def bit_names(ref: MsrRef) -> dict[str, int]:
    """The bits of this MSR that have names."""
    at = SINGLE.get(ref.name)
    return _BITS.get(number(ref.name) or 0 if at is None else at, {})
