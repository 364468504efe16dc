"""The perf core's operations: what ``perf_event_open`` and its file descriptor, or a kernel user, can ask for."""

from __future__ import annotations

from contract.design import Admission, Design, Event, Save
from contract.errors import RefusedError
from contract.trace import EventClose, EventOpen, SampleTaken
from perfcore_svc.machine.machine import Machine
from perfcore_svc.perf import lbr
from perfcore_svc.perf.branch_filter import branch_filter
from perfcore_svc.perf.event import PerfEvent, State
from perfcore_svc.perf.rules import KernelRules
from perfcore_svc.perf.sched import PRIVATE_SLOT, Scheduler


class Perf:
    __slots__ = ("design", "events", "machine", "named", "next_id", "sched")

    def __init__(self, machine: Machine, counters: int, rules: KernelRules, design: Design) -> None:
        self.machine = machine
        self.design = design
        self.sched = Scheduler(machine, counters, rules, design)
        self.events: dict[int, PerfEvent] = {}
        self.named: dict[str, PerfEvent] = {}
        self.next_id = 1

    def host_event(self, name: str) -> PerfEvent:
        event = self.named.get(name)
        if event is None:
            raise RefusedError(f"there is no event {name!r}", "EBADF")
        return event

    def is_active(self, event: int, grant: int) -> bool:
        """Whether this event is ACTIVE, under this grant where one is named."""
        found = self.events.get(event)
        return found is not None and found.state == State.ACTIVE and grant in (0, found.grant)

    def open_host(
        self, name: str, cpu: int, task: str, *, pinned: bool, branch: list[str], privilege: list[str], disabled: bool
    ) -> PerfEvent:
        """``perf_event_open``: a counter, with a branch stack if ``branch`` names filters."""
        wanted = branch_filter(self.machine.model, branch, privilege) if branch else None
        event = PerfEvent(
            self.next_id,
            name,
            cpu,
            task,
            pinned,
            State.OFF if disabled else State.INACTIVE,
            filter=wanted,
            slot=wanted.select if wanted else None,
            task_data=bool(task) and wanted is not None and wanted.call_stack,
        )
        self.named[name] = event
        self._install(event)
        return event

    def open_guest(self, name: str, vcpu: str) -> PerfEvent:
        """``perf_event_create_kernel_counter`` for the vCPU's thread, as the design has it.

        Call stack and user are what KVM asks for: not a filter for the guest, but what makes perf save and restore.
        """
        design = self.design
        wanted = branch_filter(self.machine.model, ["call_stack"], ["user"])
        slots = {Admission.PRIVATE_SLOT: PRIVATE_SLOT, Admission.ORDINARY_SLOT: 0}
        assert wanted.select is not None
        event = PerfEvent(
            self.next_id,
            name,
            -1,
            vcpu,
            design.event is Event.TASK_PINNED,
            State.INACTIVE,
            filter=wanted,
            slot=wanted.select | slots[design.admission] if design.admission in slots else None,
            counter=False,
            pseudo=design.admission is Admission.PSEUDO_COUNTER,
            guest=vcpu,
            task_data=design.save is Save.PERF_SWITCH,
        )
        self._install(event)
        return event

    def _install(self, event: PerfEvent) -> None:
        self.next_id += 1
        self.events[event.id] = event
        event.traced = (event.state, -1)
        wanted = event.filter
        self.machine.log.add(
            EventOpen(
                event.id,
                event.name,
                event.guest,
                event.cpu,
                event.task,
                event.pinned,
                event.state.name,
                -1 if wanted is None else wanted.select or 0,
                [] if wanted is None else sorted(wanted.kinds),
                [] if wanted is None else sorted(wanted.privileges),
            )
        )
        self.sched.install(event)

    def close(self, event: PerfEvent) -> None:
        """``perf_event_release_kernel``."""
        self.sched.remove(event)
        del self.events[event.id]
        if self.named.get(event.name) is event:
            del self.named[event.name]
        self.machine.log.add(EventClose(event.id, event.name))

    def read(self, event: PerfEvent) -> int:
        """Branches retired in the event's scope while it was ACTIVE. In ERROR read(2) gives end of file."""
        if event.state == State.ERROR:
            raise RefusedError(f"{event.name} is in ERROR", "EOF")
        if event.state == State.ACTIVE:
            return event.count + self.machine.cpus[event.oncpu].retired - event.counted_from
        return event.count

    def sample(self, event: PerfEvent) -> tuple[list[int], list[int]] | None:
        """A PMI of this event: its branch stack, newest first; None when it is not ACTIVE and so cannot overflow."""
        if event.state != State.ACTIVE or event.filter is None:
            return None
        pc = self.sched.cpus[event.oncpu]
        self.machine.interrupt(self.machine.cpus[pc.index])
        was_read = lbr.lbr_read(self.machine, pc)
        from_ip, to_ip = pc.lbr_stack
        self.machine.log.add(SampleTaken(event.id, event.name, pc.index, from_ip, to_ip, not was_read))
        return from_ip, to_ip
