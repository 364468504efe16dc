from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Self

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.traced import event_key
from client.check.world import World
from contract.results import EventView, PerfView, VcpuView
from contract.trace import CounterEvent, Crash, Rest, VcpuMoved


class Agreement(Monitor):
    __slots__ = ("counting",)

    name = "agreement"
    definition = Definition(
        rules=("R1", "R6", "R7", "R14", "R21", "R22", "R23"),
        text=(
            "When nothing is in flight both sides hold the same view: where each vCPU's thread is, which "
            "event stands for it, and which events count for its counters. No guest has the LBR passed "
            "through without an ACTIVE event. In designs in which the host tells KVM, both also agree whether "
            "a grant is out, and in which state the event is."
        ),
        broken_by="A view of KVM at rest that differs from the host's, or an event that only one of them has.",
        evidence="A run that came to rest with a VM.",
        reads={
            Rest: "the views of all hosts and of all KVMs",
            CounterEvent: "which events count for a guest, in KVM's view",
            VcpuMoved: "that KVM has forgotten what it knew of a vCPU",
            Crash: "that a KVM is gone with its view",
        },
        unseen=(
            "Views while messages are under way: they may differ then. An event goes off and on with its "
            "thread, and no message says so. So ACTIVE and INACTIVE are compared only while that thread is on "
            "a CPU."
        ),
    )

    counting: dict[int, str]
    """Event that counts for a guest's counter, in KVM's view, to the vCPU."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.counting = {}

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.counting = self.counting.copy()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        counting = frozenset([(event_key(event), vcpu) for event, vcpu in self.counting.items()])
        return *super().key(), counting

    def _counter(self, r: CounterEvent) -> None:
        if r.change in ("created", "resumed"):
            self.counting[r.event] = r.vcpu
        elif r.change == "released":
            self.counting.pop(r.event, None)

    def _moved(self, r: VcpuMoved) -> None:
        """KVM forgets everything it knew of this vCPU."""
        if r.action == "loaded":
            self.counting = {event: vcpu for event, vcpu in self.counting.items() if vcpu != r.vcpu}

    def _rest(self, r: Rest) -> None:
        kvms = [(self.world.kvms[name], kvm) for name, kvm in zip(self.world.kvms, r.kvm, strict=False)]
        self._counters(r)
        for number, host in enumerate(r.hosts):
            self._host(r, host, [v for at, kvm in kvms if at == number for v in kvm.vcpus])

    def _host(self, r: Rest, host: PerfView, views: list[VcpuView]) -> None:
        running = {task: cpu for cpu, task in host.running.items()}
        unclaimed = {e.event: e for e in host.guest_events}
        for view in views:
            self.exercised = True
            cpu = running.get(view.vcpu, -1)
            if view.cpu != cpu:
                self.violated(r.seq, f"{view.vcpu} runs on {_cpu(cpu)}, KVM believes on {_cpu(view.cpu)}")
            event = unclaimed.pop(view.event, None)
            self._event(r, view, event, loaded=cpu >= 0)
            if event is not None and self.world.axes["notifier"] != "none":
                self._state(r, view, event, running)
        for event in unclaimed.values():
            self.violated(r.seq, f"the host keeps event {event.event} for {event.vcpu}, KVM knows nothing of it")

    def _event(self, r: Rest, view: VcpuView, event: EventView | None, *, loaded: bool) -> None:
        if view.event and event is None:
            self.violated(r.seq, f"{view.vcpu} believes in event {view.event}, the host has no such event")
            return
        if event is not None and event.vcpu != view.vcpu:
            self.violated(r.seq, f"event {view.event} of {view.vcpu} stands for {event.vcpu} on the host")
        state = event.state if event is not None else "none"
        if self.world.grants:
            granted = event.grant if event is not None else 0
            if view.grant != granted:
                self.violated(r.seq, f"KVM holds grant {view.grant} for {view.vcpu}, the host's is {granted} ({state})")
        if loaded and view.passthrough and self.world.axes["event"] != "none" and state != "ACTIVE":
            self.violated(r.seq, f"{view.vcpu} has the LBR passed through, its event is {state}")

    def _state(self, r: Rest, view: VcpuView, event: EventView, running: dict[str, int]) -> None:
        if view.state in ("", event.state):
            return
        thread = self.world.events[event.event].opened.task
        if thread in running or {view.state, event.state} != {"ACTIVE", "INACTIVE"}:
            self.violated(r.seq, f"KVM was told that the event of {view.vcpu} is {view.state}, it is {event.state}")

    def _counters(self, r: Rest) -> None:
        there = {e.opened.event: e for e in self.world.events.values() if e.opened.counts_for}
        for event, view in there.items():
            if event not in self.counting:
                text = (
                    f"the host keeps event {event}, which counts for {view.opened.counts_for}, KVM knows nothing of it"
                )
                self.violated(r.seq, text, self.world.opened_by(view))
        for event, vcpu in self.counting.items():
            if event not in there:
                text = f"{vcpu} believes in event {event}, which counts for it, the host has no such event"
                self.violated(r.seq, text)

    def _crash(self, r: Crash) -> None:
        """The view of a KVM goes with its process. Of a host's crash the KVM learns by itself."""
        if r.host < 0:
            self.counting = {event: vcpu for event, vcpu in self.counting.items() if vcpu not in r.vcpus}

    HANDLERS: ClassVar = {CounterEvent: _counter, VcpuMoved: _moved, Rest: _rest, Crash: _crash}


def _cpu(cpu: int) -> str:
    return "no CPU" if cpu < 0 else f"cpu{cpu}"
