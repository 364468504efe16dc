"""The operations of the perf core: ``perf_event_open``, its file descriptor, and the calls of a kernel user."""

from __future__ import annotations

from collections.abc import Callable

from contract.control import Open
from contract.design import Precedence
from contract.errors import LimitError, RefusedError
from contract.messages import CreateCounter
from contract.spec import EVENTS_OF_A_HOST
from contract.trace import EventClose, EventOpen, SampleTaken
from perfcore_svc.perf import lbr, rotation, sched, what_if
from perfcore_svc.perf.context import Context, PerfCpu
from perfcore_svc.perf.counting import counted
from perfcore_svc.perf.event import PerfEvent, State
from perfcore_svc.perf.kernel import Kernel
from perfcore_svc.perf.kernel_rules import KernelRules
from perfcore_svc.perf.opening import guest_counter, guest_event, host_event
from perfcore_svc.perf.pmi import PmiLine, unthrottle
from perfcore_svc.perf.reservations import Reservations
from perfcore_svc.perf.rivals import check_first_come, check_installable
from perfcore_svc.perf.state import PerfState
from perfcore_svc.perf.walk import next_tick

MUX_INTERVAL = 4_000_000
"""Default nanoseconds between ticks of the multiplex timer: 1000 / HZ milliseconds, HZ = 250."""


def new_perf(cpus: int, rules: KernelRules, ids: int = 0, *, pt_coexists: bool = False) -> PerfState:
    """No events on ``cpus`` CPUs; the first will have the id after ``ids``."""
    made = [PerfCpu(i, Context(""), reset_clears_select=rules.reset_clears_select) for i in range(cpus)]
    reservations = Reservations(pt_coexists=pt_coexists)
    return PerfState(made, [MUX_INTERVAL] * cpus, [0] * cpus, ids + 1, reservations=reservations)


