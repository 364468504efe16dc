"""Which events are on: contexts in and out, the walk, install, enable, disable, remove, task switch.

Kernel names: ``perf_event_sched_in``, ``ctx_sched_out``, ``merge_sched_in``, ``ctx_resched``,
``perf_install_in_context``, ``perf_event_enable``, ``perf_event_context_sched_in``.

Order is always CPU-pinned, task-pinned, CPU-flexible, task-flexible. A class that is in is not walked again:
whoever waits is tried only once its class went out. Disabling or removing an event reschedules nobody. A
pinned event that a walk cannot put on goes to ERROR and only an enable takes it out of there.
"""

from __future__ import annotations

from contract.design import Design, LosingAdd
from contract.trace import EventChange
from perfcore_svc.machine.machine import Machine
from perfcore_svc.perf import lbr
from perfcore_svc.perf.context import ALL, FLEXIBLE, PINNED, Context, PerfCpu
from perfcore_svc.perf.event import PerfEvent, State
from perfcore_svc.perf.rules import KernelRules

PRIVATE_SLOT = 1 << 62
"""Linux-only bit that keeps a guest's slot value from ever equalling a host's (``LBR_VCPU`` of v8)."""


class Scheduler:
    """All contexts of one machine. ``changed`` collects the events whose state a running operation touched."""

    __slots__ = ("changed", "counters", "cpus", "design", "machine", "rules", "tasks")

    def __init__(self, machine: Machine, counters: int, rules: KernelRules, design: Design) -> None:
        self.machine = machine
        self.counters = counters
        self.rules = rules
        self.design = design
        self.cpus = [PerfCpu(cpu.index, Context("")) for cpu in machine.cpus]
        self.tasks: dict[str, Context] = {}
        self.changed: dict[int, PerfEvent] = {}

    def context_of(self, event: PerfEvent) -> Context:
        if event.task:
            return self.tasks.setdefault(event.task, Context(event.task))
        return self.cpus[event.cpu].ctx

    def cpu_running(self, task: str) -> int:
        """The CPU that ``task`` is on, or -1."""
        return next((cpu.index for cpu in self.machine.cpus if task and cpu.task == task), -1)

    # Operations on events --------------------------------------------------------------------------------

    def install(self, event: PerfEvent) -> None:
        """``perf_install_in_context``. Success says nothing about being scheduled."""
        ctx = self.context_of(event)
        quiet = event.state <= State.OFF and self.rules.install_off_quietly and not ctx.empty
        ctx.add(event)
        cpu = self._live_on(event)
        if cpu >= 0 and not quiet:
            self._resched(cpu, event)

    def enable(self, event: PerfEvent) -> None:
        """``perf_event_enable``: from OFF or ERROR, in its old place in the order."""
        if event.state >= State.INACTIVE:
            return
        event.state = State.INACTIVE
        self._touch(event)
        cpu = self._live_on(event)
        if cpu >= 0 and event.cpu in (-1, cpu):
            self._resched(cpu, event)

    def disable(self, event: PerfEvent) -> None:
        """``perf_event_disable``: nobody takes the freed place now. An event in ERROR stays there."""
        if event.state < State.INACTIVE:
            return
        self._off(event)
        event.state = State.OFF
        self._touch(event)

    def remove(self, event: PerfEvent) -> None:
        """``perf_remove_from_context`` and the end of the event."""
        self._off(event)
        self.context_of(event).remove(event)
        event.state = State.EXIT

    def _off(self, event: PerfEvent) -> None:
        if event.state == State.ACTIVE:
            pc = self.cpus[event.oncpu]
            self.machine.interrupt(self.machine.cpus[event.oncpu])
            lbr.disable_all(self.machine, pc)
            self._sched_out(pc, self.context_of(event), event)
            lbr.enable_all(self.machine, pc)

    def _live_on(self, event: PerfEvent) -> int:
        """The CPU whose scheduling this event is part of now, or -1."""
        return self.cpu_running(event.task) if event.task else event.cpu

    def _resched(self, cpu: int, event: PerfEvent) -> None:
        """``ctx_resched`` after ``event`` was installed or enabled: what goes out before everything goes in again."""
        pc = self.cpus[cpu]
        classes = ALL if event.pinned else FLEXIBLE
        self.machine.interrupt(self.machine.cpus[cpu])
        lbr.disable_all(self.machine, pc)
        if pc.task_ctx is not None:
            self._ctx_out(pc, pc.task_ctx, classes)
        if not event.task:
            self._ctx_out(pc, pc.ctx, classes)
        elif event.pinned:
            self._ctx_out(pc, pc.ctx, FLEXIBLE)
        self._sched_in(pc)
        lbr.enable_all(self.machine, pc)

    # Task switch -----------------------------------------------------------------------------------------

    def task_out(self, cpu: int, task: str) -> None:
        """``__perf_event_task_sched_out``: save first, while the task's events are still on."""
        pc = self.cpus[cpu]
        ctx = self.tasks.get(task)
        lbr.disable_all(self.machine, pc)
        lbr.sched_task(self.machine, pc, ctx, switch_in=False)
        if ctx is not None:
            self._ctx_out(pc, ctx, ALL)
        pc.task_ctx = None
        lbr.enable_all(self.machine, pc)

    def task_in(self, cpu: int, task: str) -> None:
        """``__perf_event_task_sched_in``: pinned events of the task go before the CPU's flexible ones."""
        pc = self.cpus[cpu]
        ctx = self.tasks.get(task)
        lbr.disable_all(self.machine, pc)
        if ctx is not None and not ctx.empty:
            if ctx.pinned:
                self._ctx_out(pc, pc.ctx, FLEXIBLE)
            self._sched_in(pc)
        lbr.sched_task(self.machine, pc, ctx, switch_in=True)
        lbr.enable_all(self.machine, pc)

    # The walk --------------------------------------------------------------------------------------------

    def _sched_in(self, pc: PerfCpu) -> None:
        """``perf_event_sched_in``: every class that is not in, in the order of precedence."""
        pc.task_ctx = self.tasks.get(self.machine.cpus[pc.index].task)
        for event_class in (PINNED, FLEXIBLE):
            for ctx in (pc.ctx, pc.task_ctx):
                if ctx is not None and not ctx.is_active & event_class and not ctx.empty:
                    ctx.is_active |= event_class
                    self._walk(pc, ctx, event_class)

    def _walk(self, pc: PerfCpu, ctx: Context, event_class: int) -> None:
        """``merge_sched_in`` for each leader in tree order. The first that does not fit shuts the door behind
        itself."""
        door_open = True
        for event in ctx.groups(event_class):
            if event.state <= State.OFF or event.cpu not in (-1, pc.index) or event.state == State.ACTIVE:
                continue
            if door_open and self._add(pc, ctx, event):
                continue
            if event_class == PINNED:
                event.state = State.ERROR
                if event.guest:
                    event.lost_on = pc.index
                self._touch(event)
                door_open = door_open and not self.rules.pinned_failure_shuts_door
            else:
                ctx.rotate_necessary = True
                door_open = False

    def _ctx_out(self, pc: PerfCpu, ctx: Context, classes: int) -> None:
        for event_class in (PINNED, FLEXIBLE):
            if not classes & event_class & ctx.is_active:
                continue
            ctx.is_active &= ~event_class
            if event_class == FLEXIBLE:
                ctx.rotate_necessary = False
            for event in ctx.groups(event_class):
                if event.oncpu == pc.index:
                    self._sched_out(pc, ctx, event)

    # One event -------------------------------------------------------------------------------------------

    def _add(self, pc: PerfCpu, ctx: Context, event: PerfEvent) -> bool:
        """``event_sched_in`` and ``x86_pmu_add``: the LBR hook first, then the resources."""
        filter_before = pc.br_sel
        if event.filter is not None:
            lbr.lbr_add(
                self.machine,
                pc,
                ctx,
                event,
                shut_out=self.design.shut_out,
                select=self.design.save_select,
            )
        if not self._fits(pc, event):
            if event.filter is not None:
                lbr.lbr_del(pc, ctx, event)
                if self.design.losing_add is LosingAdd.UNDONE:
                    pc.br_sel = filter_before
            return False
        if event.slot is not None:
            pc.slot = event.slot
            pc.slot_users += 1
        pc.counters_used += event.counter
        pc.pseudo_used = pc.pseudo_used or event.pseudo
        event.state, event.oncpu = State.ACTIVE, pc.index
        event.counted_from = self.machine.cpus[pc.index].retired
        self._touch(event)
        return True

    def _fits(self, pc: PerfCpu, event: PerfEvent) -> bool:
        """``x86_schedule_events`` for one newcomer: the shared LBR register, then a counter."""
        if event.slot is not None and pc.slot_users and pc.slot != event.slot:
            return False
        if event.pseudo and pc.pseudo_used:
            return False
        return not event.counter or pc.counters_used < self.counters

    def _sched_out(self, pc: PerfCpu, ctx: Context, event: PerfEvent) -> None:
        if event.filter is not None:
            lbr.lbr_del(pc, ctx, event)
        if event.slot is not None:
            pc.slot_users -= 1
        pc.counters_used -= event.counter
        if event.pseudo:
            pc.pseudo_used = False
        event.count += self.machine.cpus[pc.index].retired - event.counted_from
        event.state, event.oncpu, event.ran = State.INACTIVE, -1, True
        self._touch(event)

    # What others get to know -----------------------------------------------------------------------------

    def _touch(self, event: PerfEvent) -> None:
        self.changed[event.id] = event

    def settle(self) -> list[tuple[PerfEvent, State, int]]:
        """Put the net state changes since the last call on record; each with the state and CPU it had before."""
        changes = []
        for event in self.changed.values():
            old, old_cpu = event.traced
            if (event.state, event.oncpu) == event.traced or event.state == State.EXIT:
                continue
            event.traced = (event.state, event.oncpu)
            cpu = event.oncpu if event.oncpu >= 0 else old_cpu
            self.machine.log.add(EventChange(event.id, event.name, old.name, event.state.name, cpu))
            changes.append((event, old, old_cpu))
        self.changed.clear()
        return changes
