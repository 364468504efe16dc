"""What an event counts of what retires on a CPU."""

from __future__ import annotations

from perfcore_svc.machine.cpu import Cpu
from perfcore_svc.perf.event import PerfEvent


def counted(cpu: Cpu, event: PerfEvent) -> int:
    """What a free-running counter shows to this event."""
    if event.counts_for:
        by_kernel = cpu.retired_guest - cpu.retired_by_user
        return cpu.retired_by_user * ("user" in event.levels) + by_kernel * ("kernel" in event.levels)
    return cpu.retired + cpu.retired_guest if event.includes_guest else cpu.retired
