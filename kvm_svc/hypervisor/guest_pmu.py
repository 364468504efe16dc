"""The state of a guest's counters (``struct kvm_pmu``, ``struct kvm_pmc``)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from contract.canonical import Event, Request


@dataclass(slots=True)
class GuestCounter:
    """One counter of a guest (``struct kvm_pmc``)."""

    eventsel: int = 0
    """The event select of a general counter; 0 for a fixed counter."""
    value: int = 0
    """Value of the counter when its event showed ``base``."""
    event: int = 0
    """Id of the host event that counts for it; 0: none."""
    base: int = 0
    """Count of the event at which ``value`` was taken."""
    begun: int = 0
    """Count of the event when it last began to count."""
    running: bool = False
    """The event counts."""
    config: int = 0
    """The register value for which the event was created."""
    request: int = 0
    """Number of a CreateCounter or ResumeCounter that is not answered yet; 0: none."""
    reprogram: bool = False
    """The event no longer matches the registers."""
    in_use: bool = False
    """The guest touched the counter in this slice."""

    def clone(self) -> GuestCounter:
        return GuestCounter(
            self.eventsel,
            self.value,
            self.event,
            self.base,
            self.begun,
            self.running,
            self.config,
            self.request,
            self.reprogram,
            self.in_use,
        )

    def key(self) -> tuple[Hashable, ...]:
        flags = self.running, self.reprogram, self.in_use
        shown = self.base, self.begun
        return self.eventsel, self.value, Event(self.event), shown, self.config, Request(self.request), flags


@dataclass(slots=True)
class GuestPmu:
    """The PMU of a guest (``struct kvm_pmu``)."""

    counters: dict[int, GuestCounter] = field(default_factory=dict)
    """Number to counter, for the counters that were touched. Fixed ones begin at FIXED_COUNTER."""
    fixed_ctr_ctrl: int = 0
    """IA32_FIXED_CTR_CTRL."""
    global_ctrl: int = 0
    """IA32_PERF_GLOBAL_CTRL."""
    global_status: int = 0
    """IA32_PERF_GLOBAL_STATUS."""
    requested: bool = False
    """KVM_REQ_PMU: counters are to be reprogrammed before the next entry."""
    pmi: bool = False
    """KVM_REQ_PMI: a PMI is to be delivered before the next entry."""
    cleanup: bool = False
    """``need_cleanup``: unused counters are to be released."""
    hardware_froze: bool = False
    """An overflow has cleared DEBUGCTL.LBR since the last PMI was delivered."""

    def clone(self) -> GuestPmu:
        return GuestPmu(
            {number: counter.clone() for number, counter in self.counters.items()},
            self.fixed_ctr_ctrl,
            self.global_ctrl,
            self.global_status,
            self.requested,
            self.pmi,
            self.cleanup,
            self.hardware_froze,
        )

    def key(self) -> tuple[Hashable, ...]:
        counters = tuple([(number, counter.key()) for number, counter in self.counters.items()])
        flags = self.requested, self.pmi, self.cleanup, self.hardware_froze
        return counters, self.fixed_ctr_ctrl, self.global_ctrl, self.global_status, flags

    @property
    def waiting(self) -> bool:
        return any(counter.request for counter in self.counters.values())

    @property
    def counting(self) -> bool:
        return any(counter.running for counter in self.counters.values())
