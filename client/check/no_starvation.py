from __future__ import annotations

from typing import ClassVar

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.world import World
from contract.trace import End, VcpuWait, VcpuWake, VmEntry


class NoStarvation(Monitor):
    name = "no-starvation"
    about = "a guest whose thread has a CPU runs"
    liveness = True
    definition = Definition(
        text=(
            "A guest whose thread has a CPU runs. Judged at the end, which comes after the last fault: a guest that "
            "has code left to run and whose thread has a CPU can go on."
        ),
        broken_by="A guest that cannot go on at the end although its thread has a CPU and it has code left to run.",
        evidence="A guest that was entered, or that could not be, in a trace that reaches its end.",
        open_while="A guest was entered, or waits, and the trace ends before the run does.",
        reads={
            VcpuWait: "what the thread of a vCPU waits for",
            VcpuWake: "it waits no more",
            VmEntry: "a guest that runs",
            End: "guests that cannot go on",
        },
        unseen="A guest that goes on so slowly that it might as well not: time is not judged.",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.waiting: dict[str, int] = {}

    def _wait(self, r: VcpuWait) -> None:
        self.waiting[r.vcpu] = r.seq

    def _wake(self, r: VcpuWake) -> None:
        self.waiting.pop(r.vcpu, None)

    def _entry(self, r: VmEntry) -> None:
        self.exercised = True

    def _end(self, r: End) -> None:
        for vcpu, why in r.starved.items():
            self.violated(r.seq, f"{vcpu} has a CPU and cannot go on: {why}", self.waiting.get(vcpu))

    HANDLERS: ClassVar = {VcpuWait: _wait, VcpuWake: _wake, VmEntry: _entry, End: _end}
