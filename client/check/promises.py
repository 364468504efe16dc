"""The promise to a guest: the last PERF_CAPABILITIES that it read, or that KVM took from its user space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from client.check.monitor import Monitor
from client.check.world import World
from contract.trace import Access, UserMsr
from contract.x86 import IA32_PERF_CAPABILITIES, LBR_FMT_MASK


class PromiseKeeper(Monitor, ABC):
    """Calls ``judge_access`` for every intercepted access but reads of PERF_CAPABILITIES that succeed.

    ``promised``: VM to the value of PERF_CAPABILITIES and the number of the record that shows it. User space sets all
    vCPUs of a VM alike."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.promised: dict[str, tuple[int, int]] = {}

    def lbr_format(self, vcpu: str) -> tuple[int | None, int | None]:
        """LBR_FMT as promised (None: nothing is known) and the record that shows it."""
        found = self.promised.get(_vm(vcpu))
        return (None, None) if found is None else (found[0] & LBR_FMT_MASK, found[1])

    def _user_msr(self, r: UserMsr) -> None:
        if r.msr == IA32_PERF_CAPABILITIES and r.taken and not r.read:
            self.promised[_vm(r.vcpu)] = r.value, r.seq

    def _access(self, r: Access) -> None:
        if r.msr == IA32_PERF_CAPABILITIES and not r.write and r.result == "done":
            self.promised[_vm(r.vcpu)] = r.value, r.seq
        else:
            self.judge_access(r)

    @abstractmethod
    def judge_access(self, r: Access) -> None: ...

    HANDLERS: ClassVar = {UserMsr: _user_msr, Access: _access}


def _vm(vcpu: str) -> str:
    return vcpu.split("/")[0]
