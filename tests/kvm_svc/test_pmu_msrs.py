"""The table of PMU MSRs: its contents for each kernel, and that KVM follows it."""

from __future__ import annotations

from contract.control import MachineSpec, VmSpec
from contract.kernels import KERNELS
from contract.machine import Branch, Rdpmc
from contract.x86 import (
    EVENTSEL_EN,
    EVENTSEL_OS,
    EVENTSEL_USR,
    FIXED_COUNTER,
    IA32_DEBUGCTL,
    IA32_PERF_CAPABILITIES,
    MASK64,
    MSR_EVENTSEL,
    MSR_FIXED_CTR,
    MSR_FIXED_CTR_CTRL,
    MSR_GLOBAL_CTRL,
    MSR_GLOBAL_OVF_CTRL,
    MSR_GLOBAL_STATUS,
    MSR_PMC,
    MSR_PMC_FULL,
)
from kvm_svc.hypervisor.counters import shape_of
from kvm_svc.hypervisor.kernel_rules import KVM_RULES
from kvm_svc.hypervisor.pmu_msrs import Bank, MsrAccess, PmuMsr, pmu_msrs, save_list
from tests.cases import cases
from tests.designs import MERGED
from tests.kvm_svc.rig import VCPU, Rig

ON = 0xC4 | EVENTSEL_USR | EVENTSEL_OS | EVENTSEL_EN
GUESTS = {
    "no-pmu": (MachineSpec(), VmSpec("vm0", lbr=False, pmu=0)),
    "version-1": (MachineSpec(), VmSpec("vm0", lbr=False, pmu=1)),
    "version-2": (MachineSpec(), VmSpec("vm0", pmu=2)),
    "one-counter": (MachineSpec(counters=1, fixed=0), VmSpec("vm0", pmu=2)),
    "ten-counters": (MachineSpec(counters=10, fixed=2), VmSpec("vm0", pmu=4)),
}
every_kernel = cases("kernel", list(KERNELS))
every_guest = cases("guest", list(GUESTS))


def rig(kernel: str, guest: str = "version-2") -> Rig:
    machine, vm = GUESTS[guest]
    return Rig(
        MERGED,
        machine=MachineSpec(counters=machine.counters, fixed=machine.fixed, kernel=kernel),
        vms=[vm],
    )


def table(it: Rig) -> dict[int, PmuMsr]:
    return pmu_msrs(it.core.hv.rules.pmu, shape_of(it.core.hv, it.vcpu().vm))


# The guest walks the table -------------------------------------------------------------------------------


@every_kernel
@every_guest
def test_a_new_guest_reads_what_the_table_says(kernel: str, guest: str) -> None:
    it = rig(kernel, guest)
    for row in table(it).values():
        if row.bank is Bank.ELSEWHERE:
            continue
        read = it.rdmsr(row.msr)
        assert read.fault == (row.guest is MsrAccess.NONE), hex(row.msr)
        assert read.value == row.reset, hex(row.msr)


@every_kernel
@every_guest
def test_each_bit_is_taken_or_reserved_as_the_table_says(kernel: str, guest: str) -> None:
    it = rig(kernel, guest)
    for row in table(it).values():
        if row.bank is Bank.ELSEWHERE:
            continue
        for bit in range(64):
            taken = row.guest is MsrAccess.ZERO or (row.guest is MsrAccess.READ_WRITE and not row.reserved >> bit & 1)
            assert it.wrmsr(row.msr, 1 << bit) == taken, (hex(row.msr), bit)


@every_kernel
@every_guest
def test_what_is_in_no_table_faults(kernel: str, guest: str) -> None:
    it = rig(kernel, guest)
    known = table(it)
    near = {msr + step for msr in known for step in (-1, 1)} - known.keys() - {IA32_DEBUGCTL}
    for msr in sorted(near | {MSR_PMC_FULL + 8, MSR_FIXED_CTR + 3}):
        assert it.rdmsr(msr).fault, hex(msr)
        assert not it.wrmsr(msr, 0), hex(msr)