class Perf:
    """``state`` is all that is remembered, of which ``events``, ``named`` and ``reservations`` are parts."""

    __slots__ = ("design", "effects", "events", "kernel", "machine", "most_events", "named", "reservations", "state")

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.machine = kernel.machine
        self.effects = kernel.effects
        self.design = kernel.design
        self.state = kernel.state
        self.events, self.named = kernel.state.events, kernel.state.named
        self.reservations = kernel.state.reservations
        self.most_events = EVENTS_OF_A_HOST
        """The most events that are open at a time. Configuration."""
        kernel.machine.pmi = PmiLine(kernel)

    def host_event(self, name: str) -> PerfEvent:
        event = self.named.get(name)
        if event is None:
            raise RefusedError(f"there is no event {name!r}", "EBADF")
        return event

    def is_active(self, event: int) -> bool:
        found = self.events.get(event)
        return found is not None and found.state == State.ACTIVE

    def guest_event_of(self, vcpu: str) -> PerfEvent | None:
        """The newest event that stands for this vCPU."""
        return next((event for event in reversed(self.events.values()) if event.guest == vcpu), None)

    # Opening and closing ---------------------------------------------------------------------------------

    def open_host(self, attr: Open, unmoved: list[PerfEvent]) -> tuple[PerfEvent, list[PerfEvent]]:
        """``perf_event_open``, and those of ``unmoved`` that would go off because of it: if there are such, the event
        stays OFF for now. Raises RefusedError with the kernel's errno."""
        self._check_room()
        leader = self.host_event(attr.group) if attr.group else None
        event = host_event(
            self.machine.model, self.kernel.pmu, self.kernel.rules, self.reservations, self.state.next_id, attr, leader
        )
        self._check_first_come(event)
        check_installable(self.events.values(), event)
        self.reservations.take(event)
        losing = what_if.put_off(self.kernel, unmoved, [event], what_if.install)
        if losing:
            event.state = State.OFF
        self.named[attr.event] = event
        self._install(event)
        return event, losing

    def _check_room(self) -> None:
        if len(self.events) >= self.most_events:
            raise LimitError(f"limit events: {self.most_events} are open already (--max-events)", "EMFILE")

    def _check_first_come(self, event: PerfEvent) -> None:
        if self.design.precedence is Precedence.FIRST_COME:
            check_first_come(self.events.values(), event)

    def open_guest(self, name: str, vcpu: str, task: str = "") -> PerfEvent:
        """``perf_event_create_kernel_counter`` for ``task``, or the vCPU's thread, as the design has it."""
        self._check_room()
        event = guest_event(self.machine.model, self.kernel.pmu, self.state.next_id, name, vcpu, self.design)
        event.task = task or vcpu
        self._check_first_come(event)
        self.reservations.take(event)
        self._install(event)
        return event

    def open_counter(self, name: str, request: CreateCounter) -> PerfEvent:
        """``perf_event_create_kernel_counter`` for a guest's counter. It succeeds where no counter is free, too."""
        self._check_room()
        event = guest_counter(self.kernel.pmu, self.design, self.state.next_id, name, request)
        self.reservations.take(event)
        self._install(event)
        return event

    def resume_counter(self, event: PerfEvent, period: int) -> None:
        """``perf_event_period``, ``perf_event_enable``."""
        now = counted(self.machine.cpus[event.oncpu], event) if event.state == State.ACTIVE else 0
        event.period, event.overflow_at = period, now + period
        sched.enable(self.kernel, event)

    def guest_count(self, event: int, vcpu: str) -> int:
        """``perf_event_read_value`` of the event that counts for a guest's counter; 0 if there is no such event."""
        found = self.events.get(event)
        if found is None or found.counts_for != vcpu:
            return 0
        on = found.state == State.ACTIVE
        return found.count + (counted(self.machine.cpus[found.oncpu], found) - found.counted_from if on else 0)

    def _install(self, event: PerfEvent) -> None:
        self.state.next_id += 1
        self.events[event.id] = event
        if event.leader is not event:
            event.leader.siblings.append(event)
        wanted = event.filter
        self.effects.add(
            EventOpen(
                event.id,
                event.name,
                event.guest,
                event.cpu,
                event.task,
                event.leader.pinned,
                event.state.name,
                -1 if wanted is None else wanted.select or 0,
                [] if wanted is None else sorted(wanted.kinds),
                [] if wanted is None else sorted(wanted.privileges),
                "" if event.leader is event else event.leader.name,
                bool(event.counters),
                event.leader.exclusive,
                event.counts_for,
            )
        )
        sched.install(self.kernel, event)

    def close(self, event: PerfEvent) -> None:
        """``perf_event_release_kernel``."""
        sched.remove(self.kernel, event)
        self.kernel.doings.closed.append(event)
        self.reservations.give(event)
        del self.events[event.id]
        if self.named.get(event.name) is event:
            del self.named[event.name]
        self.effects.add(EventClose(event.id, event.name))

    # Reading ---------------------------------------------------------------------------------------------

    def read(self, event: PerfEvent) -> tuple[int, int, int]:
        """Branches retired in the event's scope while it was ACTIVE, and its enabled and running nanoseconds.

        In ERROR read(2) gives end of file."""
        if event.state == State.ERROR:
            raise RefusedError(f"{event.name} is in ERROR", "EOF")
        self.kernel.update_times(self.kernel.context_of(event), event)
        count = event.count
        if event.state == State.ACTIVE:
            count += counted(self.machine.cpus[event.oncpu], event) - event.counted_from
        return count, event.enabled, event.running

    def sample(self, event: PerfEvent) -> tuple[list[int], list[int]] | None:
        """A PMI of this event: its branch stack, newest first; None if it is not ACTIVE and so cannot overflow."""
        if event.state != State.ACTIVE or event.filter is None:
            return None
        pc = self.kernel.cpus[event.oncpu]
        self.machine.interrupt(self.machine.cpus[pc.index])
        was_read = lbr.lbr_read(self.machine, pc)
        from_ip, to_ip = pc.lbr_stack
        self.effects.add(SampleTaken(event.id, event.name, pc.index, from_ip, to_ip, not was_read))
        return from_ip, to_ip

    # Time ------------------------------------------------------------------------------------------------

    def advance(self, ns: int, guest_moved: Callable[[], None]) -> bool:
        """Advance virtual time; see ``rotation.advance``."""
        before = self.kernel.now
        done = rotation.advance(self.kernel, before + ns, guest_moved)
        unthrottle(self.kernel, before)
        return done

    def set_mux_interval(self, ns: int, cpu: int, phase: int) -> None:
        """Restart the timers of these CPUs with the new interval. The same value changes nothing (facts/perf 1.12)."""
        for pc in self.kernel.cpus if cpu < 0 else [self.kernel.cpus[cpu]]:
            if (self.kernel.mux_interval[pc.index], self.kernel.mux_phase[pc.index]) != (ns, phase):
                self.kernel.mux_interval[pc.index], self.kernel.mux_phase[pc.index] = ns, phase
                if pc.tick_at >= 0:
                    pc.tick_at = next_tick(self.kernel, pc)
