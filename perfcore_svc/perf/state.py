"""All state of the perf core, and the clocks of contexts and events (facts/perf 1.13)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from contract.canonical import Event
from perfcore_svc.machine.cpu import Silicon
from perfcore_svc.perf.context import Context, PerfCpu
from perfcore_svc.perf.counting import counted
from perfcore_svc.perf.event import PerfEvent, State
from perfcore_svc.perf.reservations import Reservations
from perfcore_svc.perf.saved_lbr import SavedLbr

JIFFY = 4_000_000
"""Nanoseconds between two ticks of the scheduler clock, HZ = 250."""


@dataclass(slots=True)
class PerfState:
    """All state of the perf core of one host."""

    cpus: list[PerfCpu]
    """The CPUs, by number."""
    mux_interval: list[int]
    """By CPU: nanoseconds between two ticks of the multiplex timer."""
    mux_phase: list[int]
    """By CPU: an armed multiplex timer fires at ``mux_phase`` + k * ``mux_interval`` nanoseconds."""
    next_id: int = 1
    """Number of the next event."""
    tasks: dict[str, Context] = field(default_factory=dict)
    """Task to its context."""
    events: dict[int, PerfEvent] = field(default_factory=dict)
    """Number to event, for all open events."""
    named: dict[str, PerfEvent] = field(default_factory=dict)
    """Name to event, for the events of users."""
    reservations: Reservations = field(default_factory=Reservations)
    """Machine-wide counts."""

    def clone(self) -> PerfState:
        return self.copied(())[0]

    def copied(self, more: Iterable[PerfEvent]) -> tuple[PerfState, dict[int, PerfEvent]]:
        """A copy, and the copies of its events by id. ``more``: events that are not installed yet."""
        twins = {event.id: event.clone() for event in (*self.events.values(), *more)}
        copies: dict[int, SavedLbr] = {}

        def saved(lbr: SavedLbr | None) -> SavedLbr | None:
            if lbr is None:
                return None
            twin = copies.get(id(lbr))
            if twin is None:
                twin = copies[id(lbr)] = lbr.clone()
            return twin

        for event in twins.values():
            event.leader = twins[event.leader.id]
            event.siblings = [twins[sibling.id] for sibling in event.siblings]
            event.saved = saved(event.saved)
        contexts = {id(ctx): ctx.clone(twins, saved) for ctx in self._contexts()}
        twin = PerfState(
            [pc.clone(contexts, twins, saved) for pc in self.cpus],
            self.mux_interval[:],
            self.mux_phase[:],
            self.next_id,
            {task: contexts[id(ctx)] for task, ctx in self.tasks.items()},
            {number: twins[number] for number in self.events},
            {name: twins[event.id] for name, event in self.named.items()},
            self.reservations.clone(),
        )
        return twin, twins

    def _contexts(self) -> list[Context]:
        return [*(pc.ctx for pc in self.cpus), *self.tasks.values()]

    def key(self, silicon: Silicon, now: int) -> tuple[Hashable, ...]:
        """``silicon`` has the counts of branches. The next id is left out because it is above all others, and ``named``
        because it follows from the events."""
        owners: dict[int, Hashable] = {id(ctx.lbr): ctx.task for ctx in self.tasks.values() if ctx.lbr is not None}
        owners |= {id(e.saved): Event(e.id) for e in self.events.values() if e.saved is not None}
        grids = zip(self.mux_interval, self.mux_phase, strict=True)
        timers = [(interval, (phase - now) % interval) for interval, phase in grids]
        throttled = any(event.interrupts for event in self.events.values())
        return (
            tuple([pc.key(owners) for pc in self.cpus]),
            tuple([self.tasks[task].key() for task in sorted(self.tasks) if not self.tasks[task].idle]),
            tuple([event.key() + self._counts(event, silicon, now) for event in self.events.values()]),
            self.reservations.key(),
            tuple(timers),
            now % JIFFY if throttled else 0,
        )

    def _counts(self, event: PerfEvent, silicon: Silicon, now: int) -> tuple[Hashable, ...]:
        """The count of an event up to now, the distance to its next overflow, and its times, which only users can
        read."""
        if event.guest:
            return ()
        shown = counted(silicon.cpus[event.oncpu], event) if event.state == State.ACTIVE else 0
        count = event.count + (shown - event.counted_from if event.state == State.ACTIVE else 0)
        left = event.overflow_at - shown if event.period else 0
        return (count, left) if event.counts_for else (count, left, *self.times(event, now))

    # Clocks ----------------------------------------------------------------------------------------------

    def times(self, event: PerfEvent, now: int) -> tuple[int, int]:
        """Enabled and running nanoseconds up to ``now`` (``perf_event_update_time``): by effective state."""
        ctx = self.cpus[event.cpu].ctx if not event.task else self.tasks[event.task]
        passed = ctx.at(now) - event.stamp
        state = event.effective_state
        enabled = event.enabled + (passed if state >= State.INACTIVE else 0)
        return enabled, event.running + (passed if state == State.ACTIVE else 0)
