from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Self

from client.check.definition import Definition
from client.check.monitor import Liveness, Obligation
from client.check.traced import TracedEvent
from client.check.world import World, lbr_on
from contract.reasons import NOT_THE_LBR
from contract.trace import (
    Access,
    ClaimChange,
    Crash,
    EventChange,
    EventOpen,
    EventWaits,
    GuestEvent,
    GuestMsr,
    Switch,
)
from contract.x86 import IA32_DEBUGCTL

WANTED = -1


class Recovers(Liveness):
    __slots__ = ("lacking", "losses", "stopped", "without")

    name = "recovers"
    definition = Definition(
        rules=("R16",),
        text=(
            "A guest that was denied the LBR is served again once the LBR is free. The LBR of a CPU is free "
            "while no host event wants it or wants the CPU for itself alone. The guest may be denied once "
            "more while the LBR is free, to learn of its loss. It may not be denied a second time, unless "
            "another user has wanted the LBR in between: that of the CPU of the denial, or that of a CPU on which the "
            "guest was. A guest is served if the hardware answers an access "
            "to an LBR register, or if a write that turns the LBR on is answered as done and the guest's "
            "event is ACTIVE. A write that is answered as done while the event is not ACTIVE neither serves "
            "the guest nor ends its loss."
        ),
        broken_by=(
            "A second denial of an access to an LBR register, or of a write that turns the LBR on, while the LBR was "
            "free and no message was under way."
        ),
        evidence="A guest that was denied is served while the LBR is free.",
        open_while="A guest was denied while the LBR was free, and has made no later access that decides.",
        reads={
            Access: "accesses that KVM answered, and whether it denied them",
            GuestMsr: "accesses that the hardware served to the guest",
            EventOpen: "host events that want the LBR",
            EventChange: "host events that want the LBR; the resource that a guest's event in ERROR lacked",
            EventWaits: "another resource that a waiting event lacks",
            Switch: "guests that come to a CPU whose LBR is wanted",
            ClaimChange: "guests whose LBR user space stopped",
            GuestEvent: "guests that no event could be made for",
            Crash: "guests that have lost the LBR with their KVM or host",
        },
        unseen=(
            "A guest that does not ask again. A guest whose LBR user space stopped, that no event could be made for, "
            "or whose event lacked something other than the LBR, such as a counter: such a denial is not judged."
        ),
        excuses=(
            ("crash kvm", "A denial before the crash does not count: the VM begins again."),
            (
                "crash perfcore",
                "A guest may be denied once more, because it has lost the LBR once more and has to learn of it.",
            ),
        ),
    )

    losses: dict[str, int]
    """Vcpu that was denied and not served since, to the CPU of a denial while the LBR was free, if no other user has
    wanted the LBR of that CPU, or of the CPU on which the vcpu was, after it; WANTED: there is no such denial."""
    stopped: set[str]
    """Vcpus whose LBR user space stopped."""
    without: set[str]
    """Vcpus that no event could be made for."""
    lacking: set[str]
    """Vcpus whose event lacked something other than the LBR."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.losses = {}
        self.stopped, self.without, self.lacking = set(), set(), set()

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.losses = self.losses.copy()
        twin.stopped, twin.without, twin.lacking = self.stopped.copy(), self.without.copy(), self.lacking.copy()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        unjudged = frozenset(self.stopped), frozenset(self.without), frozenset(self.lacking)
        return *super().key(), frozenset(self.losses.items()), *unjudged

    def _access(self, r: Access) -> None:
        turns_on = r.msr == IA32_DEBUGCTL and r.write and lbr_on(r.value)
        if not turns_on and r.msr not in self.world.lbr_msrs:
            return
        if r.denied:
            self._denied(r)
        elif r.result == "done" and (not turns_on or self._active(r)):
            self._served(r.vcpu, r.cpu)

    def _guest_msr(self, r: GuestMsr) -> None:
        if not r.fault:
            self._served(r.vcpu, r.cpu)

    def _active(self, r: Access) -> bool:
        event = self.world.guest_event(r.vcpu, r.cpu)
        return self.world.axes["event"] == "none" or (event is not None and event.state == "ACTIVE")

    def _denied(self, r: Access) -> None:
        if r.vcpu in self.stopped or r.vcpu in self.without or r.vcpu in self.lacking:
            return
        told = self.losses.setdefault(r.vcpu, WANTED)
        if self._wanted(r.cpu):
            self.losses[r.vcpu] = WANTED
        elif not self.world.in_flight:
            if told != WANTED:
                text = f"{r.vcpu} is denied again, though nobody else has wanted the LBR of cpu{r.cpu} since"
                self.violated(r.seq, text, self.noted("told", r.vcpu))
            self.losses[r.vcpu] = r.cpu
            self.note(r.seq, "told", r.vcpu)

    def _served(self, vcpu: str, cpu: int) -> None:
        if self.losses.pop(vcpu, None) is not None and not self._wanted(cpu):
            self.exercised = True

    def _wanted(self, cpu: int) -> bool:
        return any(_wants(event, cpu) for event in self.world.events.values())

    def _others(self, r: EventOpen | EventChange | EventWaits) -> None:
        event = self.world.events[r.event]
        if guest := event.opened.guest:
            self._own(guest, event.refused)
        for vcpu, cpu in self.losses.items():
            if cpu != WANTED and (self._wanted(cpu) or self._wanted_where_it_is(vcpu)):
                self.losses[vcpu] = WANTED

    def _wanted_where_it_is(self, vcpu: str) -> bool:
        return any(there.task == vcpu and self._wanted(cpu) for cpu, there in enumerate(self.world.cpus))

    def _switch(self, r: Switch) -> None:
        if r.next in self.losses and self._wanted(r.cpu):
            self.losses[r.next] = WANTED

    def _own(self, guest: str, why: str) -> None:
        if why in NOT_THE_LBR:
            self.lacking.add(guest)
            self.losses.pop(guest, None)
        else:
            self.lacking.discard(guest)

    def _claim(self, r: ClaimChange) -> None:
        if r.new == "stopped":
            self.stopped.add(r.vcpu)
            self.losses.pop(r.vcpu, None)

    def _guest_event(self, r: GuestEvent) -> None:
        if r.change == "failed":
            self.without.add(r.vcpu)
            self.losses.pop(r.vcpu, None)
        elif r.change == "created":
            self.without.discard(r.vcpu)

    def pending(self) -> list[Obligation]:
        return [
            Obligation(self.noted("told", vcpu) or 0, f"{vcpu} is denied, though the LBR of cpu{cpu} is free")
            for vcpu, cpu in self.losses.items()
            if cpu != WANTED
        ]

    def _crash(self, r: Crash) -> None:
        """VMs of a KVM that is gone begin again. A guest whose host had no power has lost the LBR again."""
        for vcpu in r.vcpus:
            self.lacking.discard(vcpu)
            if vcpu in self.losses:
                self.losses[vcpu] = WANTED
            if r.host < 0:
                self.losses.pop(vcpu, None)
                self.stopped.discard(vcpu)
                self.without.discard(vcpu)

    HANDLERS: ClassVar = {
        Crash: _crash,
        Access: _access,
        GuestMsr: _guest_msr,
        EventOpen: _others,
        EventChange: _others,
        EventWaits: _others,
        Switch: _switch,
        ClaimChange: _claim,
        GuestEvent: _guest_event,
    }


def _wants(event: TracedEvent, cpu: int) -> bool:
    return event.keeps_guests_off and event.can_be_on and event.opened.cpu in (-1, cpu)
