from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Self

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.world import World, lbr_on
from contract.trace import CounterEvent, Crash, EventChange, GuestPmi, Pmi, VmEntry


class NoCounter(Monitor):
    __slots__ = ("counting",)

    name = "no-counter"
    definition = Definition(
        text=(
            "LBR emulation takes no counter and causes no PMI: the event that stands for a guest never holds a counter"
            " or overflows, and a guest that has programmed no counter gets no PMI."
        ),
        broken_by=(
            "A guest's LBR event that becomes ACTIVE with a counter, a PMI that it causes, or a PMI for a guest "
            "without counters."
        ),
        evidence="A guest's LBR event becomes ACTIVE, or a guest enters with its LBR on.",
        reads={
            EventChange: "guests' events that become ACTIVE",
            VmEntry: "DEBUGCTL.LBR of the guest",
            Pmi: "which events overflowed",
            CounterEvent: "guests that have programmed a counter",
            GuestPmi: "PMIs that go into a guest",
            Crash: "guests that are at RESET with their KVM",
        },
        unseen="How long the host spends on emulation: `lbrlab cost` measures that.",
    )

    counting: set[str]
    """Vcpus whose guests have programmed a counter."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.counting = set()

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.counting = self.counting.copy()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        return *super().key(), frozenset(self.counting)

    def _changed(self, r: EventChange) -> None:
        event = self.world.events[r.event]
        if not event.opened.guest or r.new != "ACTIVE":
            return
        self.exercised = True
        if event.opened.counter:
            self.violated(r.seq, f"{r.name} takes a counter of cpu{r.cpu}", self.world.opened_by(event))

    def _entry(self, r: VmEntry) -> None:
        self.exercised = self.exercised or lbr_on(r.debugctl)

    def _pmi(self, r: Pmi) -> None:
        for event in self.world.events.values():
            if event.opened.guest and event.opened.name in r.events:
                self.violated(r.seq, f"{event.opened.name} causes a PMI", self.world.opened_by(event))

    def _counter(self, r: CounterEvent) -> None:
        if r.change != "failed":
            self.counting.add(r.vcpu)

    def _guest_pmi(self, r: GuestPmi) -> None:
        if not r.masked and r.vcpu not in self.counting:
            self.violated(r.seq, f"{r.vcpu} gets a PMI, and has programmed no counter")

    def _crash(self, r: Crash) -> None:
        if r.host < 0:
            self.counting.difference_update(r.vcpus)

    HANDLERS: ClassVar = {
        Crash: _crash,
        EventChange: _changed,
        VmEntry: _entry,
        Pmi: _pmi,
        CounterEvent: _counter,
        GuestPmi: _guest_pmi,
    }
