"""CPUID as the guest reads it (``kvm_emulate_cpuid``): the leaves that user space has set up."""

from __future__ import annotations

from contract.control import VmSpec
from contract.machine import AnyOp, Cpuid
from contract.x86 import COUNTER_WIDTH, CPUID_ARCH_EVENTS, CPUID_PDCM
from kvm_svc.hypervisor.state import Hypervisor, Vm


def read_cpuid(hv: Hypervisor, vm: Vm, op: AnyOp) -> int:
    """The register that ``op`` reads; 0 for fields that are not modelled, and if the guest does not use the result."""
    if not isinstance(op, Cpuid):
        return 0
    spec, width = vm.spec, COUNTER_WIDTH.bit_length()
    general, fixed = leaf_counters(hv, spec)
    match op.leaf, op.output:
        case 1, "ecx":
            return CPUID_PDCM if spec.pdcm else 0
        case 0xA, "eax" if spec.pmu:
            return spec.pmu | general << 8 | width << 16 | CPUID_ARCH_EVENTS << 24
        case 0xA, "edx" if spec.pmu:
            return fixed | width << 5
        case _:
            return 0


def leaf_counters(hv: Hypervisor, spec: VmSpec) -> tuple[int, int]:
    """General and fixed counters of leaf 0xA, as user space gives them. These may be more than KVM supports."""
    general = hv.machine.counters if spec.counters is None else spec.counters
    fixed = hv.machine.fixed if spec.fixed is None else spec.fixed
    return general, fixed
