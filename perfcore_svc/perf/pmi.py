"""Counters that overflow: the performance monitoring interrupt and the samples it takes (``intel_pmu_handle_irq``).

Theory of operation. An ACTIVE event counts the branches that retire on its CPU, in guest mode too unless exclude_guest.
One with a period overflows when it has counted that many; the interrupt comes at once, without skid. With
FREEZE_LBRS_ON_PMI set the hardware stops recording at that moment (perfmon 2 and 3 clear DEBUGCTL.LBR, later ones set
LBRS_FROZEN), so the handler's own branches are not in the ring that it reads. Perf sets that bit except for call-stack
events. No event counts the handler's own branches. In guest mode DEBUGCTL is the guest's, so the guest's bit decides
and perf's does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from contract.design import HostEvents
from contract.trace import Pmi, SampleTaken, Throttle
from perfcore_svc.machine.counters import NEVER
from perfcore_svc.machine.cpu import Cpu
from perfcore_svc.perf import lbr
from perfcore_svc.perf.counting import counted, counts_here
from perfcore_svc.perf.event import TRACERS, PerfEvent
from perfcore_svc.perf.guest_context import make_way, take_back
from perfcore_svc.perf.kernel import Kernel
from perfcore_svc.perf.state import JIFFY

SAMPLES_PER_TICK = 400
"""Overflows of one event in one jiffy, after which it is throttled until the next (``max_samples_per_tick``)."""
HANDLER_BRANCHES = 2
"""Kernel calls from the interrupt to the point where the handler reads the LBR."""


@dataclass(slots=True)
class PmiLine:
    """The silicon's interface to perf: when the next overflow is due, the interrupt, and making way for a guest."""

    kernel: Kernel

    def room(self, cpu: Cpu, privilege: str) -> int:
        """Branches of this level until the next overflow on this CPU, in the mode it is in."""
        due = [e.overflow_at - counted(cpu, e) for e in self._periodic(cpu) if counts_here(cpu, e, privilege)]
        return min(due, default=NEVER)

    def enter_guest(self, cpu: Cpu) -> None:
        """Host LBR events make way for the guest, in designs that require it."""
        if self.kernel.design.host_events is HostEvents.SWITCHED_OUT:
            make_way(self.kernel, self.kernel.cpus[cpu.index])
            self.kernel.settle()

    def leave_guest(self, cpu: Cpu) -> None:
        if self.kernel.design.host_events is HostEvents.SWITCHED_OUT:
            take_back(self.kernel, self.kernel.cpus[cpu.index])
            self.kernel.settle()

    def overflow(self, cpu: Cpu, frozen: bool) -> None:
        """The interrupt, on a CPU in host mode."""
        pc = self.kernel.cpus[cpu.index]
        over = [e for e in self._periodic(cpu) if counted(cpu, e) >= e.overflow_at]
        machine = self.kernel.machine
        recording = cpu.recording and not frozen
        first, recorded = machine.handler_branches(cpu, HANDLER_BRANCHES, recording)
        machine.effects.add(Pmi(cpu.index, [e.name for e in over], frozen, first, HANDLER_BRANCHES, recorded))
        was_read = lbr.lbr_read(machine, pc)
        for event in over:
            event.overflow_at += event.period
            event.interrupts += 1
            if event.interrupts == SAMPLES_PER_TICK:
                machine.effects.add(Throttle(event.id, event.name, cpu.index, throttled=True))
            if event.counts_for:
                self.kernel.doings.overflows.append((event, cpu.index))
                continue
            from_ip, to_ip = pc.lbr_stack if event.filter is not None else ([], [])
            stale = event.filter is not None and not was_read
            machine.effects.add(SampleTaken(event.id, event.name, cpu.index, from_ip, to_ip, stale, overflow=True))

    def _periodic(self, cpu: Cpu) -> list[PerfEvent]:
        return [e for e in self.kernel.cpus[cpu.index].active if _overflows(e) and e.interrupts < SAMPLES_PER_TICK]


def unthrottle(kernel: Kernel, before: int) -> None:
    """Time has gone on since ``before``: with a new jiffy throttled events may overflow again
    (``perf_adjust_freq_unthr_context``)."""
    if kernel.now // JIFFY == before // JIFFY:
        return
    for pc in kernel.cpus:
        for event in filter(_overflows, pc.active):
            if event.interrupts >= SAMPLES_PER_TICK:
                event.overflow_at = counted(kernel.machine.cpus[pc.index], event) + event.period
                kernel.machine.effects.add(Throttle(event.id, event.name, pc.index, throttled=False))
            event.interrupts = 0


def _overflows(event: PerfEvent) -> bool:
    """Whether the event can overflow. BTS and PT count nothing."""
    return event.period > 0 and event.kind not in TRACERS
