from __future__ import annotations

from typing import ClassVar

from client.check.definition import Definition
from client.check.monitor import Monitor
from client.check.world import World
from contract.trace import VmEntry, VmExit


class DebugctlRestored(Monitor):
    name = "debugctl-restored"
    definition = Definition(
        text="After a VM-exit the host's DEBUGCTL is what it was before the entry.",
        broken_by="A VM-exit after which the host's DEBUGCTL differs from its value just before the entry.",
        evidence="A VM-exit where the host or the guest had a DEBUGCTL other than 0.",
        reads={
            VmEntry: "the host's DEBUGCTL before, the guest's after",
            VmExit: "the host's DEBUGCTL after the exit",
        },
        unseen="DEBUGCTL between the exit and KVM's first instructions: an NMI may be handled there.",
    )

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.entries: dict[int, VmEntry] = {}

    def _entry(self, r: VmEntry) -> None:
        self.entries[r.cpu] = r

    def _exit(self, r: VmExit) -> None:
        entry = self.entries.get(r.cpu)
        if entry is None:
            return
        if entry.debugctl or entry.host_debugctl:
            self.exercised = True
        if r.debugctl != entry.host_debugctl:
            before, after = f"{entry.host_debugctl:#x} before the entry", f"{r.debugctl:#x} after the exit"
            text = f"DEBUGCTL of cpu{r.cpu} was {before} and is {after}"
            self.violated(r.seq, text, entry.seq)

    HANDLERS: ClassVar = {VmEntry: _entry, VmExit: _exit}
