from __future__ import annotations

from client.check.reads import GuestReads
from contract.trace import Access, GuestMsr


class GuestClean(GuestReads):
    """Entries only: what TOS and LBR_SELECT show of others is not judged. Exercised by any read of FROM or TO that the
    hardware served."""

    name = "guest-clean"
    about = "a guest reads only branches that it executed itself, or values that it wrote"

    def served(self, r: GuestMsr | Access) -> None:
        self.exercised = True
        if not r.value or r.value in self.world.written.get(r.vcpu, ()):
            return
        if self.world.owner(r.value) != (True, self.world.actor_numbers[r.vcpu]):
            self.violated(r.seq, f"{r.vcpu} reads {self.world.who(r.value)}")
