from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Self

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.traced import TracedEvent, event_key, events_key
from client.check.world import World, lbr_on
from contract.canonical import EventName
from contract.reasons import NOT_THE_LBR
from contract.trace import (
    Crash,
    EventChange,
    EventFailed,
    EventOpen,
    EventWaits,
    HostLbr,
    HostWait,
    HostWake,
    Rest,
    Retired,
    Statement,
    Switch,
    VmEntry,
)

_CLASSES = ("CPU-pinned", "task-pinned", "CPU-flexible", "task-flexible")


class Precedence(Monitor):
    __slots__ = ("asleep", "dirty", "lost", "reported")

    name = "precedence"
    definition = Definition(
        rules=("R10",),
        text=(
            "The order is CPU-pinned, task-pinned, CPU-flexible, task-flexible, for guests' events too; the "
            "class of an event is that of its group. No user has the LBR of a CPU while an event of a higher "
            "class with another filter wants it there and does not have it. A host event has the LBR if it is "
            "ACTIVE and perf has the LBR on; a guest's event has it if it is ACTIVE. An event wants the LBR "
            "of its CPU while it and the leader of its group are enabled and not in ERROR, and at the moment "
            "at which the group goes to ERROR because it did not get the LBR. It does not want it while its "
            "group lacks something else: a counter, a place in the list of events, or the CPU for itself "
            "alone. An event whose opener sleeps until KVM has acknowledged the end of a grant wants the LBR, "
            "too. It may wait for the guest that already has the LBR, but only until the run is at rest, and "
            "no user of a lower class may get the LBR meanwhile."
        ),
        broken_by=(
            "An event of a lower class that has the LBR of a CPU while an event of a higher class wants it "
            "there and waits, has just lost it, or is ACTIVE and shut out. An open that is refused in favour "
            "of an event of a lower class, or of mediated VMs while a guest has the LBR of a CPU on which the "
            "event would count."
        ),
        evidence=(
            "Two events of different classes that want the LBR of one CPU, or an open that is refused in "
            "favour of another user of the LBR."
        ),
        reads={
            EventOpen: "class, filter and scope of an event",
            EventChange: "states; the resource that an event in ERROR lacked",
            EventWaits: "the resource that a waiting event lacks",
            HostWait: "an event whose opener begins to sleep until a grant has ended",
            HostWake: "its opener no longer sleeps",
            HostLbr: "whether ACTIVE host events have the LBR on",
            Switch: "which task's events can want the LBR of a CPU",
            EventFailed: "an open that was refused, and in whose favour",
            Statement: "perf has finished its work: the monitor judges now",
            Retired: "the same",
            VmEntry: "the same; the guest that has the LBR of a CPU without an event",
            Rest: "the same; nothing is in flight any more",
            Crash: "host events and waits that end with their host",
        },
        unseen=(
            "Which of the events of one class has the LBR; rotation decides that. An event that lacked "
            "something else when perf last tried to put it on, and now does not: perf tries again only at the "
            "next walk."
        ),
        excuses=(
            (
                "crash perfcore",
                "An open that slept on that host is not served: the task that made it ended with the host.",
            ),
        ),
    )

    dirty: bool
    """Something changed since the last judgement."""
    lost: frozenset[int]
    """Events that went to ERROR since the last judgement because they did not get the LBR."""
    reported: frozenset[tuple[int, int]]
    """CPU and event of each violation that still lasts."""
    asleep: dict[str, frozenset[int]]
    """Name of an event whose opener sleeps, to the events that went on since it fell asleep."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.dirty = False
        self.lost = frozenset()
        self.reported = frozenset()
        self.asleep = {}

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.dirty, twin.lost, twin.reported = self.dirty, self.lost, self.reported
        twin.asleep = self.asleep.copy()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        reported = frozenset([(cpu, event_key(event)) for cpu, event in self.reported])
        asleep = frozenset([(EventName(name), events_key(events)) for name, events in self.asleep.items()])
        return *super().key(), self.dirty, events_key(self.lost), reported, asleep

    def _changed(self, r: EventOpen | EventWaits | HostLbr | Switch) -> None:
        self.dirty = True

    def _state(self, r: EventChange) -> None:
        self.dirty = True
        if r.new == "ERROR" and r.reason not in NOT_THE_LBR:
            self.lost |= {r.event}
        if r.new == "ACTIVE" and self.asleep:
            self.asleep = {name: events | {r.event} for name, events in self.asleep.items()}

    def _sleeps(self, r: HostWait) -> None:
        self.asleep.setdefault(r.name, frozenset())
        self.dirty = True

    def _wakes(self, r: HostWake) -> None:
        self.asleep.pop(r.name, None)
        self.dirty = True

    def _failed(self, r: EventFailed) -> None:
        if not r.lbr or not r.holder:
            return
        rank = _rank(r.pinned, r.task)
        refused = f"{r.name} ({_CLASSES[rank]}) is refused for {r.holder}"
        holder = next((e for e in self.world.events.values() if e.opened.name == r.holder), None)
        if holder is None:
            if (cpu := self._guest_with_lbr(r)) is not None:
                self.violated(r.seq, refused, self.world.entered_by(cpu))
            return
        self.exercised = True
        if rank < _rank_of(holder):
            self.violated(r.seq, f"{refused} ({_CLASSES[_rank_of(holder)]})", self.world.opened_by(holder))

    def _guest_with_lbr(self, r: EventFailed) -> int | None:
        """A CPU on which the event would count and whose LBR a guest has."""
        for number, cpu in enumerate(self.world.cpus):
            if r.cpu not in (-1, number) or (r.task and r.cpu < 0 and r.task != cpu.task):
                continue
            entry = cpu.entry
            if entry is None or entry.vcpu in ("", r.guest):
                continue
            if cpu.task == entry.vcpu and (entry.passthrough or lbr_on(entry.debugctl)):
                return number
        return None

    def _judge(self, r: Statement | Retired | VmEntry | Rest) -> None:
        """Judge only when perf has finished its current work."""
        if not self.dirty and not (self.asleep and isinstance(r, Rest)):
            return
        self.dirty = False
        if self.reported:
            self.reported = frozenset([reported for reported in self.reported if reported[1] in self.world.events])
        for cpu in range(len(self.world.cpus)):
            self._judge_cpu(r.seq, cpu)
        self.lost = frozenset()

    def _judge_cpu(self, seq: int, cpu: int) -> None:
        wanting = [e for e in self.world.events.values() if e.opened.select >= 0 and self._wants(e, cpu)]
        if len(wanting) < 2 and not self.reported:
            return
        for high in wanting:
            rivals = [e for e in wanting if _differ(high, e)]
            if not any(_rank_of(low) > _rank_of(high) for low in rivals):
                self.reported -= {(cpu, high.opened.event)}
                continue
            self.exercised = True
            owner = min((e for e in rivals if self._has(e, cpu)), key=_rank_of, default=None)
            if owner is None or _rank_of(owner) <= _rank_of(high) or self._has(high, cpu):
                self.reported -= {(cpu, high.opened.event)}
            elif (cpu, high.opened.event) not in self.reported and not self._may_wait(high, owner):
                self.reported |= {(cpu, high.opened.event)}
                because = self.world.opened_by(high), self.world.opened_by(owner)
                self.violated(seq, self._say(high, owner, cpu), *because)

    def _wants(self, event: TracedEvent, cpu: int) -> bool:
        opened = event.opened
        if opened.task:
            here = self.world.cpus[cpu].task == opened.task and opened.cpu in (-1, cpu)
        else:
            here = opened.cpu == cpu
        if not here or event.opened.host != self.world.hosts[cpu]:
            return False
        return event.can_be_on or event.head.opened.event in self.lost or self._went_on_since(event) is not None

    def _went_on_since(self, event: TracedEvent) -> frozenset[int] | None:
        """The events that went on since its opener, or its leader's, fell asleep; None if none sleeps."""
        if not self.asleep or event.opened.guest or "OFF" not in (event.state, event.head.state):
            return None
        of_leader = self.asleep.get(event.head.opened.name)
        return self.asleep.get(event.opened.name) if of_leader is None else of_leader

    def _may_wait(self, high: TracedEvent, owner: TracedEvent) -> bool:
        since = self._went_on_since(high)
        return since is not None and not self.world.at_rest and owner.opened.event not in since

    def _has(self, event: TracedEvent, cpu: int) -> bool:
        return event.state == "ACTIVE" and (bool(event.opened.guest) or self.world.cpus[cpu].host_on)

    def _say(self, high: TracedEvent, low: TracedEvent, cpu: int) -> str:
        has, lacks = (f"{e.opened.name} ({_CLASSES[_rank_of(e)]})" for e in (low, high))
        how = "is ACTIVE and shut out" if high.state == "ACTIVE" else f"is {high.state}"
        if self._went_on_since(high) is not None:
            how = "waits for KVM to acknowledge"
        return f"{has} has the LBR of cpu{cpu}, {lacks} {how}"

    def _crash(self, r: Crash) -> None:
        """A call that sleeps at a host without power never returns."""
        self.dirty = True
        there = {event.opened.name for event in self.world.events.values()}
        self.asleep = {name: events for name, events in self.asleep.items() if name in there}
        self.lost = frozenset([event for event in self.lost if event in self.world.events])

    HANDLERS: ClassVar = {
        Crash: _crash,
        EventOpen: _changed,
        EventChange: _state,
        EventWaits: _changed,
        HostWait: _sleeps,
        HostWake: _wakes,
        HostLbr: _changed,
        Switch: _changed,
        EventFailed: _failed,
        Statement: _judge,
        Retired: _judge,
        VmEntry: _judge,
        Rest: _judge,
    }


def _rank(pinned: bool, task: str) -> int:
    return 2 * (not pinned) + bool(task)


def _rank_of(event: TracedEvent) -> int:
    return _rank(event.pinned, event.opened.task)


def _differ(a: TracedEvent, b: TracedEvent) -> bool:
    """Host events of one filter share the LBR; a guest shares with nobody."""
    if a.opened.guest and b.opened.guest:
        return False
    return bool(a.opened.guest or b.opened.guest) or a.opened.select != b.opened.select
