"""The x86 facts both sides need: MSR addresses, bit names, LBR generations, branch filters.

Sources: SDM vol. 4 (MSR lists), vol. 3B chapter "Debug, Branch Profile" (DEBUGCTL, LBR_SELECT),
Linux ``arch/x86/events/intel/lbr.c`` (depths, which part has which register).
All MSR values are unsigned 64-bit integers.
"""

from __future__ import annotations

from enum import IntFlag
from functools import lru_cache

import msgspec

MASK64 = (1 << 64) - 1

IA32_DEBUGCTL = 0x1D9
IA32_PERF_CAPABILITIES = 0x345
MSR_LBR_SELECT = 0x1C8
MSR_LBR_TOS = 0x1C9
MSR_LBR_FROM = 0x680
MSR_LBR_TO = 0x6C0
MSR_LBR_INFO = 0xDC0
MSR_ARCH_LBR_FROM = 0x1500
MSR_ARCH_LBR_TO = 0x1600
MSR_ARCH_LBR_INFO = 0x1200
MSR_CORE_LBR_FROM = 0x40
MSR_CORE_LBR_TO = 0x60

MSR_PMC = 0xC1
MSR_EVENTSEL = 0x186
MSR_PMC_FULL = 0x4C1
MSR_FIXED_CTR = 0x309
MSR_FIXED_CTR_CTRL = 0x38D
MSR_GLOBAL_STATUS = 0x38E
MSR_GLOBAL_CTRL = 0x38F
MSR_GLOBAL_OVF_CTRL = 0x390
PEBS_MSRS = (0x3F1, 0x600, 0x3F2)
LAST_BRANCH_MSRS = (0x1DB, 0x1DC, 0x1DD, 0x1DE)
"""LASTBRANCHFROMIP, LASTBRANCHTOIP, LASTINTFROMIP, LASTINTTOIP: not part of the LBR on the modelled parts."""
MSR_X2APIC_LVTPC = 0x834
"""LVT entry of the performance interrupt (SDM vol. 3A, "Local Vector Table" and "x2APIC Register Address Space")."""
FIXED_COUNTER = 32
"""The number of the first fixed counter, which is its bit in the global registers. General counters begin at 0."""
COUNTER_WIDTH = (1 << 48) - 1
COUNTERS_NAMED = 8
"""The number of counters whose registers have names here."""
FIXED_NAMED = 3
COUNTER_NAMES = {
    **dict(zip(PEBS_MSRS, ("PEBS_ENABLE", "DS_AREA", "PEBS_DATA_CFG"), strict=True)),
    MSR_FIXED_CTR_CTRL: "FIXED_CTR_CTRL",
    **{MSR_FIXED_CTR + i: f"FIXED_CTR{i}" for i in range(FIXED_NAMED)},
    MSR_GLOBAL_STATUS: "PERF_GLOBAL_STATUS",
    MSR_GLOBAL_CTRL: "PERF_GLOBAL_CTRL",
    MSR_GLOBAL_OVF_CTRL: "PERF_GLOBAL_OVF_CTRL",
    MSR_X2APIC_LVTPC: "LVTPC",
    **{MSR_EVENTSEL + i: f"PERFEVTSEL{i}" for i in range(COUNTERS_NAMED)},
    **{MSR_PMC + i: f"PMC{i}" for i in range(COUNTERS_NAMED)},
    **{MSR_PMC_FULL + i: f"A_PMC{i}" for i in range(COUNTERS_NAMED)},
}

LBR_FMT_MASK = 0x3F
CPUID_PDCM = 1 << 15
"""CPUID.01H:ECX: IA32_PERF_CAPABILITIES exists."""
CPUID_ARCH_EVENTS = 7
"""CPUID.0AH:EAX[31:24]: the number of valid bits in EBX, one for each architectural event."""
CPUID_OUTPUTS: dict[int, tuple[str, ...]] = {0x1: ("ecx",), 0xA: ("eax", "edx")}
"""Leaves of CPUID that are modelled, and the registers of each."""
PERF_CAP_FULL_WIDTH_WRITES = 1 << 13


class Debugctl(IntFlag):
    LBR = 1 << 0
    BTF = 1 << 1
    BUS_LOCK_DETECT = 1 << 2
    TR = 1 << 6
    BTS = 1 << 7
    BTINT = 1 << 8
    BTS_OFF_OS = 1 << 9
    BTS_OFF_USR = 1 << 10
    FREEZE_LBRS_ON_PMI = 1 << 11
    FREEZE_PERFMON_ON_PMI = 1 << 12
    FREEZE_WHILE_SMM = 1 << 14
    RTM_DEBUG = 1 << 15


