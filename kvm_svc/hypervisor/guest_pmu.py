"""The state of a guest's counters (``struct kvm_pmu``, ``struct kvm_pmc``)."""

from __future__ import annotations

from dataclasses import dataclass, field


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

    @property
    def waiting(self) -> bool:
        return any(counter.asked for counter in self.counters.values())

    @property
    def counting(self) -> bool:
        return any(counter.running for counter in self.counters.values())
