"""Machine-wide counts that opens check."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from contract.errors import RefusedError
from perfcore_svc.perf.event import TRACERS, PerfEvent


class MediatedError(RefusedError):
    """EOPNOTSUPP because of VMs with a mediated vPMU."""

    def __init__(self) -> None:
        super().__init__("an event that counts guests while a mediated VM exists", "EOPNOTSUPP")
        self.holder = "a mediated VM"


@dataclass(slots=True)
class Reservations:
    """Machine-wide counts that opens check (facts/perf 2.4, 4.1). They count existence, not being on."""

    exclusive: dict[str, int] = field(default_factory=dict)
    """Number of existing events of each kind that excludes the others: lbr, bts, pt (``x86_pmu.lbr_exclusive``)."""
    exclusive_pmus: dict[str, int] = field(default_factory=dict)
    """By tracer: the number of its task events, or, negative, of its CPU events (``pmu->exclusive_cnt``)."""
    include_guest: int = 0
    """Number of existing events that count guests (``nr_include_guest_events``)."""
    mediated_vms: int = 0
    """Number of VMs with a mediated vPMU (``nr_mediated_pmu_vms``)."""
    pt_coexists: bool = False
    """``x86_pmu.lbr_pt_coexist``: PT is neither checked nor counted among the kinds that exclude each other.
    Configuration."""

    def clone(self) -> Reservations:
        pmus = self.exclusive_pmus.copy()
        return Reservations(self.exclusive.copy(), pmus, self.include_guest, self.mediated_vms, self.pt_coexists)

    def key(self) -> tuple[Hashable, ...]:
        counts = [tuple(sorted((n, c) for n, c in each.items() if c)) for each in (self.exclusive, self.exclusive_pmus)]
        return *counts, self.include_guest, self.mediated_vms

    def check_exclusive(self, kind: str) -> None:
        """``x86_add_exclusive``, which the driver calls before it checks the group."""
        if self._excludes(kind) and any(count for other, count in self.exclusive.items() if other != kind):
            raise RefusedError(f"{kind} while another of lbr, bts, pt is open", "EBUSY")

    def _excludes(self, kind: str) -> bool:
        return kind != "" and not (kind == "pt" and self.pt_coexists)

    def take(self, event: PerfEvent) -> None:
        """Count an event that has passed all other checks of its open."""
        self.check_exclusive(event.kind)
        step = _exclusive_step(event)
        if step * self.exclusive_pmus.get(event.kind, 0) < 0:
            raise RefusedError(f"{event.kind} is in use by {'CPU' if step > 0 else 'task'} events", "EBUSY")
        if event.includes_guest:
            if self.mediated_vms:
                raise MediatedError
            self.include_guest += 1
        if self._excludes(event.kind):
            self.exclusive[event.kind] = self.exclusive.get(event.kind, 0) + 1
        if step:
            self.exclusive_pmus[event.kind] = self.exclusive_pmus.get(event.kind, 0) + step

    def give(self, event: PerfEvent) -> None:
        if self._excludes(event.kind):
            self.exclusive[event.kind] -= 1
        if step := _exclusive_step(event):
            self.exclusive_pmus[event.kind] -= step
        if event.includes_guest:
            self.include_guest -= 1

    def mediate(self) -> None:
        """``perf_create_mediated_pmu``."""
        if not self.mediated_vms and self.include_guest:
            raise RefusedError("events that count guests are open", "EBUSY")
        self.mediated_vms += 1

    def unmediate(self) -> None:
        """``perf_release_mediated_pmu``."""
        if not self.mediated_vms:
            raise RefusedError("no mediated VM", "EINVAL")
        self.mediated_vms -= 1


def _exclusive_step(event: PerfEvent) -> int:
    """``exclusive_event_init``: a PMU with PERF_PMU_CAP_EXCLUSIVE has task events (1) or CPU events (-1), not both."""
    return (1 if event.task else -1) if event.kind in TRACERS else 0
