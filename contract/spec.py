"""The limits of machines and VMs. Both cores and the litmus validator check them."""

from __future__ import annotations

from functools import lru_cache

from contract.control import MachineSpec, VmSpec
from contract.errors import RefusedError
from contract.kernels import KERNELS, unknown_kernel
from contract.provenance import SERIAL_LIMIT
from contract.x86 import LbrModel, lbr_model

CPUS_LIMIT = 64
"""CPUs of all hosts of a run together."""
HOSTS_LIMIT = 4
EVENTS_OF_A_HOST = 1_000_000
"""Number of event ids of each host: host 0 gives out 1, 2, ...; host 1 gives out 1000001, ..."""
COUNTERS_LIMIT = 32
FIXED_LIMIT = 3
MACHINE_LIMITS = {"cpus": (1, CPUS_LIMIT), "counters": (1, COUNTERS_LIMIT), "fixed": (0, FIXED_LIMIT)}
"""The lowest and the highest number of each part of a machine."""
PMUS = ("intel", "armv8")
PMU_VERSION_LIMIT = 5
CPUID_LIMITS = {"pmu": PMU_VERSION_LIMIT, "counters": 255, "fixed": 31}
"""The highest values in leaf 0xA of a guest's CPUID: its version, general counters (EAX, bits 15:8) and fixed counters
(EDX, bits 4:0)."""
VM_MODELS = ("host", "other")
ADVANCE_LIMIT = 100_000_000_000
"""The most nanoseconds by which virtual time advances at once."""
LEASE_NS = 10_000_000
"""Nanoseconds for which a grant holds without renewal, in designs whose host waits for KVM."""
NORMAL_RATE = 1_000_000
"""The rate of a clock that runs as the host's does, which is virtual time."""
RATES = range(1_000, 1_000_000_000 + 1)
"""The rates that a KVM's clock can have: from a thousandth to a thousand times the host's."""
TIME_LIMIT = 1 << 60
"""Nanoseconds at which virtual time ends."""


@lru_cache(maxsize=256)
def machine_model(spec: MachineSpec) -> LbrModel:
    """The LBR of this machine. Raises RefusedError naming the setting that is impossible."""
    for what, (least, most) in MACHINE_LIMITS.items():
        if not least <= getattr(spec, what) <= most:
            raise RefusedError(f"{what} = {getattr(spec, what)}, expected {least} to {most}")
    if not 0 <= spec.host < HOSTS_LIMIT:
        raise RefusedError(f"host = {spec.host}, expected 0 to {HOSTS_LIMIT - 1}")
    if not 0 <= spec.first_cpu <= CPUS_LIMIT - spec.cpus:
        raise RefusedError(f"cpus = {spec.cpus} from cpu{spec.first_cpu} on, expected at most {CPUS_LIMIT} in all")
    if spec.pmu not in PMUS:
        raise RefusedError(f"unknown PMU {spec.pmu!r}, expected one of {', '.join(PMUS)}")
    if spec.kernel not in KERNELS:
        raise RefusedError(unknown_kernel(spec.kernel))
    try:
        return lbr_model(spec.lbr, spec.depth)
    except ValueError as error:
        raise RefusedError(str(error)) from None


def check_vm(spec: VmSpec) -> None:
    """Raises RefusedError naming the setting of a guest's CPUID that is impossible."""
    for what, most in CPUID_LIMITS.items():
        value = getattr(spec, what)
        if value is not None and not 0 <= value <= most:
            raise RefusedError(f"{spec.name}: {what} = {value}, expected 0 to {most}")
    if spec.model not in VM_MODELS:
        raise RefusedError(f"{spec.name}: unknown model {spec.model!r}, expected one of {', '.join(VM_MODELS)}")


def first_serial(host: int) -> int:
    """The serial number of the first branch on a host."""
    return host * (SERIAL_LIMIT // HOSTS_LIMIT)


def host_of_event(event: int) -> int:
    """The host that assigned this id to an event."""
    return event // EVENTS_OF_A_HOST


def cpu_owners(hosts: list[int], cpus: int) -> list[int]:
    """The number of the host of each CPU. ``hosts``: the number of CPUs of each host, empty if one host has all."""
    return [host for host, count in enumerate(hosts or [cpus]) for _ in range(count)]
