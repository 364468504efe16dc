"""Guest DEBUGCTL: what a write keeps, drops or faults on, what a read gives, and when a write creates an event."""

from __future__ import annotations

import pytest

from contract.control import Done, MachineSpec, SetMsr, VmSpec
from contract.design import DebugctlWrite, Design, Event
from contract.messages import CreateEvent, ReleaseEvent
from contract.trace import VmExit
from contract.x86 import IA32_DEBUGCTL, MSR_LBR_TOS
from tests.designs import DESIGNS, MERGED, REVOKE_GP
from tests.kvm_svc.rig import FROM0, VCPU, Rig

GP = "#GP"

# Written, then what is stored with the LBR enabled for the guest, and without.
TABLE = [
    (0x000, 0x000, 0x000),
    (0x001, 0x001, 0x000),
    (0x002, 0x000, 0x000),
    (0x003, 0x001, 0x000),
    (0x800, 0x800, GP),
    (0x801, 0x801, GP),
    (0x802, 0x800, GP),
    (0x803, 0x801, GP),
    (0x1000, GP, GP),
    (0x1001, GP, GP),
    (0x4000, GP, GP),
    (0x8000, GP, GP),
    (0x00C0, GP, GP),
    (0x0004, GP, GP),
    (1 << 63, GP, GP),
]
TABLE_DESIGNS = [design for design in DESIGNS.values() if design.debugctl_write is DebugctlWrite.TABLE]
MASK_DESIGNS = [design for design in DESIGNS.values() if design.debugctl_write is DebugctlWrite.MASK]
by_name = pytest.mark.parametrize("design", TABLE_DESIGNS, ids=lambda d: d.name)
by_mask = pytest.mark.parametrize("design", MASK_DESIGNS, ids=lambda d: d.name)


@by_name
@pytest.mark.parametrize("lbr", [True, False], ids=["lbr", "no-lbr"])
@pytest.mark.parametrize("row", TABLE, ids=lambda r: f"{r[0]:#x}")
def test_write_table(design: Design, lbr: bool, row: tuple[int, int | str, int | str]) -> None:
    value, enabled, disabled = row
    expected = enabled if lbr else disabled
    rig = Rig(design, lbr=lbr)
    before = 0x800 if lbr else 0
    assert rig.debugctl(before)

    taken = rig.debugctl(value)

    assert taken == (expected != GP)
    assert rig.rdmsr(IA32_DEBUGCTL).value == (before if expected == GP else expected)
    creates = isinstance(expected, int) and expected & 1 and design.event is not Event.NONE
    assert bool(rig.vcpu().lbr_desc.event) == bool(creates)


@by_mask
@pytest.mark.parametrize(("value", "kept"), [(0, 0), (1, 1), (2, 0), (0x801, 0x801), (0xFFFF, 0x801), (1 << 63, 0)])
def test_mask_keeps_two_bits_and_never_faults(design: Design, value: int, kept: int) -> None:
    rig = Rig(design)

    assert rig.debugctl(value)

    assert rig.rdmsr(IA32_DEBUGCTL).value == kept


@by_mask
def test_mask_without_lbr_faults_on_everything(design: Design) -> None:
    """The generic fall-back is gone: not even 0 can be written."""
    rig = Rig(design, lbr=False)

    assert rig.rdmsr(IA32_DEBUGCTL).fault
    assert not any(rig.debugctl(value) for value in (0, 1, 2, 0x801))
    assert rig.vcpu().debugctl == 0
    assert rig.sent(CreateEvent) == 0


@by_name
def test_reads_without_lbr_give_zero(design: Design) -> None:
    value = Rig(design, lbr=False).rdmsr(IA32_DEBUGCTL)

    assert (value.value, value.fault) == (0, False)


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_always_intercepted(design: Design) -> None:
    rig = Rig(design)
    rig.debugctl(1)
    rig.rdmsr(MSR_LBR_TOS)
    before = len([r for r in rig.records(VmExit) if r.msr == IA32_DEBUGCTL])

    rig.rdmsr(IA32_DEBUGCTL)
    rig.debugctl(1)

    assert len([r for r in rig.records(VmExit) if r.msr == IA32_DEBUGCTL]) == before + 2


