from __future__ import annotations

from typing import ClassVar

from client.check.definition import Definition
from client.check.monitor import Monitor
from contract.provenance import origin_of
from contract.trace import SampleTaken


class HostClean(Monitor):
    __slots__ = ()

    name = "host-clean"
    definition = Definition(
        rules=("R12", "R13"),
        text=(
            "A host sample holds only branches that its event asked for: host branches of its task, or of any "
            "task on its CPU, that pass its filter. Guest branches are never among them, because a guest runs "
            "under its own DEBUGCTL."
        ),
        broken_by="A sample with an entry that its event did not ask for.",
        evidence="A sample with at least one entry.",
        reads={
            SampleTaken: "the entries of the sample",
        },
        unseen="Entries that are absent; these are the subject of host-served.",
    )

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
                self.violated(
                    r.seq, f"the sample of {r.name} holds {self.world.who(value)}", self.world.opened_by(event)
                )
                return

    HANDLERS: ClassVar = {SampleTaken: _sample}
