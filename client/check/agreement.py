from __future__ import annotations

from typing import ClassVar

from client.check.definition import Definition
from client.check.monitor import Monitor
from contract.control import EventView, PerfView, VcpuView
from contract.trace import Rest


class Agreement(Monitor):
    name = "agreement"
    about = "at rest both sides hold the same view of threads, events, grants and passthrough"
    definition = Definition(
        text=(
            "When nothing is in flight both sides hold the same view: where each vCPU's thread is, which event stands "
            "for it, whether a grant is out (where the design tells KVM at all), and that nobody has the LBR passed "
            "through without an ACTIVE event."
        ),
        broken_by="A view of KVM at rest that differs from the host's.",
        evidence="A run that came to rest with a VM.",
        reads={
            Rest: "the views of all hosts and of all KVMs",
        },
        unseen="Views while messages are under way: they may differ then.",
    )

    def _rest(self, r: Rest) -> None:
        kvms = [(self.world.kvms[name], kvm) for name, kvm in zip(self.world.kvms, r.kvm, strict=False)]
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
            self._event(r, view, unclaimed.pop(view.event, None), loaded=cpu >= 0)
        for event in unclaimed.values():
            self.violated(r.seq, f"the host keeps event {event.event} for {event.vcpu}, KVM knows nothing of it")

    def _event(self, r: Rest, view: VcpuView, event: EventView | None, *, loaded: bool) -> None:
        if view.event and event is None:
            self.violated(r.seq, f"{view.vcpu} believes in event {view.event}, the host has none such")
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

    HANDLERS: ClassVar = {Rest: _rest}


def _cpu(cpu: int) -> str:
    return "no CPU" if cpu < 0 else f"cpu{cpu}"