@by_name
def test_clearing_lbr_releases_nothing(design: Design) -> None:
    """Guests toggle the bit in their PMI handler."""
    rig = Rig(design)
    rig.debugctl(1)
    event = rig.vcpu().lbr_desc.event

    assert rig.debugctl(0)

    assert rig.vcpu().lbr_desc.event == event
    assert rig.sent(ReleaseEvent) == 0


def test_failed_creation_is_ignored() -> None:
    """A part without call-stack mode: perf refuses the event, the write succeeds all the same."""
    rig = Rig(MERGED, machine=MachineSpec(lbr="nehalem"))

    assert rig.debugctl(0x801)

    assert rig.sent(CreateEvent) == 1
    assert (rig.vcpu().lbr_desc.event, rig.vcpu().debugctl) == (0, 0x801)
    assert rig.debugctl(0x801)
    assert rig.sent(CreateEvent) == 2


def test_denied_write_faults_and_changes_nothing() -> None:
    """A WRMSR that gives #GP has not written."""
    rig = Rig(REVOKE_GP)
    rig.rdmsr(FROM0)
    rig.host_event()

    assert not rig.debugctl(0x801)

    assert rig.vcpu().debugctl == 0


def test_denied_guest_may_still_clear_the_bit() -> None:
    rig = Rig(REVOKE_GP)
    rig.debugctl(0x801)
    rig.host_event()

    assert rig.vcpu().debugctl == 0x800
    assert rig.debugctl(0)
    assert rig.vcpu().debugctl == 0


@pytest.mark.parametrize(("value", "stored"), [(0x801, 0x801), (0, 0), (2, 0), (3, 1)])
def test_user_space_write(value: int, stored: int) -> None:
    """KVM_SET_MSRS goes the guest's way: BTF is tolerated and dropped."""
    rig = Rig(MERGED)

    assert rig.kvm(SetMsr(VCPU, IA32_DEBUGCTL, value)) == Done(1)
    assert rig.vcpu().debugctl == stored


def test_user_space_write_rejected() -> None:
    rig = Rig(MERGED)

    assert rig.kvm(SetMsr(VCPU, IA32_DEBUGCTL, 0x1000)) == Done(0)
    assert rig.vcpu().debugctl == 0


# Machine, guest's CPUID and kernel, and which of BUS_LOCK_DETECT, RTM_DEBUG the guest may set, then user space for it.
@pytest.mark.parametrize(
    ("kernel", "machine", "guest", "bus_lock", "rtm"),
    [
        ("v5.12", True, True, (True, True), (False, False)),
        ("v5.12", True, False, (False, False), (False, False)),
        ("v5.12", False, True, (False, False), (False, False)),
        ("v6.16", True, True, (True, True), (True, True)),
        ("v6.16", True, False, (False, True), (False, True)),
        ("v6.16", False, True, (False, False), (False, False)),
    ],
)
@by_name
def test_bits_of_the_cpu(
    design: Design, kernel: str, machine: bool, guest: bool, bus_lock: tuple[bool, bool], rtm: tuple[bool, bool]
) -> None:
    spec = MachineSpec(depth=8, kernel=kernel, bus_lock=machine, rtm=machine)
    for bit, (by_guest, by_user) in ((0x4, bus_lock), (0x8000, rtm)):
        rig = Rig(design, machine=spec, vms=[VmSpec("vm0", bus_lock=guest, rtm=guest)])

        assert rig.debugctl(bit | 0x800) == by_guest
        assert rig.vcpu().debugctl == (bit | 0x800 if by_guest else 0)
        assert rig.kvm(SetMsr(VCPU, IA32_DEBUGCTL, bit)) == Done(int(by_user))
        assert rig.rdmsr(IA32_DEBUGCTL).value == (bit if by_user else rig.vcpu().debugctl)


@pytest.mark.parametrize(("kernel", "taken", "stored"), [("v5.12", 0, 0), ("v6.16", 1, 0x801)])
def test_user_space_sets_what_kvm_supports(kernel: str, taken: int, stored: int) -> None:
    """Since 2022 even for a guest without LBR, which then enters with DEBUGCTL.LBR set."""
    rig = Rig(MERGED, lbr=False, machine=MachineSpec(depth=8, kernel=kernel))

    assert rig.kvm(SetMsr(VCPU, IA32_DEBUGCTL, 0x801)) == Done(taken)
    assert rig.vcpu().debugctl == stored
