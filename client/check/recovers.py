from __future__ import annotations

from typing import ClassVar

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.world import EventView, World, lbr_on
from contract.trace import Access, ClaimChange, EventChange, EventOpen, GuestEvent
from contract.x86 import IA32_DEBUGCTL, is_lbr_msr

_WANTING = ("ACTIVE", "INACTIVE")


class Recovers(Monitor):
    name = "recovers"
    about = "a guest that lost the LBR is served again once it is free"
    liveness = True
    definition = Definition(
        text=(
            "A guest that lost the LBR is served again once it is free. A guest that was denied may be denied once "
            "more, so that it learns of its loss; but not a second time while no host event wants the LBR of its CPU, "
            "nor the CPU for itself, and no message is under way. What user space stopped, and what no event could be "
            "made for, is not judged."
        ),
        broken_by="A second denial while the LBR was free.",
        evidence="An access by a guest that was denied, once the LBR is free.",
        open_while="A guest was denied once while the LBR was free, and the trace ends before its next access.",
        reads={
            Access: "accesses to the LBR, and whether they were denied",
            EventOpen: "host events that want the LBR",
            EventChange: "host events that want the LBR, or wanted it until now",
            ClaimChange: "guests that user space stopped",
            GuestEvent: "guests that no event could be made for",
        },
        unseen="A guest that does not ask again.",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.denied: dict[str, tuple[int, int]] = {}
        self.losers: set[str] = set()
        self.stopped: set[str] = set()
        self.without: set[str] = set()

    def _access(self, r: Access) -> None:
        if r.vcpu in self.stopped | self.without or not self._is_use(r):
            return
        free = not self.world.in_flight and not self._wanted(r.cpu)
        before = self.denied.pop(r.vcpu, None)
        if r.denied and before is not None and free:
            text = f"{r.vcpu} is denied again, though nobody else has wanted the LBR of cpu{r.cpu} since"
            self.violated(r.seq, text, before[0])
        self.exercised = self.exercised or (free and r.vcpu in self.losers)
        if r.denied:
            self.losers.add(r.vcpu)
            if free:
                self.denied[r.vcpu] = r.seq, r.cpu

    def _is_use(self, r: Access) -> bool:
        turns_on = r.msr == IA32_DEBUGCTL and r.write and lbr_on(r.value)
        return turns_on or is_lbr_msr(self.world.model, r.msr)

    def _wanted(self, cpu: int) -> bool:
        return any(_wants(event, cpu) for event in self.world.events.values())

    def _others(self, r: EventOpen | EventChange) -> None:
        """Whoever wants the LBR, or wanted it until now."""
        event = self.world.events[r.event]
        was = isinstance(r, EventChange) and r.old in _WANTING and event.keeps_guests_off
        for vcpu, (_, cpu) in list(self.denied.items()):
            if _wants(event, cpu) or (was and event.opened.cpu in (-1, cpu)):
                del self.denied[vcpu]

    def _claim(self, r: ClaimChange) -> None:
        if r.new == "stopped":
            self.stopped.add(r.vcpu)

    def _guest_event(self, r: GuestEvent) -> None:
        if r.what == "failed":
            self.without.add(r.vcpu)
        elif r.what == "created":
            self.without.discard(r.vcpu)

    HANDLERS: ClassVar = {
        Access: _access,
        EventOpen: _others,
        EventChange: _others,
        ClaimChange: _claim,
        GuestEvent: _guest_event,
    }


def _wants(event: EventView, cpu: int) -> bool:
    return event.keeps_guests_off and event.state in _WANTING and event.opened.cpu in (-1, cpu)
