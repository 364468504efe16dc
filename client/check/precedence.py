from __future__ import annotations

from typing import ClassVar

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.world import NOT_THE_LBR, EventView, World
from contract.trace import EventChange, EventFailed, EventOpen, HostLbr, Rest, Retired, Statement, Switch, VmEntry

_CLASSES = ("CPU-pinned", "task-pinned", "CPU-flexible", "task-flexible")


class Precedence(Monitor):
    name = "precedence"
    about = "nobody has the LBR that an event of a higher class wants"
    definition = Definition(
        text=(
            "The order is CPU-pinned, task-pinned, CPU-flexible, task-flexible, for guests' events too. Nobody has the"
            " LBR of a CPU (a host event that is ACTIVE with the LBR on for it, a guest's event that is ACTIVE) while "
            "an event of a higher class, otherwise filtered, wants the LBR there and has it not: it waits, has just "
            "lost it, is ACTIVE and shut out, or was refused at open for the lower one's sake. An event that has been "
            "in ERROR does not want any more, by perf's rule, nor is one denied the LBR that lacked something else."
        ),
        broken_by=(
            "An event of a lower class that has the LBR of a CPU while one of a higher class wants it there and has it"
            " not."
        ),
        evidence="Two events of different classes that want the LBR of one CPU.",
        reads={
            EventOpen: "class, filter and scope of an event",
            EventChange: "states; what an event in ERROR lacked",
            HostLbr: "whether ACTIVE host events have the LBR on",
            Switch: "which task's events can want the LBR of a CPU",
            EventFailed: "an open that was refused, and for whom",
            Statement: "perf is done: judge",
            Retired: "perf is done: judge",
            VmEntry: "perf is done: judge",
            Rest: "perf is done: judge",
        },
        unseen="Who among events of one class has the LBR: rotation decides that.",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.dirty = False
        self.lost: set[int] = set()
        self.told: set[tuple[int, int]] = set()

    def _changed(self, r: EventOpen | EventChange | HostLbr | Switch) -> None:
        self.dirty = True
        if isinstance(r, EventChange) and r.new == "ERROR" and r.why not in NOT_THE_LBR:
            self.lost.add(r.event)

    def _failed(self, r: EventFailed) -> None:
        if not r.lbr or not r.holder:
            return
        self.exercised = True
        holder = next((e for e in self.world.events.values() if e.opened.name == r.holder), None)
        rank = _rank(r.pinned, r.task)
        if holder is None:
            self.violated(r.seq, f"{r.name} ({_CLASSES[rank]}) is refused for {r.holder}")
        elif rank < _rank_of(holder):
            text = f"{r.name} ({_CLASSES[rank]}) is refused for {r.holder} ({_CLASSES[_rank_of(holder)]})"
            self.violated(r.seq, text, holder.opened.seq)

    def _judge(self, r: Statement | Retired | VmEntry | Rest) -> None:
        """Only where perf is done with what it was doing."""
        if not self.dirty:
            return
        self.dirty = False
        for cpu in range(len(self.world.cpus)):
            self._judge_cpu(r.seq, cpu)
        self.lost.clear()

    def _judge_cpu(self, seq: int, cpu: int) -> None:
        wanting = [e for e in self.world.events.values() if e.opened.select >= 0 and self._wants(e, cpu)]
        for high in wanting:
            rivals = [e for e in wanting if _differ(high, e)]
            if not any(_rank_of(low) > _rank_of(high) for low in rivals):
                self.told.discard((cpu, high.opened.event))
                continue
            self.exercised = True
            owner = min((e for e in rivals if self._has(e, cpu)), key=_rank_of, default=None)
            if owner is None or _rank_of(owner) <= _rank_of(high) or self._has(high, cpu):
                self.told.discard((cpu, high.opened.event))
            elif (cpu, high.opened.event) not in self.told:
                self.told.add((cpu, high.opened.event))
                self.violated(seq, self._say(high, owner, cpu), high.opened.seq, owner.opened.seq)

    def _wants(self, event: EventView, cpu: int) -> bool:
        opened = event.opened
        if opened.task:
            here = self.world.cpus[cpu].task == opened.task and opened.cpu in (-1, cpu)
        else:
            here = opened.cpu == cpu
        if not here or self.world.host_of(event) != self.world.hosts[cpu]:
            return False
        return event.state in ("ACTIVE", "INACTIVE") or opened.event in self.lost

    def _has(self, event: EventView, cpu: int) -> bool:
        return event.state == "ACTIVE" and (bool(event.opened.guest) or self.world.cpus[cpu].host_on)

    def _say(self, high: EventView, low: EventView, cpu: int) -> str:
        has, lacks = (f"{e.opened.name} ({_CLASSES[_rank_of(e)]})" for e in (low, high))
        how = "is ACTIVE and shut out" if high.state == "ACTIVE" else f"is {high.state}"
        return f"{has} has the LBR of cpu{cpu}, {lacks} {how}"

    HANDLERS: ClassVar = {
        EventOpen: _changed,
        EventChange: _changed,
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


def _rank_of(event: EventView) -> int:
    return _rank(event.opened.pinned, event.opened.task)


def _differ(a: EventView, b: EventView) -> bool:
    """Host events of one filter share the LBR; a guest shares with nobody."""
    if a.opened.guest and b.opened.guest:
        return False
    return bool(a.opened.guest or b.opened.guest) or a.opened.select != b.opened.select