DEBUGCTL_LBR = int(Debugctl.LBR)
DEBUGCTL_BTF = int(Debugctl.BTF)
DEBUGCTL_FREEZE_LBRS_ON_PMI = int(Debugctl.FREEZE_LBRS_ON_PMI)
DEBUGCTL_BUS_LOCK_DETECT = int(Debugctl.BUS_LOCK_DETECT)
DEBUGCTL_RTM_DEBUG = int(Debugctl.RTM_DEBUG)
DEBUGCTL_DEFINED = sum(Debugctl)


class Eventsel(IntFlag):
    """IA32_PERFEVTSELx above the event (7:0) and its unit mask (15:8)."""

    USR = 1 << 16
    OS = 1 << 17
    EDGE = 1 << 18
    PIN = 1 << 19
    INT = 1 << 20
    ANY = 1 << 21
    EN = 1 << 22
    INV = 1 << 23


EVENTSEL_USR = int(Eventsel.USR)
EVENTSEL_OS = int(Eventsel.OS)
EVENTSEL_INT = int(Eventsel.INT)
EVENTSEL_EN = int(Eventsel.EN)
EVENTSEL_RESERVED = 0xFFFF_FFFF_0020_0000


class Lvt(IntFlag):
    """An entry of the local vector table: the delivery mode NMI, and whether it is masked."""

    LVT_NMI = 4 << 8
    LVT_MASKED = 1 << 16


LVT_NMI = int(Lvt.LVT_NMI)
LVT_MASKED = int(Lvt.LVT_MASKED)
LVT_DELIVERY_MODE = 7 << 8
LVT_VECTOR = 0xFF


class LbrSelect(IntFlag):
    """LBR_SELECT. A set bit suppresses; CALL_STACK alone enables (SDM vol. 3B, "Filtering of Last Branch Records")."""

    KERNEL = 1 << 0
    USER = 1 << 1
    JCC = 1 << 2
    REL_CALL = 1 << 3
    IND_CALL = 1 << 4
    RETURN = 1 << 5
    IND_JMP = 1 << 6
    REL_JMP = 1 << 7
    FAR = 1 << 8
    CALL_STACK = 1 << 9


SELECT_CALL_STACK = int(LbrSelect.CALL_STACK)
SELECT_HARDWARE = 0x3FF

# Each kind of branch has one bit in LBR_SELECT.
BRANCH_KINDS: dict[str, int] = {
    "jcc": int(LbrSelect.JCC),
    "call": int(LbrSelect.REL_CALL),
    "ind_call": int(LbrSelect.IND_CALL),
    "return": int(LbrSelect.RETURN),
    "ind_jmp": int(LbrSelect.IND_JMP),
    "jmp": int(LbrSelect.REL_JMP),
    "far": int(LbrSelect.FAR),
}
PRIVILEGES: dict[str, int] = {"kernel": int(LbrSelect.KERNEL), "user": int(LbrSelect.USER)}


def select_admits(select: int, kind: str, privilege: str) -> bool:
    """Whether a branch of this kind and privilege level passes LBR_SELECT ``select``."""
    return not select & (BRANCH_KINDS[kind] | PRIVILEGES[privilege])


class LbrModel(msgspec.Struct, frozen=True):
    """The LBR of one CPU generation.

    ``depth`` entries, 0 if the part has no LBR; ``lbr_fmt`` is PERF_CAPABILITIES[5:0]; ``select_map`` names the table
    in ``lbr.c`` that turns a perf request into LBR_SELECT (empty: the hardware filters nothing). ``perfmon`` is the
    version of architectural performance monitoring (CPUID.0AH:EAX[7:0]).

    ``architectural``: IA32_LBR_CTL, which no modelled guest has, replaces DEBUGCTL.LBR and LBR_SELECT. Entry 0 is
    always the newest, and there is no TOS (SDM vol. 3B, "Architectural Last Branch Records"). VM-entry and VM-exit do
    not change IA32_LBR_CTL, because no modelled kernel sets the VMCS controls for it.
    """

    name: str
    depth: int
    from_base: int
    to_base: int
    info_base: int
    lbr_fmt: int
    select_map: str
    call_stack: bool
    perfmon: int = 3
    architectural: bool = False

    @property
    def has_lbr(self) -> bool:
        return self.depth > 0

    @property
    def filters(self) -> bool:
        """Whether the hardware filters by kind and level of a branch."""
        return bool(self.select_map)

    @property
    def has_select(self) -> bool:
        """Whether there is the MSR LBR_SELECT."""
        return self.filters and not self.architectural

    @property
    def has_tos(self) -> bool:
        return self.has_lbr and not self.architectural

    @property
    def pt_coexists(self) -> bool:
        """``lbr_pt_coexist``: Intel PT does not exclude the LBR. Of the models here, this holds only for an
        architectural LBR."""
        return self.architectural

    @property
    def entry_registers(self) -> int:
        """The number of MSRs for each entry: FROM, TO and, if it exists, INFO."""
        return self.depth * (3 if self.info_base else 2)

    @property
    def streamlined_freeze(self) -> bool:
        """Whether FREEZE_LBRS_ON_PMI sets GLOBAL_STATUS.LBR_FRZ. Parts before version 4 clear DEBUGCTL.LBR instead
        (SDM vol. 3B, "Freezing LBR and Performance Counters on PMI")."""
        return self.perfmon >= 4

    @property
    def registers(self) -> int:
        """The number of MSRs of the LBR, with SELECT and TOS, or with LBR_CTL."""
        return self.has_tos + self.filters + self.entry_registers


