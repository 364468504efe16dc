"""Counters: their number, the events that can use each, and whether a group fits beside the events that are on.

x86 (``x86_schedule_events``, ``perf_assign_events``): in ascending weight, a fixed counter before a general one; events
that are on may be moved to make room. Armv8 (``armv8pmu_get_event_idx``): a new event takes a free counter, and no
event moves. A mask has a bit for each counter: general ones from bit 0, fixed ones from bit 32.
"""

from __future__ import annotations

import msgspec

from perfcore_svc.perf.context import PerfCpu
from perfcore_svc.perf.event import PerfEvent, State

FIXED = 32
FIXED_EVENTS = ("instructions", "cycles", "ref-cycles")
"""Events with a fixed counter of their own on x86, by its number."""


class Pmu(msgspec.Struct, frozen=True):
    """``general`` counters, and ``fixed`` ones that each count one event: name to counter number."""

    general: int
    fixed: dict[str, int]
    moves: bool
    """Whether an event that is on may be moved to another counter to make room for a new one."""
    leader_off_uncounted: bool
    """Whether validating a group leaves out members that are off (``validate_event`` of the Arm driver)."""

    def counters_for(self, config: str) -> int:
        """The mask of counters that can count ``config``; any event can use the general ones."""
        mask = (1 << self.general) - 1
        return mask | 1 << FIXED + self.fixed[config] if config in self.fixed else mask

    @property
    def places(self) -> int:
        return self.general + len(self.fixed)

    def assign(self, pc: PerfCpu, newcomers: list[PerfEvent]) -> bool:
        """Assign counters to all new events, or to none."""
        wanting = [e for e in newcomers if e.counters]
        if not wanting:
            return True
        holders = [e for e in pc.active if e.counters]
        moving = [*holders, *wanting] if self.moves else wanting
        used = 0 if self.moves else _mask(holders)
        placed: list[tuple[PerfEvent, int]] = []
        for event in sorted(moving, key=lambda e: e.counters.bit_count()):
            free = event.counters & ~used
            if not free:
                return False
            fixed = free >> FIXED << FIXED
            bit = (fixed or free) & -(fixed or free)
            used |= bit
            placed.append((event, bit.bit_length() - 1))
        for event, counter in placed:
            event.counter = counter
        return True

    def group_fits(self, leader: PerfEvent, newcomer: PerfEvent | None) -> bool:
        """``validate_group``: whether the group, with a new event, could be on if nothing else were."""
        members = [e for e in leader.group if not (self.leader_off_uncounted and e.state <= State.OFF)]
        members += [newcomer] if newcomer is not None else []
        if sum(e.listed for e in members) > self.places:
            return False
        slots = {e.slot for e in members if e.slot is not None}
        return len(slots) <= 1 and _assignable([e.counters for e in members if e.counters])


def _mask(events: list[PerfEvent]) -> int:
    mask = 0
    for event in events:
        mask |= 1 << event.counter
    return mask


def _assignable(masks: list[int]) -> bool:
    used = 0
    for mask in sorted(masks, key=int.bit_count):
        free = mask & ~used
        if not free:
            return False
        fixed = free >> FIXED << FIXED
        used |= (fixed or free) & -(fixed or free)
    return True


def intel_pmu(general: int, fixed: int) -> Pmu:
    events = {name: i for i, name in enumerate(FIXED_EVENTS[:fixed])}
    return Pmu(general, events, moves=True, leader_off_uncounted=False)


def armv8_pmu(general: int) -> Pmu:
    """General counters and the one for cycles."""
    return Pmu(general, {"cycles": 0}, moves=False, leader_off_uncounted=True)
