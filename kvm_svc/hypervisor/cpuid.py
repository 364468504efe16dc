"""KVM_SET_CPUID2: a guest's CPUID changes, and with it the state that KVM derives from it
(``kvm_vcpu_after_set_cpuid``).

``kvm_set_cpuid`` decides whether the call is allowed; ``kvm_pmu_refresh`` and ``intel_pmu_refresh`` follow. The state
is kept for the whole VM: user space gives all vCPUs the same CPUID.
"""

from __future__ import annotations

from collections.abc import Generator

from msgspec.structs import replace

from contract.control import SetCpuid, VmSpec
from contract.errors import RefusedError
from contract.machine import AnyReply, AnyRequest
from contract.results import Done
from contract.spec import check_vm
from contract.trace import CpuidSet
from kvm_svc.hypervisor.cpuid_leaves import leaf_counters
from kvm_svc.hypervisor.migration import leave_guest_mode
from kvm_svc.hypervisor.msr import ThreadMovedError
from kvm_svc.hypervisor.pmu_refresh import refresh_cpuid, vcpus_of
from kvm_svc.hypervisor.state import Hypervisor, Vcpu, Vm


def set_cpuid(hv: Hypervisor, vcpu: Vcpu, command: SetCpuid) -> Generator[AnyRequest, AnyReply, Done]:
    """Raises RefusedError, with nothing changed, if a vCPU of the VM is busy."""
    vm = vcpu.vm
    given = {
        name: value
        for name in ("pmu", "counters", "fixed", "pdcm", "model")
        if (value := getattr(command, name)) is not None
    }
    spec = replace(vm.spec, **given)
    check_vm(spec)
    vcpus = vcpus_of(hv, vm)
    for each in vcpus:
        if each.waiting or each.ops or each.ioctl is not None:
            raise RefusedError(f"{each.name} is busy", "EBUSY")
    if vm.has_run and not hv.rules.cpuid_after_run:
        errno = "" if spec == vm.spec else "EINVAL"
        _record(hv, vm, spec, errno)
        return Done(errno=errno)
    for each in vcpus:
        if each.guest_mode:
            try:
                yield from leave_guest_mode(each)
            except ThreadMovedError as error:
                raise RefusedError(str(error), "EAGAIN") from None
    vm.spec = spec
    refresh_cpuid(hv, vm)
    _record(hv, vm, spec, "")
    return Done()


def _record(hv: Hypervisor, vm: Vm, spec: VmSpec, errno: str) -> None:
    counters, fixed = leaf_counters(hv, spec)
    hv.effects.add(CpuidSet(spec.name, spec.pmu, counters, fixed, spec.pdcm, spec.model, vm.lbr_enabled, errno))
