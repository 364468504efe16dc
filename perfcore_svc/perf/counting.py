"""The count an event sees for the branches retired on its CPU.

USR and OS of the event select count by CPL, in guest mode by the guest's; ``intel_guest_get_msrs`` takes an event with
exclude_host out of GLOBAL_CTRL in host mode, and one with exclude_guest in guest mode.
"""

from __future__ import annotations

from perfcore_svc.machine.cpu import Cpu
from perfcore_svc.perf.event import PerfEvent


def counted(cpu: Cpu, event: PerfEvent) -> int:
    """The value of a free-running counter for this event."""
    user, kernel = "user" in event.levels, "kernel" in event.levels
    count = 0
    if event.counts_host:
        count += cpu.host_user * user + cpu.host_kernel * kernel
    if event.counts_guest:
        count += cpu.guest_user * user + cpu.guest_kernel * kernel
    return count


def counts_here(cpu: Cpu, event: PerfEvent, privilege: str) -> bool:
    """Whether the event counts branches of this level in the mode that the CPU is in."""
    return privilege in event.levels and (event.counts_guest if cpu.guest else event.counts_host)
