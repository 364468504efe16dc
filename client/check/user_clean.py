from __future__ import annotations

from typing import ClassVar

from client.check.definition import Definition
from client.check.monitor import Monitor
from contract.trace import UserMsr


class UserClean(Monitor):
    __slots__ = ()

    name = "user-clean"
    definition = Definition(
        rules=("R20",),
        text=(
            "KVM_GET_MSRS gives user space no address of a branch that the host or another VM executed. A "
            "value that the guest or its user space wrote into the LBR may look like such an address; it does "
            "not count."
        ),
        broken_by="A read of FROM or TO by user space that gives a branch of the host or of another VM.",
        evidence="A read of FROM or TO that KVM answered with a value other than 0.",
        reads={
            UserMsr: "the values that KVM_GET_MSRS returned",
        },
        unseen="TOS, LBR_SELECT and INFO, which hold no address. The values that a migration copies are not judged.",
    )

    def _user_msr(self, r: UserMsr) -> None:
        if not r.read or not r.processed or not r.value or r.msr not in self.world.address_msrs:
            return
        self.exercised = True
        owner = self.world.owner(r.value)
        if owner is None or self.world.wrote(r.vcpu, r.value) or self.world.same_vm(r.vcpu, owner):
            return
        caller = r.task or "its own thread"
        self.violated(r.seq, f"user space of {r.vcpu} ({caller}) reads {self.world.who(r.value)}")

    HANDLERS: ClassVar = {UserMsr: _user_msr}