@cases("guest", ["no-pmu", "one-counter"])
@every_kernel
def test_the_p6_registers_that_a_guest_lacks_read_zero(kernel: str, guest: str) -> None:
    it = rig(kernel, guest)
    for msr in (MSR_PMC + 1, MSR_EVENTSEL + 1):
        assert it.wrmsr(msr, MASK64)
        assert it.rdmsr(msr).value == 0
        assert not it.rdmsr(msr).fault
    assert it.rdmsr(MSR_PMC + 2).fault
    assert it.rdmsr(MSR_EVENTSEL + 2).fault


# Differences between kernels -----------------------------------------------------------------------------


@cases(("kernel", "reset"), [("v5.3", 0x7_0000_000F), ("v5.12", 0x7_0000_000F), ("v6.16", 0xF), ("v7.1", 0xF)])
def test_global_ctrl_of_a_new_guest(kernel: str, reset: int) -> None:
    assert rig(kernel).rdmsr(MSR_GLOBAL_CTRL).value == reset


@every_kernel
def test_a_guest_counts_without_writing_global_ctrl(kernel: str) -> None:
    it = rig(kernel)
    it.wrmsr(MSR_EVENTSEL, ON)
    it.guest(Branch(7))

    assert it.rdmsr(MSR_PMC).value == 7


@cases(
    ("kernel", "fixed", "taken"),
    [("v5.12", 3, 0xBBB), ("v5.12", 0, 0xBBB), ("v6.16", 3, 0xBBB), ("v6.16", 1, 0xB), ("v6.16", 0, 0)],
)
def test_bits_of_fixed_ctr_ctrl(kernel: str, fixed: int, taken: int) -> None:
    it = Rig(MERGED, machine=MachineSpec(fixed=fixed, kernel=kernel), vms=[VmSpec("vm0")])
    found = sum(1 << bit for bit in range(64) if it.wrmsr(MSR_FIXED_CTR_CTRL, 1 << bit))

    assert found == taken


LISTED = {
    "v5.3": [],
    "v5.12": [0x309, 0x30A, 0x38D, 0x38E, 0x38F, 0x390, 0xC1, 0xC2, 0x186, 0x187],
    "v6.16": [0x309, 0x30A, 0x38D, 0x38E, 0x38F, 0x3F1, 0x600, 0x3F2, 0xC1, 0xC2, 0x186, 0x187],
}
LISTED["v7.1"] = [0x1D9, 0x1DB, 0x1DC, 0x1DD, 0x1DE, *LISTED["v6.16"]]


@every_kernel
def test_the_save_list(kernel: str) -> None:
    emulated = [] if kernel == "v5.3" else [IA32_PERF_CAPABILITIES]
    assert list(save_list(KVM_RULES[kernel].pmu, 2, 2)) == LISTED[kernel] + emulated


@every_kernel
@every_guest
def test_places_are_those_of_the_save_list(kernel: str, guest: str) -> None:
    it = rig(kernel, guest)
    shape = shape_of(it.core.hv, it.vcpu().vm)
    places = {row.position: row.msr for row in table(it).values() if row.position >= 0}

    assert [places[i] for i in range(len(places))] == list(
        save_list(KVM_RULES[kernel].pmu, shape.host_general, shape.host_fixed)
    )


# Fixed counters ------------------------------------------------------------------------------------------


@cases(("field", "counted"), [(1, 5), (2, 3), (3, 8), (0, 0), (8, 0)])
def test_a_fixed_counter_counts_at_its_levels(field: int, counted: int) -> None:
    it = rig("v5.12")
    assert it.wrmsr(MSR_FIXED_CTR_CTRL, field << 4)
    it.guest(Branch(3, privilege="user"), Branch(5, privilege="kernel"))

    assert it.rdmsr(MSR_FIXED_CTR + 1).value == counted
    assert it.rdmsr(MSR_FIXED_CTR).value == 0


