"""KVM_SET_MSRS and KVM_GET_MSRS of lists, and what user space may do with each PMU MSR."""

from __future__ import annotations

import pytest

from contract.control import MSRS_LIMIT, GetMsr, GetMsrs, MsrEntry, MsrIoctl, RunTask, SetMsr, SetMsrs
from contract.errors import RefusedError
from contract.machine import Branch
from contract.results import IN_PROGRESS, AnyResult, Done, MsrsRead
from contract.trace import UserMsr
from contract.x86 import (
    DEBUGCTL_LBR,
    IA32_DEBUGCTL,
    IA32_PERF_CAPABILITIES,
    MASK64,
    MSR_EVENTSEL,
    MSR_FIXED_CTR,
    MSR_GLOBAL_CTRL,
    MSR_GLOBAL_OVF_CTRL,
    MSR_GLOBAL_STATUS,
    MSR_LBR_TOS,
    MSR_PMC,
)
from kvm_svc.hypervisor.pmu_msrs import Bank, MsrAccess
from tests.cases import cases
from tests.designs import FENCED, MERGED
from tests.kvm_svc.rig import VCPU, Rig
from tests.kvm_svc.test_pmu_msrs import ON, every_guest, every_kernel, rig, table

NOWHERE = 0x999


def ioctl(it: Rig, command: MsrIoctl) -> AnyResult:
    while (result := it.kvm(command)) == IN_PROGRESS:
        it.settle()
    it.settle()
    return result


def put(it: Rig, *entries: tuple[int, int], thread: str = "") -> int:
    result = ioctl(it, SetMsrs(VCPU, [MsrEntry(*entry) for entry in entries], thread))
    assert isinstance(result, Done)
    assert not result.errno
    return result.value


def get(it: Rig, *msrs: int) -> list[int]:
    result = ioctl(it, GetMsrs(VCPU, list(msrs)))
    assert isinstance(result, MsrsRead)
    assert not result.errno
    return result.values


# The list ------------------------------------------------------------------------------------------------


def test_a_list_stops_at_the_first_that_is_rejected() -> None:
    it = rig("v5.12")

    assert put(it, (MSR_PMC, 7), (MSR_EVENTSEL, 1 << 40), (MSR_PMC + 1, 9)) == 1
    assert get(it, MSR_PMC, NOWHERE, MSR_PMC + 1) == [7]
    assert get(it, MSR_PMC + 1) == [0]
    assert put(it, (NOWHERE, 0), (MSR_PMC, 1)) == 0
    assert get(it, NOWHERE, MSR_PMC) == []


def test_an_empty_list_does_nothing() -> None:
    it = rig("v5.12")

    assert (put(it), get(it)) == (0, [])
    assert not it.records(UserMsr)


def test_too_many_registers() -> None:
    it = rig("v5.12")
    most = MSRS_LIMIT - 1

    assert put(it, *[(MSR_PMC, i) for i in range(most)]) == most
    assert get(it, *[MSR_PMC] * most) == [most - 1] * most
    before = len(it.records(UserMsr))
    assert it.kvm(SetMsrs(VCPU, [MsrEntry(MSR_PMC, 0)] * MSRS_LIMIT)) == Done(errno="E2BIG")
    assert it.kvm(GetMsrs(VCPU, [MSR_PMC] * MSRS_LIMIT)) == MsrsRead(errno="E2BIG")
    assert len(it.records(UserMsr)) == before


def test_each_register_is_on_record() -> None:
    it = rig("v5.12")
    put(it, (MSR_PMC, 7), (NOWHERE, 5))
    get(it, MSR_PMC)

    told = [(r.msr, r.value, r.processed, r.read) for r in it.records(UserMsr)]
    assert told == [(MSR_PMC, 7, True, False), (NOWHERE, 5, False, False), (MSR_PMC, 7, True, True)]


def test_a_list_goes_on_after_it_waited_for_the_host() -> None:
    it = Rig(MERGED)
    command = SetMsrs(VCPU, [MsrEntry(MSR_PMC, 3), MsrEntry(MSR_LBR_TOS, 5), MsrEntry(MSR_PMC + 1, 4)])

    assert it.kvm(command) == IN_PROGRESS
    with pytest.raises(RefusedError, match="busy with another ioctl"):
        it.kvm(GetMsr(VCPU, MSR_PMC))
    it.settle()
    assert it.kvm(command) == Done(3)
    assert [it.rdmsr(msr).value for msr in (MSR_PMC, MSR_LBR_TOS, MSR_PMC + 1)] == [3, 5, 4]
    assert [r.msr for r in it.records(UserMsr)] == [MSR_PMC, MSR_LBR_TOS, MSR_PMC + 1]


@cases("design", [MERGED, FENCED], ids=lambda d: d.name)
def test_an_lbr_msr_after_debugctl_in_one_list(design: object) -> None:
    """DEBUGCTL.LBR makes the event; the next register waits for it, and is written under it."""
    it = Rig(design)  # type: ignore[arg-type]

    assert put(it, (IA32_DEBUGCTL, DEBUGCTL_LBR), (MSR_LBR_TOS, 5)) == 2
    assert it.rdmsr(MSR_LBR_TOS).value == 5


def test_nothing_is_done_where_the_thread_is_on_no_cpu() -> None:
    it = Rig(MERGED)
    it.perf(RunTask("", 0))
    it.settle()

    with pytest.raises(RefusedError, match="not loaded"):
        it.kvm(SetMsrs(VCPU, [MsrEntry(MSR_PMC, 3), MsrEntry(MSR_LBR_TOS, 5)]))
    assert get(it, MSR_PMC) == [0]


