from __future__ import annotations

from typing import ClassVar

from client.check.definition import Definition
from client.check.reads import GuestReads
from contract.trace import Access, GuestMsr, VmEntry


class NoLeak(GuestReads):
    __slots__ = ()

    name = "no-leak"
    definition = Definition(
        rules=("R12", "R20"),
        text=(
            "No branch of the host or of another VM is readable by a guest. The guest need not read the "
            "branch to violate this. At each entry with the LBR passed through the ring holds nothing of the "
            "host or of another VM."
        ),
        broken_by=(
            "An entry with the LBR passed through and a foreign branch in FROM or TO, or a read that gives the guest "
            "one."
        ),
        evidence=(
            "A guest reads, or enters with the LBR passed through, on a CPU whose ring the host or another VM has "
            "recorded into."
        ),
        reads={
            GuestMsr: "reads that the hardware served to the guest",
            Access: "reads that KVM emulated",
            VmEntry: "whether the LBR is passed through",
        },
        unseen=(
            "TOS, LBR_SELECT and INFO of others. Branches of other vCPUs of the same VM are no leak: guest-clean "
            "judges them where they are read."
        ),
    )

    def _entry(self, r: VmEntry) -> None:
        if not r.passthrough:
            return
        self._note(r.cpu, r.vcpu)
        lbr = self.world.cpus[r.cpu].lbr
        for value in filter(None, (*lbr.from_ip, *lbr.to_ip)):
            if self._foreign(r.vcpu, value):
                self.violated(r.seq, f"{r.vcpu} enters with the LBR passed through and {self.world.who(value)} in it")
                return

    def served(self, r: GuestMsr | Access) -> None:
        self._note(r.cpu, r.vcpu)
        if r.value and self._foreign(r.vcpu, r.value):
            self.violated(r.seq, f"{r.vcpu} reads {self.world.who(r.value)}")

    def _note(self, cpu: int, vcpu: str) -> None:
        if not self.exercised:
            self.exercised = any(not self.world.same_vm(vcpu, user) for user in self.world.cpus[cpu].users)

    def _foreign(self, vcpu: str, value: int) -> bool:
        owner = self.world.owner(value)
        return owner is not None and not self.world.same_vm(vcpu, owner) and not self.world.wrote(vcpu, value)

    HANDLERS: ClassVar = GuestReads.HANDLERS | {VmEntry: _entry}
