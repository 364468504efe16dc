from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Self

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.traced import event_key
from client.check.world import World
from contract.canonical import addresses
from contract.lbr_ring import LbrRing, from_field
from contract.provenance import branch_base, origin_of
from contract.trace import Crash, EventChange, HostLbr, LbrReset, LbrRestore, Pmi, Retired, SampleTaken


class HostServed(Monitor):
    __slots__ = ("before", "own")

    name = "host-served"
    definition = Definition(
        rules=("R11", "R17"),
        text=(
            "While a host LBR event is ACTIVE, each host branch that it asked for is recorded, and a sample "
            "holds each of them that would still be in a ring that guests and KVM do not touch. Branches from "
            "before the event last became ACTIVE need not be there, and neither do branches that perf put "
            "back."
        ),
        broken_by=(
            "A host branch that an ACTIVE event asked for and that is not recorded, or a sample that lacks a branch "
            "that is due."
        ),
        evidence="A host branch that an ACTIVE event asked for.",
        reads={
            EventChange: "which branches precede the event's time as ACTIVE",
            Retired: "host branches",
            Pmi: "branches of the handler, which push older branches out",
            SampleTaken: "the entries of the sample",
            LbrReset: "the ring is empty",
            LbrRestore: "branches that perf put back",
            HostLbr: "LBR_SELECT of the host",
            Crash: "rings that are empty, because their host is without power",
        },
        unseen="Branches while the event is not ACTIVE. Whether it should be ACTIVE is the subject of precedence.",
        excuses=(
            (
                "crash perfcore",
                "Host events end with their host, so no sample is due for them. A restarted host has no "
                "events until user space opens new ones.",
            ),
        ),
    )

    own: list[LbrRing]
    """By CPU: the ring as it would be on a machine without guests."""
    before: dict[int, frozenset[int]]
    """Event to the FROM values that were already in the ring when it became ACTIVE, and still are. The order of serial
    numbers does not show this, because they wrap around."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.own = [LbrRing(world.model) for _ in world.cpus]
        self.before = {}

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.own = [ring.clone() for ring in self.own]
        twin.before = self.before.copy()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        """The key leaves out TO and INFO, which are never used, and has FROM by age only."""
        own = [(ring.select, addresses([ring.from_ip[i] for i in ring.newest_first()])) for ring in self.own]
        before = [
            (event_key(event), frozenset(addresses(values)))
            for event, values in self.before.items()
            if event in self.world.events
        ]
        return *super().key(), tuple(own), frozenset(before)

    def _changed(self, r: EventChange) -> None:
        if r.new == "ACTIVE" and self.world.events[r.event].host_lbr:
            self.before = {event: values for event, values in self.before.items() if event in self.world.events}
            self.before[r.event] = frozenset(filter(None, self.own[r.cpu].from_ip))

    def _record(self, cpu: int, address: int, count: int, branch: str, privilege: str) -> None:
        ring = self.own[cpu]
        ring.retire(address, count, branch, privilege)
        fmt = self.world.model.lbr_fmt
        first, end = from_field(fmt, address), from_field(fmt, address + 2 * count)
        for event in self.world.host_lbr_events(cpu):
            if before := self.before.get(event.opened.event):
                there = before.intersection(ring.from_ip)
                self.before[event.opened.event] = frozenset([value for value in there if not first <= value < end])

    def _retired(self, r: Retired) -> None:
        if r.guest:
            return
        if r.recorded:
            address = branch_base(r.actor, False, r.branch, r.privilege) + 2 * r.first
            self._record(r.cpu, address, r.count, r.branch, r.privilege)
        actor = self.world.actors[r.actor]
        for event in self.world.host_lbr_events(r.cpu):
            if event.wants(actor, r.branch, r.privilege):
                self.exercised = True
                if not r.recorded:
                    name = event.opened.name
                    text = f"{name} is ACTIVE on cpu{r.cpu}, but {r.count} branches of the host are not recorded"
                    self.violated(r.seq, text, self.world.opened_by(event))

    def _sample(self, r: SampleTaken) -> None:
        event = self.world.events[r.event]
        due, before = 0, self.before.get(r.event, ())
        for value in self.own[r.cpu].from_ip:
            origin = origin_of(value)
            if origin is None or origin.guest or value in before or value in r.from_ip:
                continue
            due += event.wants(self.world.actors[origin.actor], origin.kind, origin.privilege)
        if due:
            text = f"the sample of {r.name} lacks {due} branches that it asked for and that were recorded"
            self.violated(r.seq, text, self.world.opened_by(event))

    def _pmi(self, r: Pmi) -> None:
        """If the LBR stays enabled, the calls of the handler push out older branches. A frozen LBR keeps them."""
        if r.recorded and not r.frozen:
            actor = self.world.actor_numbers[self.world.cpus[r.cpu].task]
            address = branch_base(actor, False, "call", "kernel") + 2 * r.first
            self._record(r.cpu, address, r.count, "call", "kernel")

    def _reset(self, r: LbrReset) -> None:
        self.own[r.cpu].reset()

    def _restore(self, r: LbrRestore) -> None:
        if r.component == "perf":
            self.own[r.cpu].load(r.image, r.select)
            for event in self.world.host_lbr_events(r.cpu):
                self.before[event.opened.event] = frozenset(filter(None, r.image.from_ip))

    def _host_lbr(self, r: HostLbr) -> None:
        self.own[r.cpu].select = r.select

    def _crash(self, r: Crash) -> None:
        for cpu in self.world.cpus_of(r):
            self.own[cpu] = LbrRing(self.world.model)
        self.before = {event: values for event, values in self.before.items() if event in self.world.events}

    HANDLERS: ClassVar = {
        Crash: _crash,
        EventChange: _changed,
        Retired: _retired,
        Pmi: _pmi,
        SampleTaken: _sample,
        LbrReset: _reset,
        LbrRestore: _restore,
        HostLbr: _host_lbr,
    }
