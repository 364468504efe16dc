from __future__ import annotations

from typing import ClassVar

from client.check.monitor import Monitor
from contract.provenance import origin_of
from contract.trace import SampleTaken


class HostClean(Monitor):
    """An event asks for host-mode branches of its scope (its task, or anybody on its CPU) that pass its filter. Guest
    branches are never among them: a guest runs under its own DEBUGCTL. Exercised by a sample with entries."""

    name = "host-clean"
    about = "a host sample holds only what its event asked for"

    def _sample(self, r: SampleTaken) -> None:
        event = self.world.events[r.event]
        for value in filter(None, r.from_ip):
            self.exercised = True
            origin = origin_of(value)
            if origin is None or origin.guest or origin.actor >= len(self.world.actors):
                asked = False
            else:
                asked = event.wants(self.world.actors[origin.actor], origin.kind, origin.privilege)
            if not asked:
                self.violated(r.seq, f"the sample of {r.name} holds {self.world.who(value)}", event.opened.seq)
                return

    HANDLERS: ClassVar = {SampleTaken: _sample}
