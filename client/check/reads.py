"""Reads of LBR entries that a guest was served, passed through or emulated: the one thing several monitors look at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from client.check.monitor import Monitor
from contract.trace import Access, GuestMsr
from contract.x86 import LbrModel


def is_address(model: LbrModel, msr: int) -> bool:
    """Whether this is a FROM or TO register."""
    return model.from_base <= msr < model.from_base + model.depth or (
        model.to_base <= msr < model.to_base + model.depth
    )


class GuestReads(Monitor, ABC):
    """Calls ``served`` for every read of a FROM or TO register that gave the guest a value from the hardware."""

    __slots__ = ()

    def _guest_msr(self, r: GuestMsr) -> None:
        if not r.fault and not r.write and is_address(self.world.model, r.msr):
            self.served(r)

    def _access(self, r: Access) -> None:
        if r.result == "done" and not r.write and is_address(self.world.model, r.msr):
            self.served(r)

    @abstractmethod
    def served(self, r: GuestMsr | Access) -> None: ...

    HANDLERS: ClassVar = {GuestMsr: _guest_msr, Access: _access}
