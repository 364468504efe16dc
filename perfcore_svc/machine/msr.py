"""RDMSR and WRMSR on the hardware: DEBUGCTL, PERF_CAPABILITIES and the LBR MSRs.

SDM vol. 4 and vol. 3B (LBR); a register that does not exist or a bad value gives #GP. TOS keeps only its log2(depth)
bits. Our sources do not say what a write of the other bits does; here it is ignored.
"""

from __future__ import annotations

from contract.x86 import (
    DEBUGCTL_DEFINED,
    IA32_DEBUGCTL,
    IA32_PERF_CAPABILITIES,
    PERF_CAP_FULL_WIDTH_WRITES,
)
from perfcore_svc.machine.cpu import Cpu


class GeneralProtectionError(Exception):
    """#GP(0)."""


def rdmsr(cpu: Cpu, msr: int) -> int:
    if msr == IA32_DEBUGCTL:
        return cpu.debugctl
    if msr == IA32_PERF_CAPABILITIES:
        return cpu.lbr.model.lbr_fmt | PERF_CAP_FULL_WIDTH_WRITES
    value = cpu.lbr.get(msr)
    if value is None:
        raise GeneralProtectionError
    return value


def wrmsr(cpu: Cpu, msr: int, value: int) -> None:
    if msr == IA32_DEBUGCTL and not value & ~DEBUGCTL_DEFINED:
        cpu.debugctl = value
    elif cpu.lbr.takes(msr, value):
        cpu.lbr.put(msr, value)
    else:
        raise GeneralProtectionError
