"""Guest DEBUGCTL: what a write keeps, drops or faults on, what a read gives, and when a write creates an event."""

from __future__ import annotations

from contract.control import GetMsr, MachineSpec, SetMsr, VmSpec
from contract.design import DebugctlWrite, Design, Event
from contract.kernels import KERNELS
from contract.machine import Nop
from contract.messages import CreateEvent, ReleaseEvent
from contract.results import Done
from contract.trace import UserMsr, VmEntry, VmExit, Warn
from contract.x86 import IA32_DEBUGCTL, IA32_PERF_CAPABILITIES, MSR_LBR_TOS
from tests.cases import cases
from tests.designs import DESIGNS, MERGED, REVOKE_GP
from tests.kvm_svc.rig import FROM0, VCPU, Rig

GP = "#GP"

# Written, then what v5.12 stores with the LBR enabled for the guest, and without. BTF takes LBR with it.
TABLE = [
    (0x000, 0x000, 0x000),
    (0x001, 0x001, 0x000),
    (0x002, 0x000, 0x000),
    (0x003, 0x000, 0x000),
    (0x800, 0x800, GP),
    (0x801, 0x801, GP),
    (0x802, 0x800, GP),
    (0x803, 0x800, GP),
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
by_name = cases("design", TABLE_DESIGNS, ids=lambda d: d.name)
by_mask = cases("design", MASK_DESIGNS, ids=lambda d: d.name)


@by_name
@cases("lbr", [True, False], ids=["lbr", "no-lbr"])
@cases("row", TABLE, ids=lambda r: f"{r[0]:#x}")
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
@cases(("value", "kept"), [(0, 0), (1, 1), (2, 0), (0x801, 0x801), (0xFFFF, 0x801), (1 << 63, 0)])
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


@cases("design", DESIGNS.values(), ids=DESIGNS)
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
    """A part without call-stack mode: perf refuses the event, and the write still succeeds."""
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


@cases(("value", "stored"), [(0x801, 0x801), (0, 0), (2, 0), (3, 0)])
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
@cases(
    ("kernel", "machine", "guest", "bus_lock", "rtm"),
    [
        ("v5.3", True, True, (False, False), (False, False)),
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


OLD, SINCE_V6_1, SINCE_V6_17 = ("v5.3", "v5.12"), ("v6.16", "v7.1"), ("v7.1",)


def of(kernels: tuple[str, ...], *rows: tuple[int, int | str]) -> list[tuple[str, int, int | str]]:
    return [(kernel, value, stored) for kernel in kernels for value, stored in rows]


BEFORE_V6_17 = tuple(kernel for kernel in KERNELS if kernel not in SINCE_V6_17)
# Kernel, what user space writes, and what is stored: it is counted as done unless it is rejected.
WITHOUT_LBR = [
    *of(OLD, (0, 0), (1, 0), (2, 0), (3, 0), (0x800, GP), (0x801, GP), (0x802, GP), (0x803, GP)),
    *of(SINCE_V6_1, (0, 0), (1, 1), (2, 0), (0x800, 0x800), (0x801, 0x801), (0x802, 0x800)),
    *of(("v6.16",), (3, 0), (0x803, 0x800)),
    *of(SINCE_V6_17, (3, 1), (0x803, 0x801)),
    *of(tuple(KERNELS), (0x4, GP), (0x1000, GP), (0x4001, GP), (0x8003, GP)),
]
WITH_LBR = [
    *of(tuple(KERNELS), (0, 0), (1, 1), (2, 0), (0x800, 0x800), (0x801, 0x801), (0x802, 0x800), (0x1001, GP)),
    *of(BEFORE_V6_17, (3, 0), (0x803, 0x800)),
    *of(SINCE_V6_17, (3, 1), (0x803, 0x801)),
]


def on_kernel(kernel: str, *, lbr: bool) -> Rig:
    return Rig(MERGED, lbr=lbr, machine=MachineSpec(depth=8, kernel=kernel))


@cases(("kernel", "value", "stored"), WITHOUT_LBR)
def test_user_space_writes_for_a_guest_without_lbr(kernel: str, value: int, stored: int | str) -> None:
    """Since v6.1 what KVM supports is stored, and loaded at the entry. No event is made, and nobody warns."""
    rig = on_kernel(kernel, lbr=False)

    assert rig.kvm(SetMsr(VCPU, IA32_DEBUGCTL, value)) == Done(int(stored != GP))
    kept = 0 if stored == GP else stored
    assert rig.kvm(GetMsr(VCPU, IA32_DEBUGCTL)) == Done(int(kept))
    assert [(r.value, r.processed) for r in rig.records(UserMsr)][-2:] == [(kept, stored != GP), (kept, True)]
    rig.guest(Nop())
    assert rig.records(VmEntry)[-1].debugctl == kept
    assert (rig.sent(CreateEvent), rig.records(Warn)) == (0, [])


@cases(("kernel", "value", "stored"), WITH_LBR)
def test_user_space_writes_for_a_guest_with_lbr(kernel: str, value: int, stored: int | str) -> None:
    """The value that the guest's own write stores, with the event that it makes."""
    rig, guest = on_kernel(kernel, lbr=True), on_kernel(kernel, lbr=True)

    assert rig.kvm(SetMsr(VCPU, IA32_DEBUGCTL, value)) == Done(int(stored != GP))
    assert guest.debugctl(value) == (stored != GP)
    kept = 0 if stored == GP else int(stored)
    assert (rig.vcpu().debugctl, guest.vcpu().debugctl) == (kept, kept)
    assert (rig.sent(CreateEvent), guest.sent(CreateEvent)) == (kept & 1, kept & 1)


@cases("kernel", KERNELS)
def test_debugctl_set_before_lbr_fmt(kernel: str) -> None:
    """Before v6.1 nothing is left of it when LBR_FMT comes. Since then the guest is entered with its LBR on and no
    event, which KVM warns about."""
    rig = on_kernel(kernel, lbr=False)
    on = int(kernel in SINCE_V6_1)

    assert rig.kvm(SetMsr(VCPU, IA32_DEBUGCTL, 1)) == Done(1)
    assert rig.kvm(SetMsr(VCPU, IA32_PERF_CAPABILITIES, 5)) == Done(1)
    rig.guest(Nop())

    assert rig.vcpu().vm.lbr_enabled
    assert rig.records(VmEntry)[-1].debugctl == on
    assert (rig.vcpu().lbr_desc.event, len(rig.records(Warn))) == (0, on)
    assert rig.rdmsr(MSR_LBR_TOS).value == 0
    assert rig.vcpu().lbr_desc.event != 0
