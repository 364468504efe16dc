"""The table of a guest's PMU MSRs, from the table that KVM's code uses."""

from __future__ import annotations

import msgspec

from contract.control import MachineSpec, VmSpec
from contract.spec import machine_model
from contract.x86 import msr_name
from kvm_svc.hypervisor.kernel_rules import KVM_RULES
from kvm_svc.hypervisor.pmu_msrs import MsrAccess, PmuMsr, PmuShape, pmu_msrs

HEADINGS = ("#", "MSR", "name", "guest", "user", "reset", "reserved")
ACCESS_LEGEND = """\
#         place on the save list (KVM_GET_MSR_INDEX_LIST), of these MSRs
guest     RDMSR and WRMSR: r, rw, - is #GP, 0 reads 0 and drops writes
user      KVM_GET_MSRS and KVM_SET_MSRS: as for the guest, - is rejected
reset     value in a new vCPU; reserved: bits that cannot be written"""


class PmuMsrRow(msgspec.Struct, frozen=True):
    """``saved`` -1: not on the save list. ``guest``, ``user``: an ``MsrAccess``. ``reserved``: bits that cannot be
    written, even by a writer of the register."""

    msr: int
    name: str
    guest: str
    user: str
    reset: int
    reserved: int
    saved: int


def pmu_msr_rows(machine: MachineSpec, vm: VmSpec) -> list[PmuMsrRow]:
    """The rows by kernel, machine and guest, in the order of the save list; registers not on the list come last. Raises
    RefusedError if there is no such machine."""
    model = machine_model(machine)
    rules = KVM_RULES[machine.kernel].pmu
    shape = PmuShape(machine.counters, machine.fixed, vm.pmu, full_width=vm.pdcm)
    rows = sorted(pmu_msrs(rules, shape).values(), key=lambda row: (row.position < 0, row.position, row.msr))
    return [_row(msr_name(model, row.msr), row) for row in rows]


def _row(name: str, row: PmuMsr) -> PmuMsrRow:
    reserved = row.user_reserved if row.user is MsrAccess.READ_WRITE else 0
    return PmuMsrRow(row.msr, name, row.guest, row.user, row.reset, reserved, row.position)


def pmu_msr_lines(rows: list[PmuMsrRow]) -> list[str]:
    """A line for each register, under headings."""
    cells = [HEADINGS] + [
        (
            str(row.saved) if row.saved >= 0 else "",
            f"{row.msr:#x}",
            row.name if not row.name.startswith("0x") else "",
            row.guest,
            row.user,
            f"{row.reset:#x}" if row.reset else "0",
            f"{row.reserved:#x}" if row.reserved else "",
        )
        for row in rows
    ]
    wide = [max(len(line[i]) for line in cells) for i in range(len(HEADINGS))]
    return ["  ".join(f"{cell:<{wide[i]}}" for i, cell in enumerate(line)).rstrip() for line in cells]
