"""The kernels whose rules the model knows. Every place that names a kernel reads this table.

Each side has its differences as data: ``perfcore_svc.perf.kernel_rules`` for host perf,
``kvm_svc.hypervisor.kernel_rules`` for KVM.
"""

from __future__ import annotations

KERNELS: dict[str, str] = {
    "v5.3": "2019, the tree of v7 and v8: empty save list, old walk and rotation",
    "v5.12": "2021, guest LBR as merged: save list; fixed counters on at RESET",
    "v6.16": "2025: an LBR needs call stacks; user space may set DEBUGCTL first",
    "v7.1": "2026: DEBUGCTL is on the save list; a dropped BTF leaves LBR alone",
}
"""Name to one line that says how it differs from the others."""


def unknown_kernel(name: str) -> str:
    """The error for a kernel that is not in the table."""
    return f"unknown kernel {name!r}, expected one of {', '.join(KERNELS)}"
