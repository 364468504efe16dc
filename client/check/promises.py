"""The promise to a guest: the last PERF_CAPABILITIES that it read, or that KVM took from its user space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import ClassVar, Self

from client.check.monitor import Monitor
from client.check.world import World, vm_of
from contract.trace import Access, Crash, UserMsr
from contract.x86 import IA32_PERF_CAPABILITIES, LBR_FMT_MASK


class PromiseKeeper(Monitor, ABC):
    """Calls ``judge_access`` for every intercepted access, except reads of PERF_CAPABILITIES that succeed."""

    __slots__ = ("promised",)

    promised: dict[str, int]
    """VM to the value of PERF_CAPABILITIES. User space gives all vCPUs of a VM the same value."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.promised = {}

    def clone(self, world: World) -> Self:
        twin = super().clone(world)
        twin.promised = self.promised.copy()
        return twin

    def key(self) -> tuple[Hashable, ...]:
        return *super().key(), frozenset(self.promised.items())

    def lbr_format(self, vcpu: str) -> int | None:
        """LBR_FMT as promised; None if nothing is known."""
        found = self.promised.get(vm_of(vcpu))
        return None if found is None else found & LBR_FMT_MASK

    def crashed(self, r: Crash) -> None:
        """User space sets up the VMs of a new life as they are configured."""
        if r.host < 0:
            for vcpu in r.vcpus:
                self.promised.pop(vm_of(vcpu), None)

    def promised_by(self, vcpu: str) -> int | None:
        """The record that shows the promise; None without evidence."""
        return self.noted("promised", vm_of(vcpu))

    def _promise(self, r: UserMsr | Access) -> None:
        self.promised[vm_of(r.vcpu)] = r.value
        self.note(r.seq, "promised", vm_of(r.vcpu))

    def _user_msr(self, r: UserMsr) -> None:
        if r.msr == IA32_PERF_CAPABILITIES and r.processed and not r.read:
            self._promise(r)

    def _access(self, r: Access) -> None:
        if r.msr == IA32_PERF_CAPABILITIES and not r.write and r.result == "done":
            self._promise(r)
        else:
            self.judge_access(r)

    @abstractmethod
    def judge_access(self, r: Access) -> None: ...

    HANDLERS: ClassVar = {UserMsr: _user_msr, Access: _access}