# Every register of the table -----------------------------------------------------------------------------


@every_kernel
@every_guest
def test_user_space_reads_what_the_table_says(kernel: str, guest: str) -> None:
    it = rig(kernel, guest)
    for row in table(it).values():
        if row.bank is not Bank.ELSEWHERE:
            assert get(it, row.msr) == ([] if row.user is MsrAccess.NONE else [row.reset]), hex(row.msr)


@every_kernel
@every_guest
def test_user_space_writes_each_bit_as_the_table_says(kernel: str, guest: str) -> None:
    it = rig(kernel, guest)
    for row in table(it).values():
        if row.bank is Bank.ELSEWHERE:
            continue
        assert put(it, (row.msr, 0)) == (row.user is not MsrAccess.NONE), hex(row.msr)
        for bit in range(64):
            taken = row.user is MsrAccess.ZERO or (
                row.user is MsrAccess.READ_WRITE and not row.user_reserved >> bit & 1
            )
            assert put(it, (row.msr, 1 << bit)) == taken, (hex(row.msr), bit)


@cases(("kernel", "taken"), [("v5.12", 0), ("v6.16", 1), ("v7.1", 1)])
def test_a_listed_register_that_the_guest_lacks(kernel: str, taken: int) -> None:
    it = rig(kernel, "no-pmu")

    assert get(it, MSR_GLOBAL_CTRL) == [0] * taken
    assert put(it, (MSR_GLOBAL_CTRL, 0)) == taken
    assert put(it, (MSR_GLOBAL_CTRL, 1)) == 0
    assert it.rdmsr(MSR_GLOBAL_CTRL).fault


def test_only_v7_1_lists_the_old_branch_msrs() -> None:
    assert [get(rig(kernel), 0x1DB) for kernel in ("v6.16", "v7.1")] == [[], [0]]


@cases(("kernel", "taken"), [("v5.12", 1), ("v6.16", 0)])
def test_any_global_status_until_it_was_checked(kernel: str, taken: int) -> None:
    it = rig(kernel)

    assert put(it, (MSR_GLOBAL_STATUS, MASK64)) == taken
    assert it.rdmsr(MSR_GLOBAL_STATUS).value == MASK64 * taken


@every_kernel
def test_user_space_never_clears_the_status_by_ovf_ctrl(kernel: str) -> None:
    it = rig(kernel)
    put(it, (MSR_GLOBAL_STATUS, 3), (MSR_GLOBAL_OVF_CTRL, 1))
    assert it.rdmsr(MSR_GLOBAL_STATUS).value == 3

    it.wrmsr(MSR_GLOBAL_OVF_CTRL, 1)
    assert it.rdmsr(MSR_GLOBAL_STATUS).value == 2


def test_no_sign_is_extended_for_user_space() -> None:
    it = rig("v5.12")
    put(it, (MSR_PMC, 0x8000_0000), (MSR_PMC + 1, MASK64))

    assert it.rdmsr(MSR_PMC).value == 0x8000_0000
    assert it.rdmsr(MSR_PMC + 1).value == 0xFFFF_FFFF_FFFF


# A counter that runs -------------------------------------------------------------------------------------


@cases(("kernel", "reads"), [("v5.3", 1027), ("v5.12", 1007), ("v6.16", 1007), ("v7.1", 1007)])
def test_user_space_writes_a_running_counter(kernel: str, reads: int) -> None:
    it = rig(kernel)
    it.wrmsr(MSR_PMC, 100)
    it.wrmsr(MSR_EVENTSEL, ON)
    it.guest(Branch(20))

    assert get(it, MSR_PMC, MSR_EVENTSEL) == [120, ON]
    put(it, (MSR_PMC, 1000))
    it.guest(Branch(7))
    assert it.rdmsr(MSR_PMC).value == reads


def test_user_space_stops_and_starts_a_counter() -> None:
    it = rig("v6.16")
    put(it, (MSR_FIXED_CTR, 50), (0x38D, 3), (MSR_GLOBAL_CTRL, 1 << 32))
    it.guest(Branch(4))
    put(it, (0x38D, 0))
    it.guest(Branch(8))
    assert it.rdmsr(MSR_FIXED_CTR).value == 54

    put(it, (0x38D, 3))
    it.guest(Branch(2))
    assert get(it, MSR_FIXED_CTR) == [56]


def test_a_counter_is_read_while_the_guest_runs_on() -> None:
    """The vCPU is still in guest mode: nothing forces it out for a read."""
    it = rig("v6.16")
    it.wrmsr(MSR_EVENTSEL, ON)
    it.guest(Branch(20))

    assert it.vcpu().guest_mode
    assert get(it, MSR_PMC) == [20]
    assert it.vcpu().guest_mode
    put(it, (MSR_EVENTSEL, 0))
    it.guest(Branch(5))
    assert get(it, MSR_PMC) == [20]


def test_one_register_is_a_list_of_one() -> None:
    it = rig("v6.16")

    assert ioctl(it, SetMsr(VCPU, MSR_PMC, 5)) == Done(1)
    assert ioctl(it, GetMsr(VCPU, MSR_PMC)) == Done(5)
    assert ioctl(it, GetMsr(VCPU, NOWHERE)) == Done(errno="ENOENT")
    assert get(it, IA32_PERF_CAPABILITIES) == [0x2005]
