from __future__ import annotations

from typing import ClassVar

from client.check.reads import GuestReads
from contract.trace import Access, GuestMsr, VmEntry


class NoLeak(GuestReads):
    """Readable is enough: at each entry with the LBR passed through the ring must hold nothing of the host or of
    another VM. Exercised once such a guest may read the ring of a CPU that the host or another VM has recorded on."""

    name = "no-leak"
    about = "no branch of the host or of another VM is readable by a guest"

    def _entry(self, r: VmEntry) -> None:
        if not r.passthrough:
            return
        self._note(r.cpu, r.vcpu)
        lbr = self.world.cpus[r.cpu].lbr
        for value in (*lbr.from_ip, *lbr.to_ip):
            if value and self._foreign(r.vcpu, value):
                self.violated(r.seq, f"{r.vcpu} enters with the LBR passed through and {self.world.who(value)} in it")
                return

    def served(self, r: GuestMsr | Access) -> None:
        self._note(r.cpu, r.vcpu)
        if r.value and self._foreign(r.vcpu, r.value):
            self.violated(r.seq, f"{r.vcpu} reads {self.world.who(r.value)}")

    def _note(self, cpu: int, vcpu: str) -> None:
        if any(not self.world.same_vm(vcpu, user) for user in self.world.cpus[cpu].users):
            self.exercised = True

    def _foreign(self, vcpu: str, value: int) -> bool:
        owner = self.world.owner(value) if value not in self.world.written.get(vcpu, ()) else None
        return owner is not None and not self.world.same_vm(vcpu, owner)

    HANDLERS: ClassVar = GuestReads.HANDLERS | {VmEntry: _entry}
