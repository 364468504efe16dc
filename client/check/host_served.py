from __future__ import annotations

from typing import ClassVar

from client.check.monitor import Monitor
from contract.provenance import origin_of
from contract.trace import Retired, SampleTaken


class HostServed(Monitor):
    """While a host LBR event is ACTIVE, each host branch that it asked for is recorded, and a sample holds those of
    them that the ring still has. Exercised by such a branch."""

    name = "host-served"
    about = "an ACTIVE host LBR event does get its branches"

    def _retired(self, r: Retired) -> None:
        if r.guest:
            return
        actor = self.world.actors[r.actor]
        for event in self.world.host_lbr_events(r.cpu):
            if event.wants(actor, r.branch, r.privilege):
                self.exercised = True
                if not r.recorded:
                    name = event.opened.name
                    text = f"{name} is ACTIVE on cpu{r.cpu}, but {r.count} branches of the host are not recorded"
                    self.violated(r.seq, text, event.opened.seq)

    def _sample(self, r: SampleTaken) -> None:
        event = self.world.events[r.event]
        due = 0
        for value in self.world.cpus[r.cpu].lbr.from_ip:
            origin = origin_of(value)
            if origin is None or origin.guest or origin.serial < event.since or value in r.from_ip:
                continue
            due += event.wants(self.world.actors[origin.actor], origin.kind, origin.privilege)
        if due:
            text = f"the sample of {r.name} lacks {due} branches that it asked for and that the LBR holds"
            self.violated(r.seq, text, event.opened.seq)

    HANDLERS: ClassVar = {Retired: _retired, SampleTaken: _sample}
