"""What makes a machine possible; both cores and the litmus validator ask here."""

from __future__ import annotations

from contract.control import MachineSpec
from contract.errors import RefusedError
from contract.x86 import LbrModel, lbr_model

KERNELS = ("v5.3", "v5.12", "v6.16")
CPUS_LIMIT = 64
COUNTERS_LIMIT = 64


def machine_model(spec: MachineSpec) -> LbrModel:
    """The LBR of this machine. Raises RefusedError naming what is impossible about it."""
    if not 1 <= spec.cpus <= CPUS_LIMIT:
        raise RefusedError(f"cpus = {spec.cpus}, expected 1 to {CPUS_LIMIT}")
    if not 1 <= spec.counters <= COUNTERS_LIMIT:
        raise RefusedError(f"counters = {spec.counters}, expected 1 to {COUNTERS_LIMIT}")
    if spec.kernel not in KERNELS:
        raise RefusedError(f"unknown kernel {spec.kernel!r}, expected one of {', '.join(KERNELS)}")
    try:
        return lbr_model(spec.lbr, spec.depth)
    except ValueError as error:
        raise RefusedError(str(error)) from None
