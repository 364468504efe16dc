"""The state of a guest's counters (``struct kvm_pmu``, ``struct kvm_pmc``)."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from contract.canonical import Event, Request


@dataclass(slots=True)
class GuestCounter:
    """``value`` is what the counter held when ``event``, the host event that counts for it (0: none), showed ``since``;
    ``running``: that event counts, and it showed ``begun`` when it began to. ``config``: what it was created for.
    ``asked`` is the request of a CreateCounter not yet answered. ``reprogram``: the event does not match the registers
    any more. ``in_use``: touched in this slice."""

    eventsel: int = 0
    value: int = 0
    event: int = 0
    since: int = 0
    begun: int = 0
    running: bool = False
    config: int = 0
    asked: int = 0
    reprogram: bool = False
    in_use: bool = False

    def clone(self) -> GuestCounter:
        return GuestCounter(
            self.eventsel,
            self.value,
            self.event,
            self.since,
            self.begun,
            self.running,
            self.config,
            self.asked,
            self.reprogram,
            self.in_use,
        )

    def key(self) -> tuple[Hashable, ...]:
        flags = self.running, self.reprogram, self.in_use
        shown = self.since, self.begun
        return self.eventsel, self.value, Event(self.event), shown, self.config, Request(self.asked), flags


@dataclass(slots=True)
class GuestPmu:
    """``counters`` by number, those that were touched; fixed ones from FIXED_COUNTER. ``requested`` is KVM_REQ_PMU,
    ``pmi`` KVM_REQ_PMI, ``cleanup`` need_cleanup. ``hardware_froze``: an overflow has cleared DEBUGCTL.LBR since the
    last PMI was delivered."""

    counters: dict[int, GuestCounter] = field(default_factory=dict)
    fixed_ctr_ctrl: int = 0
    global_ctrl: int = 0
    global_status: int = 0
    requested: bool = False
    pmi: bool = False
    cleanup: bool = False
    hardware_froze: bool = False

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
        return any(counter.asked for counter in self.counters.values())

    @property
    def counting(self) -> bool:
        return any(counter.running for counter in self.counters.values())
