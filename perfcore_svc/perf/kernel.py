"""The perf core at work: its state, the silicon, the rules of its kernel and its design, and the changes of a step."""

from __future__ import annotations

import msgspec

from contract.design import Design, SaveSelect
from contract.effects import Clock, Effects
from contract.trace import EventChange, EventWaits
from perfcore_svc.machine.machine import Machine
from perfcore_svc.perf.context import Context
from perfcore_svc.perf.event import PerfEvent, State, check_transition
from perfcore_svc.perf.kernel_rules import KernelRules
from perfcore_svc.perf.pmu import Pmu
from perfcore_svc.perf.state import PerfState

_OFF = (State.INACTIVE, State.ERROR)
"""States of an event that perf has tried to put on, without success."""
Before = tuple[State, int, str]
"""State and CPU of an event, and the resource that was missing."""
Change = tuple[PerfEvent, int]
"""An event whose state or CPU changed, and the CPU that it was on."""


class Doings(msgspec.Struct):
    """The events that perf changed, as far as this concerns the KVMs."""

    changes: list[Change] = []
    """Events that changed."""
    failed: list[tuple[PerfEvent, int]] = []
    """Events that went to ERROR, with the CPU."""
    closed: list[PerfEvent] = []
    """Events that have gone, so that others may find room."""
    overflows: list[tuple[PerfEvent, int]] = []
    """Events that count for a guest and overflowed, with the CPU."""


class Kernel:
    """``state`` is all that is remembered; ``cpus``, ``tasks``, ``mux_interval`` and ``mux_phase`` are parts of it.

    Of the step under way, empty between two steps: ``changed``: events touched since the last ``settle``, by id, with
    what they were before. ``doings``: what the KVMs have not been told yet."""

    __slots__ = (
        "changed",
        "clock",
        "cpus",
        "design",
        "doings",
        "effects",
        "machine",
        "mux_interval",
        "mux_phase",
        "pmu",
        "rules",
        "state",
        "tasks",
    )

    def __init__(self, state: PerfState, machine: Machine, pmu: Pmu, rules: KernelRules, design: Design) -> None:
        self.state = state
        self.cpus, self.tasks = state.cpus, state.tasks
        self.mux_interval, self.mux_phase = state.mux_interval, state.mux_phase
        self.machine = machine
        self.effects: Effects = machine.effects
        self.clock: Clock = machine.effects.clock
        self.pmu = pmu
        self.rules = rules
        self.design = design
        self.changed: dict[int, tuple[PerfEvent, Before]] = {}
        self.doings = Doings()

    @property
    def now(self) -> int:
        return self.clock.now

    @property
    def saves_select(self) -> bool:
        """Whether LBR_SELECT is saved with a guest's LBR, in this design on this kernel."""
        kept = self.design.save_select is SaveSelect.SINCE_V5_16 and self.rules.select_flag_kept
        return kept or self.design.save_select is SaveSelect.YES

    def context_of(self, event: PerfEvent) -> Context:
        if not event.task:
            return self.cpus[event.cpu].ctx
        found = self.tasks.get(event.task)
        if found is None:
            found = self.tasks[event.task] = Context(event.task)
        return found

    def cpu_running(self, task: str) -> int:
        """The CPU that ``task`` is on, or -1."""
        if task:
            for cpu in self.machine.cpus:
                if cpu.task == task:
                    return cpu.index
        return -1

    # Clocks ----------------------------------------------------------------------------------------------

    def context_time(self, ctx: Context) -> int:
        return ctx.at(self.now)

    def start_clock(self, ctx: Context) -> None:
        if not ctx.ticking:
            ctx.ticking, ctx.updated_at = True, self.now

    def stop_clock(self, ctx: Context) -> None:
        ctx.time = self.context_time(ctx)
        ctx.ticking = False

    def update_times(self, ctx: Context, event: PerfEvent) -> None:
        """``perf_event_update_time``."""
        event.enabled, event.running = self.state.times(event, self.now)
        event.stamp = self.context_time(ctx)

    def set_state(self, ctx: Context, event: PerfEvent, state: State) -> None:
        """``perf_event_set_state``. A leader that goes off or on also updates the siblings' clocks."""
        if event.state == state:
            return
        check_transition(event.name, event.state, state)
        self.touch(event)
        self.update_times(ctx, event)
        if (event.state < 0) != (state < 0):
            for sibling in event.siblings:
                self.update_times(ctx, sibling)
        event.state = state

    # Effects for others ----------------------------------------------------------------------------------

    def touch(self, event: PerfEvent) -> None:
        """Remember the state of an event at the last ``settle``; call this before the event changes."""
        if event.id not in self.changed:
            self.changed[event.id] = event, (event.state, event.oncpu, _shown(event))

    def refuse(self, leader: PerfEvent, reason: str) -> None:
        """The group of ``leader`` does not fit for this reason; "" if it fits."""
        if reason != leader.refused:
            self.touch(leader)
            leader.refused = reason

    def take_doings(self) -> Doings | None:
        """Everything that perf did since the last call, as a value; None in most steps: nothing."""
        if self.changed:
            self.settle()
        done = self.doings
        if not (done.changes or done.failed or done.closed or done.overflows):
            return None
        self.doings = Doings()
        return done

    def settle(self) -> None:
        """Put the net changes of state since the last call on record."""
        for event, (old, old_cpu, reason) in self.changed.values():
            if event.state == State.EXIT:
                continue
            if (event.state, event.oncpu) != (old, old_cpu):
                cpu = event.oncpu if event.oncpu >= 0 else old_cpu
                reason = event.refused if event.state == State.ERROR else ""
                self.effects.add(EventChange(event.id, event.name, old.name, event.state.name, cpu, reason))
                self.doings.changes.append((event, old_cpu))
            if event.state in _OFF and event.refused != reason and event.waits_for_lbr:
                self.effects.add(EventWaits(event.id, event.name, event.refused))
        self.changed.clear()


def _shown(event: PerfEvent) -> str:
    """The resource that a trace shows as missing for an event, between two steps."""
    told = event.state == State.ERROR or (event.state == State.INACTIVE and event.waits_for_lbr)
    return event.refused if told else ""
