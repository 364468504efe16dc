"""Reads of LBR entries that a guest was served, passed through or emulated. Several monitors use them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from client.check.monitor import Monitor
from contract.trace import Access, GuestMsr


class GuestReads(Monitor, ABC):
    """Calls ``served`` for every read of a FROM or TO register that gave the guest a value from the hardware."""

    __slots__ = ()

    def _guest_msr(self, r: GuestMsr) -> None:
        if not r.fault and not r.write and r.msr in self.world.address_msrs:
            self.served(r)

    def _access(self, r: Access) -> None:
        if r.result == "done" and not r.write and r.msr in self.world.address_msrs:
            self.served(r)

    @abstractmethod
    def served(self, r: GuestMsr | Access) -> None: ...

    HANDLERS: ClassVar = {GuestMsr: _guest_msr, Access: _access}
