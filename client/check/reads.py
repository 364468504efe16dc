"""Reads of LBR entries that a guest was served, passed through or emulated: the one thing several monitors look at."""

from __future__ import annotations

from typing import ClassVar

from client.check.monitor import Monitor
from contract.trace import Access, GuestMsr


class GuestReads(Monitor):
    """Calls ``served`` for every read of a FROM or TO register that gave the guest a value from the hardware, and
    ``wrote`` for every write that reached it."""

    def _is_address(self, msr: int) -> bool:
        model = self.world.model
        return model.from_base <= msr < model.from_base + model.depth or (
            model.to_base <= msr < model.to_base + model.depth
        )

    def _guest_msr(self, r: GuestMsr) -> None:
        if not r.fault and self._is_address(r.msr):
            self._reached(r)

    def _access(self, r: Access) -> None:
        if r.result == "done" and self._is_address(r.msr):
            self._reached(r)

    def _reached(self, r: GuestMsr | Access) -> None:
        if r.write:
            self.wrote(r)
        else:
            self.served(r)

    def served(self, r: GuestMsr | Access) -> None:
        raise NotImplementedError

    def wrote(self, r: GuestMsr | Access) -> None:
        pass

    HANDLERS: ClassVar = {GuestMsr: _guest_msr, Access: _access}
