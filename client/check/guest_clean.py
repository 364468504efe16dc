from __future__ import annotations

from client.check.definition import Definition
from client.check.reads import GuestReads
from contract.trace import Access, GuestMsr


class GuestClean(GuestReads):
    __slots__ = ()

    name = "guest-clean"
    definition = Definition(
        rules=("R20",),
        text=(
            "A guest reads only branches that it executed itself, or values that it or its user space wrote into the "
            "LBR."
        ),
        broken_by=(
            "A read of a FROM or TO register that gives the guest a branch of the host, of another VM or of another "
            "vCPU."
        ),
        evidence="A read of a FROM or TO register that the hardware served, passed through or emulated.",
        reads={
            GuestMsr: "reads that the hardware served to the guest",
            Access: "reads that KVM emulated",
        },
        unseen=(
            "TOS, LBR_SELECT and INFO of others, which hold no address. Entries that a guest could have read "
            "but did not are the subject of no-leak."
        ),
    )

    def served(self, r: GuestMsr | Access) -> None:
        self.exercised = True
        if not r.value or self.world.wrote(r.vcpu, r.value):
            return
        if self.world.owner(r.value) != (True, self.world.actor_numbers[r.vcpu]):
            self.violated(r.seq, f"{r.vcpu} reads {self.world.who(r.value)}")