def test_a_fixed_counter_needs_its_bit_of_global_ctrl() -> None:
    it = rig("v6.16")
    it.wrmsr(MSR_FIXED_CTR_CTRL, 3)
    it.guest(Branch(4))
    assert it.rdmsr(MSR_FIXED_CTR).value == 0

    assert it.wrmsr(MSR_GLOBAL_CTRL, 1 << FIXED_COUNTER)
    it.guest(Branch(6))
    assert it.rdmsr(MSR_FIXED_CTR).value == 6


def test_an_overflow_of_a_fixed_counter_is_in_the_upper_status() -> None:
    it = rig("v5.12")
    it.wrmsr(MSR_FIXED_CTR + 2, -5 & 0xFFFF_FFFF_FFFF)
    it.wrmsr(MSR_FIXED_CTR_CTRL, 0xB00)
    it.guest(Branch(9))
    assert it.rdmsr(MSR_GLOBAL_STATUS).value == 1 << FIXED_COUNTER + 2

    assert it.wrmsr(MSR_GLOBAL_OVF_CTRL, 1 << FIXED_COUNTER + 2)
    assert it.rdmsr(MSR_GLOBAL_STATUS).value == 0


def test_a_fixed_counter_of_the_guest_takes_the_hosts_fixed_one() -> None:
    it = rig("v5.12")
    it.wrmsr(MSR_FIXED_CTR_CTRL, 0x3)
    it.guest(Branch(1))
    (event,) = [e for e in it.wire.host.perf.events.values() if e.counts_for == VCPU]

    assert event.counter == FIXED_COUNTER


# A running counter is written ----------------------------------------------------------------------------


@cases(("kernel", "reads"), [("v5.3", 1027), ("v5.12", 1007), ("v6.16", 1007)])
def test_a_write_of_a_running_counter(kernel: str, reads: int) -> None:
    it = rig(kernel)
    it.wrmsr(MSR_PMC, 100)
    it.wrmsr(MSR_EVENTSEL, ON)
    it.guest(Branch(20))
    assert it.rdmsr(MSR_PMC).value == 120

    it.wrmsr(MSR_PMC, 1000)
    it.guest(Branch(7))
    assert it.rdmsr(MSR_PMC).value == reads


# RDPMC ---------------------------------------------------------------------------------------------------

FIXED = 1 << 30
FAST = 1 << 31


def rdpmc(it: Rig, index: int) -> int | None:
    """None: #GP."""
    (value,) = it.guest(Rdpmc(index))
    return None if value.fault else value.value


@every_kernel
@every_guest
def test_rdpmc_of_every_index(kernel: str, guest: str) -> None:
    it = rig(kernel, guest)
    shape = shape_of(it.core.hv, it.vcpu().vm)
    for i in range(10):
        assert (rdpmc(it, i) == 0) == (i < shape.general)
        assert (rdpmc(it, FIXED | i) == 0) == (i < shape.fixed)
    for bit in (4, 16, 29):
        assert rdpmc(it, 1 << bit) is None


@every_kernel
def test_rdpmc_reads_what_the_register_holds(kernel: str) -> None:
    it = rig(kernel)
    it.wrmsr(MSR_PMC + 1, 0x8000_0001)
    it.wrmsr(MSR_EVENTSEL + 1, ON)
    it.wrmsr(MSR_FIXED_CTR_CTRL, 0x30)
    it.wrmsr(MSR_GLOBAL_CTRL, 2 | 1 << FIXED_COUNTER + 1)
    it.guest(Branch(6))

    assert rdpmc(it, 1) == it.rdmsr(MSR_PMC + 1).value == 0xFFFF_8000_0007
    assert rdpmc(it, FIXED | 1) == it.rdmsr(MSR_FIXED_CTR + 1).value == 6


@cases(("kernel", "reads"), [("v5.3", 0x8000_0001), ("v5.12", 0x8000_0001), ("v6.16", None)])
def test_the_fast_read_is_gone_since_v6_8(kernel: str, reads: int | None) -> None:
    it = rig(kernel)
    it.wrmsr(MSR_PMC, 0x8000_0001)

    assert rdpmc(it, 0) == 0xFFFF_8000_0001
    assert rdpmc(it, FAST) == reads
