"""PERF_CAPABILITIES: what user space may set before and after the first run, and what the guest sees."""

from __future__ import annotations

from contract.control import GetMsr, MachineSpec, SetMsr, VmSpec
from contract.machine import Nop
from contract.results import Done
from contract.trace import Access
from contract.x86 import IA32_DEBUGCTL, IA32_PERF_CAPABILITIES, LBR_MODELS, MSR_LBR_TOS, LbrModel
from tests.cases import cases
from tests.designs import MERGED, REVOKE_GP
from tests.kvm_svc.rig import FROM0, VCPU, Rig

FULL_WIDTH = 0x2000


def put(rig: Rig, value: int, vcpu: str = VCPU) -> bool:
    return rig.kvm(SetMsr(vcpu, IA32_PERF_CAPABILITIES, value)) == Done(1)


def get(rig: Rig, vcpu: str = VCPU) -> int:
    result = rig.kvm(GetMsr(vcpu, IA32_PERF_CAPABILITIES))
    assert isinstance(result, Done)
    return result.value


@cases("model", LBR_MODELS.values(), ids=LBR_MODELS)
def test_before_the_first_run(model: LbrModel) -> None:
    rig = Rig(MERGED, machine=MachineSpec(lbr=model.name), place=False)
    accepted = {value for value in (*range(64), *(FULL_WIDTH | low for low in range(64))) if put(rig, value)}

    assert accepted == {0, FULL_WIDTH, model.lbr_fmt, FULL_WIDTH | model.lbr_fmt}


@cases("value", [1 << 6, 1 << 8, 1 << 12, 1 << 14, 1 << 63, FULL_WIDTH | 5 | 1 << 7])
def test_bits_that_kvm_lacks(value: int) -> None:
    rig = Rig(MERGED, place=False)
    before = get(rig)

    assert not put(rig, value)
    assert get(rig) == before


def test_the_switch() -> None:
    """LBR_FMT turns the guest's LBR on and off."""
    rig = Rig(MERGED, lbr=False)
    assert get(rig) == FULL_WIDTH
    assert put(rig, FULL_WIDTH | 5)

    assert not rig.rdmsr(FROM0).fault

    other = Rig(MERGED)
    assert put(other, 0)
    assert other.rdmsr(FROM0).fault


def test_after_the_first_run() -> None:
    """Frozen since v6.4; before, any value that KVM supports is taken at any time."""
    rig = Rig(MERGED, machine=MachineSpec(depth=8, kernel="v6.16"))
    rig.guest(Nop())

    assert put(rig, 0x2005)
    assert [value for value in (0, 5, 0x2000, 0x2004, 0x2006) if put(rig, value)] == []
    assert get(rig) == 0x2005

    older = Rig(MERGED)
    older.guest(Nop())
    assert [value for value in (0, 5, 0x2000, 0x2004, 0x2006) if put(older, value)] == [0, 5, 0x2000]


def test_loading_is_not_running() -> None:
    rig = Rig(MERGED)
    rig.slice()

    assert put(rig, 0)


def test_frozen_for_the_whole_vm_and_no_other() -> None:
    rig = Rig(MERGED, machine=MachineSpec(depth=8, kernel="v6.16"), vms=[VmSpec("vm0", 2), VmSpec("vm1")])
    rig.guest(Nop())

    assert not put(rig, 0, "vm0/1")
    assert put(rig, 0, "vm1/0")
    assert (get(rig), get(rig, "vm1/0")) == (0x2005, 0)


@cases("lbr", [True, False])
def test_guest_reads_what_user_space_set(lbr: bool) -> None:
    rig = Rig(REVOKE_GP, lbr=lbr)

    assert rig.rdmsr(IA32_PERF_CAPABILITIES).value == (0x2005 if lbr else 0x2000)


@cases("value", [0, 5, 0x2005])
def test_guest_cannot_write(value: int) -> None:
    """Not even the value that is there."""
    rig = Rig(MERGED)

    assert not rig.wrmsr(IA32_PERF_CAPABILITIES, value)
    assert get(rig) == 0x2005
    assert [(r.result, r.denied) for r in rig.records(Access)] == [("gp", False)]


def test_other_registers() -> None:
    rig = Rig(MERGED)

    assert rig.kvm(GetMsr(VCPU, IA32_DEBUGCTL)) == Done(0)
    assert rig.kvm(GetMsr(VCPU, 0x10)) == Done(errno="ENOENT")
    assert rig.kvm(SetMsr(VCPU, 0x10, 0)) == Done(0)
    assert rig.rdmsr(0x10).fault
    assert not rig.wrmsr(MSR_LBR_TOS + 1, 0)
