"""The MSRs of a guest's PMU: one table for each kernel rule set and each guest.

RDMSR and WRMSR exits, KVM_GET_MSRS and KVM_SET_MSRS all use this table, and ``lbrlab msrs`` prints it. Sources:
``intel_is_valid_msr``, ``intel_pmu_refresh``, ``intel_pmu_set_msr``, the cases MSR_P6_PERFCTR0 ... 1 and
MSR_P6_EVNTSEL0 ... 1 of ``kvm_set_msr_common`` and ``kvm_get_msr_common``, ``msrs_to_save_base``, ``msrs_to_save_pmu``
and ``emulated_msrs_all`` in arch/x86/kvm. The save list has those MSRs that the model knows, in KVM's order.
"""

from __future__ import annotations

from enum import Enum, StrEnum, auto
from functools import lru_cache

import msgspec

from contract.x86 import (
    COUNTER_WIDTH,
    EVENTSEL_RESERVED,
    FIXED_COUNTER,
    IA32_DEBUGCTL,
    IA32_PERF_CAPABILITIES,
    LAST_BRANCH_MSRS,
    MASK64,
    MSR_EVENTSEL,
    MSR_FIXED_CTR,
    MSR_FIXED_CTR_CTRL,
    MSR_GLOBAL_CTRL,
    MSR_GLOBAL_OVF_CTRL,
    MSR_GLOBAL_STATUS,
    MSR_PMC,
    MSR_PMC_FULL,
    PEBS_MSRS,
)
from kvm_svc.hypervisor.kernel_rules import PmuRules

GENERAL_MOST = 8
"""The most general counters that KVM gives a guest (KVM_MAX_NR_INTEL_GP_COUNTERS)."""
P6_COUNTERS = 2
"""Counters and selects that every guest has by name (MSR_P6_PERFCTR0 ... 1, MSR_P6_EVNTSEL0 ... 1)."""
OVERFLOW_BUFFER_AND_CONDITION = 3 << 62
"""Bits of PERF_GLOBAL_STATUS that belong to no counter."""
FIXED_FIELDS_BEFORE = 3
"""Fields of FIXED_CTR_CTRL that could be written before KVM checked the number of fixed counters."""


class Bank(Enum):
    """The meaning of an access of the register."""

    EVENTSEL = auto()
    PMC = auto()
    PMC_FULL = auto()
    FIXED = auto()
    FIXED_CTRL = auto()
    GLOBAL_STATUS = auto()
    GLOBAL_CTRL = auto()
    OVF_CTRL = auto()
    P6 = auto()
    """A counter or select of the P6 that the guest lacks."""
    ABSENT = auto()
    """A register on the save list that the guest lacks."""
    ELSEWHERE = auto()
    """A register on the save list whose rules are those of the LBR (``capabilities``, ``msr``)."""


class MsrAccess(StrEnum):
    NONE = "-"
    """#GP for the guest, not counted as done for user space."""
    READ = "r"
    READ_WRITE = "rw"
    ZERO = "0"
    """Reads 0; a write of any value is dropped."""
    ZERO_ONLY = "0 only"
    """Reads 0; takes no other value."""


class PmuShape(msgspec.Struct, frozen=True):
    """``host_general``, ``host_fixed``: counters that KVM could offer. ``version``: leaf 0xA of the guest's CPUID (0:
    no PMU). ``full_width``: the guest's PERF_CAPABILITIES has full-width writes.
    ``guest_general``, ``guest_fixed``: counters in leaf 0xA of the guest's CPUID, None for all that KVM offers."""

    host_general: int
    host_fixed: int
    version: int
    full_width: bool
    guest_general: int | None = None
    guest_fixed: int | None = None

    @property
    def general(self) -> int:
        """The number of the guest's general counters."""
        most = min(self.host_general, GENERAL_MOST)
        return _at_most(most, self.guest_general) if self.version else 0

    @property
    def fixed(self) -> int:
        """The number of the guest's fixed counters: none before version 2."""
        return _at_most(self.host_fixed, self.guest_fixed) if self.version > 1 else 0

    @property
    def counters(self) -> int:
        """The bits of all counters in the global registers."""
        return (1 << self.general) - 1 | ((1 << self.fixed) - 1) << FIXED_COUNTER


def _at_most(offered: int, wanted: int | None) -> int:
    return offered if wanted is None else min(offered, wanted)


