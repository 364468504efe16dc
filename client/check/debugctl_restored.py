from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Self

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.world import World
from contract.trace import Crash, VmEntry, VmExit


class DebugctlRestored(Monitor):
    __slots__ = ("entries",)

    name = "debugctl-restored"
    definition = Definition(
        rules=("R17",),
        text="After a VM-exit the host's DEBUGCTL has the value that it had before the entry.",
        broken_by="A VM-exit after which the host's DEBUGCTL differs from its value just before the entry.",
        evidence="A VM-exit where the host or the guest had a DEBUGCTL other than 0.",
        reads={
            VmEntry: "the host's DEBUGCTL before, the guest's after",
            VmExit: "the host's DEBUGCTL after the exit",
            Crash: "CPUs that are at reset, because their host is without power",
        },
        unseen="DEBUGCTL between the exit and KVM's first instructions: an NMI may be handled there.",
        excuses=(
            (
                "crash perfcore",
                "A guest that was in guest mode does not exit, so there is no value to restore: DEBUGCTL is 0 "
                "after the reset.",
            ),
        ),
    )

    entries: dict[int, tuple[int, int]]
    """CPU to DEBUGCTL at its last VM entry: the host's value just before, and the guest's."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.entries = {}

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.entries = self.entries.copy()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        return *super().key(), frozenset(self.entries.items())

    def _entry(self, r: VmEntry) -> None:
        self.entries[r.cpu] = r.host_debugctl, r.debugctl

    def _exit(self, r: VmExit) -> None:
        if r.cpu not in self.entries:
            return
        before, guests = self.entries[r.cpu]
        if before or guests:
            self.exercised = True
        if r.debugctl != before:
            text = f"DEBUGCTL of cpu{r.cpu} was {before:#x} before the entry and is {r.debugctl:#x} after the exit"
            self.violated(r.seq, text, self.world.entered_by(r.cpu))

    def _crash(self, r: Crash) -> None:
        for cpu in self.world.cpus_of(r):
            self.entries.pop(cpu, None)

    HANDLERS: ClassVar = {VmEntry: _entry, VmExit: _exit, Crash: _crash}
