"""The kernels whose rules the model knows. Every place that names a kernel reads this table.

What differs is data of each side: ``perfcore_svc.perf.rules`` for host perf, ``kvm_svc.hypervisor.rules`` for KVM.
"""

from __future__ import annotations

KERNELS: dict[str, str] = {
    "v5.3": "2019, the tree of v7 and v8: no PMU MSR is saved, old walk and rotation",
    "v5.12": "2021, guest LBR as merged: counters are saved, fixed ones on at RESET",
    "v6.16": "2025, LBR needs call stacks, user space may set DEBUGCTL first",
    "v7.1": "2026, DEBUGCTL is saved, before the counters; BTF takes no LBR along",
}
"""By name: one line on what differs from the others."""


def unknown_kernel(name: str) -> str:
    """The error for a kernel that is not in the table."""
    return f"unknown kernel {name!r}, expected one of {', '.join(KERNELS)}"