class PmuMsr(msgspec.Struct, frozen=True):
    """One register. ``number``: the counter that it belongs to; fixed ones count from FIXED_COUNTER. ``reset``: the
    value after a refresh (``refreshed_ctrl`` of a new vCPU). ``reserved``, ``user_reserved``: bits that the guest, or
    user space, cannot write. ``position``: its position on the save list, -1 if it is not there."""

    msr: int
    bank: Bank
    number: int = 0
    guest: MsrAccess = MsrAccess.READ_WRITE
    user: MsrAccess = MsrAccess.READ_WRITE
    reset: int = 0
    reserved: int = 0
    user_reserved: int = 0
    position: int = -1


@lru_cache(maxsize=64)
def save_list(rules: PmuRules, host_general: int, host_fixed: int) -> tuple[int, ...]:
    """The MSRs of KVM_GET_MSR_INDEX_LIST that the model has: the MSRs to save, then the emulated ones. The counters on
    it depend on the host, not on a guest."""
    listed = [IA32_DEBUGCTL, *LAST_BRANCH_MSRS] if rules.saves_debugctl else []
    if rules.saves_counters:
        general = min(host_general, GENERAL_MOST)
        listed += [MSR_FIXED_CTR + i for i in range(host_fixed)]
        listed += [MSR_FIXED_CTR_CTRL, MSR_GLOBAL_STATUS, MSR_GLOBAL_CTRL]
        listed += [MSR_GLOBAL_OVF_CTRL] if rules.saves_ovf_ctrl else []
        listed += PEBS_MSRS if rules.saves_pebs else []
        listed += [MSR_PMC + i for i in range(general)]
        listed += [MSR_EVENTSEL + i for i in range(general)]
    return (*listed, IA32_PERF_CAPABILITIES) if rules.full_width else tuple(listed)


@lru_cache(maxsize=256)
def pmu_msrs(rules: PmuRules, shape: PmuShape) -> dict[int, PmuMsr]:
    """Every register that this guest has, at least by name, or that the save list names; by address."""
    saved = {msr: place for place, msr in enumerate(save_list(rules, shape.host_general, shape.host_fixed))}
    absent = MsrAccess.ZERO_ONLY if rules.absent_reads_zero else MsrAccess.NONE
    rows: dict[int, PmuMsr] = {}

    def add(msr: int, bank: Bank, number: int = 0, **more: object) -> None:
        rows[msr] = PmuMsr(msr, bank, number, position=saved.get(msr, -1), **more)  # type: ignore[arg-type]

    for msr in saved:
        add(msr, Bank.ABSENT, guest=MsrAccess.NONE, user=absent)
    add(IA32_PERF_CAPABILITIES, Bank.ELSEWHERE, guest=MsrAccess.READ)
    if rules.saves_debugctl:
        add(IA32_DEBUGCTL, Bank.ELSEWHERE)
    for i in range(P6_COUNTERS):
        add(MSR_PMC + i, Bank.P6, guest=MsrAccess.ZERO, user=MsrAccess.ZERO)
        add(MSR_EVENTSEL + i, Bank.P6, guest=MsrAccess.ZERO, user=MsrAccess.ZERO)
    for i in range(shape.general):
        add(MSR_PMC + i, Bank.PMC, i)
        add(MSR_EVENTSEL + i, Bank.EVENTSEL, i, reserved=EVENTSEL_RESERVED, user_reserved=EVENTSEL_RESERVED)
        if rules.full_width and shape.full_width:
            wide = MASK64 & ~COUNTER_WIDTH
            add(MSR_PMC_FULL + i, Bank.PMC_FULL, i, reserved=wide, user_reserved=wide)
    for i in range(shape.fixed):
        add(MSR_FIXED_CTR + i, Bank.FIXED, FIXED_COUNTER + i)
    if shape.version > 1:
        fields = shape.fixed if rules.fixed_bits_of_existing else FIXED_FIELDS_BEFORE
        fixed = MASK64 & ~sum(0xB << 4 * i for i in range(fields))
        ctrl = MASK64 & ~shape.counters
        status = ctrl & ~OVERFLOW_BUFFER_AND_CONDITION
        by_user = status if rules.status_checked else 0
        add(MSR_FIXED_CTR_CTRL, Bank.FIXED_CTRL, reserved=fixed, user_reserved=fixed)
        add(MSR_GLOBAL_STATUS, Bank.GLOBAL_STATUS, guest=MsrAccess.READ, reserved=MASK64, user_reserved=by_user)
        add(
            MSR_GLOBAL_CTRL,
            Bank.GLOBAL_CTRL,
            reset=shape.counters if rules.reset_enables_fixed else (1 << shape.general) - 1,
            reserved=ctrl,
            user_reserved=ctrl,
        )
        add(MSR_GLOBAL_OVF_CTRL, Bank.OVF_CTRL, reserved=status, user_reserved=status)
    return rows
