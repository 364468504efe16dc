"""Conflicts between events over the LBR, checked before an event is given to the scheduler."""

from __future__ import annotations

from collections.abc import Iterable

from contract.errors import RefusedError
from perfcore_svc.perf.event import TRACERS, PerfEvent


class TakenError(RefusedError):
    """EBUSY in favour of ``holder``."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"{holder} came first", "EBUSY")
        self.holder = holder


def check_first_come(events: Iterable[PerfEvent], event: PerfEvent) -> None:
    """For designs in which the first user has the LBR: raises TakenError if another event has asked for it, with
    another filter, and could meet this one on a CPU. Existence counts, not being on, as with every reservation at
    open."""
    if event.slot is None:
        return
    for other in events:
        if other.slot not in (None, event.slot) and _may_meet(event, other):
            raise TakenError(other.name)


def check_installable(events: Iterable[PerfEvent], event: PerfEvent) -> None:
    """``exclusive_event_installable``: raises RefusedError (EBUSY) for a second event of intel_pt or intel_bts in one
    context, on one CPU, or if either follows its task everywhere. Linux v5.3 to v7.1, kernel/events/core.c."""
    if event.kind not in TRACERS:
        return
    for other in events:
        meet = other.cpu == event.cpu or -1 in (other.cpu, event.cpu)
        if meet and (other.kind, other.task) == (event.kind, event.task):
            raise RefusedError(f"{other.name} has {event.kind} there already", "EBUSY")


def _may_meet(a: PerfEvent, b: PerfEvent) -> bool:
    if a.task and b.task and a.task != b.task:
        return False
    return a.cpu == b.cpu or -1 in (a.cpu, b.cpu)
