"""Everything the perf core remembers, and the clocks of contexts and events (facts/perf 1.13)."""

from __future__ import annotations

from dataclasses import dataclass, field

from contract.design import Design, SaveSelect
from contract.trace import EventChange, EventWaits
from perfcore_svc.machine.machine import Machine
from perfcore_svc.perf.context import Context, PerfCpu
from perfcore_svc.perf.event import PerfEvent, State, check_transition
from perfcore_svc.perf.pmu import Pmu
from perfcore_svc.perf.rules import KernelRules

_OFF = (State.INACTIVE, State.ERROR)
"""States of an event that perf has tried to put on, without success."""


@dataclass(slots=True)
class PerfState:
    """``changed`` collects the events whose state a running operation touched, ``overflows`` those that count for a
    guest and overflowed, with the CPU. ``mux_interval`` and ``mux_phase``: the
    multiplex timer fires at phase + k * interval nanoseconds, on CPUs where it is armed."""

    machine: Machine
    pmu: Pmu
    rules: KernelRules
    design: Design
    cpus: list[PerfCpu]
    tasks: dict[str, Context] = field(default_factory=dict)
    changed: dict[int, PerfEvent] = field(default_factory=dict)
    overflows: list[tuple[PerfEvent, int]] = field(default_factory=list)
    mux_interval: list[int] = field(default_factory=list)
    mux_phase: list[int] = field(default_factory=list)

    @property
    def now(self) -> int:
        return self.machine.log.now

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
        return next((cpu.index for cpu in self.machine.cpus if task and cpu.task == task), -1)

    # Clocks ----------------------------------------------------------------------------------------------

    def context_time(self, ctx: Context) -> int:
        return ctx.time + self.now - ctx.since if ctx.ticking else ctx.time

    def start_clock(self, ctx: Context) -> None:
        if not ctx.ticking:
            ctx.ticking, ctx.since = True, self.now

    def stop_clock(self, ctx: Context) -> None:
        ctx.time = self.context_time(ctx)
        ctx.ticking = False

    def update_times(self, ctx: Context, event: PerfEvent) -> None:
        """``perf_event_update_time``: by effective state, up to now."""
        now = self.context_time(ctx)
        state = event.effective_state
        if state >= State.INACTIVE:
            event.enabled += now - event.stamp
        if state == State.ACTIVE:
            event.running += now - event.stamp
        event.stamp = now

    def set_state(self, ctx: Context, event: PerfEvent, state: State) -> None:
        """``perf_event_set_state``; a leader that goes off or on takes the siblings' clocks along."""
        if event.state == state:
            return
        check_transition(event.name, event.state, state)
        self.update_times(ctx, event)
        if (event.state < 0) != (state < 0):
            for sibling in event.siblings:
                self.update_times(ctx, sibling)
        event.state = state
        self.changed[event.id] = event

    # What others get to know -----------------------------------------------------------------------------

    def settle(self) -> list[tuple[PerfEvent, State, int]]:
        """Put the net state changes since the last call on record; each with the state and CPU it had before."""
        changes = []
        for event in self.changed.values():
            old, old_cpu = event.traced
            if event.state == State.EXIT:
                continue
            if (event.state, event.oncpu) != event.traced:
                event.traced = (event.state, event.oncpu)
                cpu = event.oncpu if event.oncpu >= 0 else old_cpu
                why = event.traced_refused = event.refused if event.state == State.ERROR else ""
                self.machine.log.add(EventChange(event.id, event.name, old.name, event.state.name, cpu, why))
                changes.append((event, old, old_cpu))
            if event.state in _OFF and event.refused != event.traced_refused and event.waits_for_lbr:
                event.traced_refused = event.refused
                self.machine.log.add(EventWaits(event.id, event.name, event.refused))
        self.changed.clear()
        return changes
