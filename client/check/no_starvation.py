from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Self

from client.check.definition import Definition
from client.check.monitor import Liveness, Obligation
from client.check.world import World
from contract.reasons import END_OF_IOCTL
from contract.trace import Crash, Killed, Rest, VcpuWait, VcpuWake, VmEntry


class NoStarvation(Liveness):
    __slots__ = ("waiting",)

    name = "no-starvation"
    definition = Definition(
        rules=("R7", "R8", "R9", "R22"),
        text=(
            "A guest whose thread has a CPU runs. A run is at rest when nothing more happens by itself; this "
            "is after the last fault. A vCPU whose thread is on a CPU then must be able to continue: its thread "
            "does not sleep in KVM, and KVM knows the CPU. A thread that waits for an ioctl of its own user "
            "space is not judged, because user space has the mutex."
        ),
        broken_by=(
            "At rest, a vCPU whose thread is on a CPU of the host, while the thread sleeps in KVM, or KVM "
            "does not know that it is on that CPU."
        ),
        evidence="A VM entry, in a trace that comes to rest.",
        open_while="A guest was entered, or its thread sleeps in KVM on a CPU, and the trace does not come to rest.",
        reads={
            VcpuWait: "the message that the thread of a vCPU sleeps for",
            VcpuWake: "the thread no longer sleeps",
            VmEntry: "a guest that runs",
            Rest: "which task each CPU runs, and on which CPU KVM believes each vCPU",
            Crash: "guests of a KVM that is gone, and vCPUs that have ended: their threads sleep no more",
            Killed: "vCPUs that have ended with their threads",
        },
        unseen=(
            "A guest that continues too late, because time is not judged. A guest that is entered again and "
            "again and makes no progress. Whether the guest has code left: a thread on a CPU counts as a "
            "thread with code left."
        ),
        excuses=(
            (
                "crash kvm",
                "The thread of a vCPU need not run while its process is gone. After the restart it has to.",
            ),
            ("end thread", "A vCPU that has ended has no thread."),
            ("end vm", "As for end thread."),
        ),
    )

    waiting: dict[str, str]
    """Vcpu whose thread sleeps in KVM, to the message that it waits for."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.waiting = {}

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.waiting = self.waiting.copy()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        return *super().key(), frozenset(self.waiting.items())

    def _wait(self, r: VcpuWait) -> None:
        if r.message == END_OF_IOCTL:
            self.waiting.pop(r.vcpu, None)
        else:
            self.waiting[r.vcpu] = r.message
            self.note(r.seq, "waits", r.vcpu)

    def _wake(self, r: VcpuWake) -> None:
        self.waiting.pop(r.vcpu, None)

    def _entry(self, r: VmEntry) -> None:
        self.exercised = True

    def _rest(self, r: Rest) -> None:
        running = [{task: cpu for cpu, task in host.running.items()} for host in r.hosts]
        for host, kvm in zip(self.world.kvms.values(), r.kvm, strict=False):
            for view in kvm.vcpus:
                cpu = running[host].get(view.vcpu, -1)
                if cpu < 0:
                    continue
                if view.vcpu in self.waiting:
                    text = f"{view.vcpu} has a CPU and cannot continue: waits for {self.waiting[view.vcpu]}"
                    self.violated(r.seq, text, self.noted("waits", view.vcpu))
                elif view.cpu != cpu:
                    text = f"{view.vcpu} has a CPU and cannot continue: KVM has not taken SchedIn for cpu{cpu}"
                    self.violated(r.seq, text)

    def pending(self) -> list[Obligation]:
        if self.world.at_rest:
            return []
        on_cpu = {cpu.task for cpu in self.world.cpus}
        return [
            Obligation(self.noted("waits", vcpu) or 0, f"{vcpu} waits for {message}")
            for vcpu, message in self.waiting.items()
            if vcpu in on_cpu
        ]

    def _crash(self, r: Crash) -> None:
        if r.host < 0:
            for vcpu in r.vcpus:
                self.waiting.pop(vcpu, None)

    def _killed(self, r: Killed) -> None:
        for vcpu in r.vcpus:
            self.waiting.pop(vcpu, None)

    HANDLERS: ClassVar = {
        VcpuWait: _wait,
        VcpuWake: _wake,
        VmEntry: _entry,
        Rest: _rest,
        Crash: _crash,
        Killed: _killed,
    }