LBR_MODELS: dict[str, LbrModel] = {
    m.name: m
    for m in (
        LbrModel("none", 0, 0, 0, 0, 0, "", False),
        LbrModel("core2", 4, MSR_CORE_LBR_FROM, MSR_CORE_LBR_TO, 0, 2, "", False, perfmon=2),
        LbrModel("nehalem", 16, MSR_LBR_FROM, MSR_LBR_TO, 0, 3, "nhm", False),
        LbrModel("sandybridge", 16, MSR_LBR_FROM, MSR_LBR_TO, 0, 3, "snb", False),
        LbrModel("haswell", 16, MSR_LBR_FROM, MSR_LBR_TO, 0, 4, "hsw", True),
        LbrModel("skylake", 32, MSR_LBR_FROM, MSR_LBR_TO, MSR_LBR_INFO, 5, "hsw", True, perfmon=4),
        LbrModel(
            "arch",
            32,
            MSR_ARCH_LBR_FROM,
            MSR_ARCH_LBR_TO,
            MSR_ARCH_LBR_INFO,
            0x3F,
            "hsw",
            True,
            perfmon=5,
            architectural=True,
        ),
    )
}


@lru_cache(maxsize=256)
def lbr_model(name: str, depth: int = 0) -> LbrModel:
    """The generation ``name``, its ring cut to ``depth`` entries (a power of two; 0 keeps the real one).

    Raises ValueError with the reason when there is no such machine.
    """
    model = LBR_MODELS.get(name)
    if model is None:
        raise ValueError(f"unknown LBR model {name!r}, expected one of {', '.join(LBR_MODELS)}")
    if depth == 0 or depth == model.depth:
        return model
    if not model.has_lbr:
        raise ValueError(f"depth {depth} is impossible on {name}: it has no LBR")
    if depth & (depth - 1) or not 2 <= depth <= model.depth:
        raise ValueError(f"depth {depth} is impossible on {name}, expected a power of two from 2 to {model.depth}")
    return msgspec.structs.replace(model, depth=depth)


@lru_cache(maxsize=64)
def lbr_ranges(model: LbrModel) -> tuple[tuple[int, int], ...]:
    """The LBR MSRs as (first, count) ranges, which KVM passes through as one set
    (``vmx_update_intercept_for_lbr_msrs``). It knows no other LBR than one with SELECT and TOS, and treats an
    architectural LBR as one without INFO (``intel_pmu_refresh`` of v5.12: INFO goes with format 5)."""
    if not model.has_lbr:
        return ()
    ranges = [(MSR_LBR_SELECT, 2)] if model.filters else [(MSR_LBR_TOS, 1)]
    ranges += [(model.from_base, model.depth), (model.to_base, model.depth)]
    if model.info_base and not model.architectural:
        ranges.append((model.info_base, model.depth))
    return tuple(ranges)


def in_ranges(ranges: tuple[tuple[int, int], ...], msr: int) -> bool:
    return any(first <= msr < first + count for first, count in ranges)


def is_lbr_msr(model: LbrModel, msr: int) -> bool:
    """``intel_pmu_is_valid_lbr_msr``: SELECT (also on a part without it), TOS, FROM, TO and, if it exists, INFO. Never
    DEBUGCTL."""
    return model.has_lbr and (msr == MSR_LBR_SELECT or in_ranges(lbr_ranges(model), msr))


@lru_cache(maxsize=64)
def lbr_names(model: LbrModel) -> dict[int, str]:
    names = {
        IA32_DEBUGCTL: "DEBUGCTL",
        IA32_PERF_CAPABILITIES: "PERF_CAPABILITIES",
        MSR_LBR_TOS: "LBR_TOS",
    }
    if model.filters:
        names[MSR_LBR_SELECT] = "LBR_SELECT"
    for i in range(model.depth):
        names[model.from_base + i] = f"LBR_FROM[{i}]"
        names[model.to_base + i] = f"LBR_TO[{i}]"
        if model.info_base:
            names[model.info_base + i] = f"LBR_INFO[{i}]"
    return names


def msr_name(model: LbrModel, msr: int) -> str:
    return lbr_names(model).get(msr) or COUNTER_NAMES.get(msr, f"{msr:#x}")


def is_canonical(value: int) -> bool:
    """48-bit canonical: bits 63:47 are all equal."""
    top = value >> 47
    return top == 0 or top == 0x1FFFF
