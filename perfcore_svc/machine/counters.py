"""The counters of branches, as the silicon sees them."""

from __future__ import annotations

from typing import Protocol

from perfcore_svc.machine.cpu import Cpu

NEVER = 1 << 62
"""More branches than a run has."""


class Counters(Protocol):
    """The interface of the object that counts retired branches."""

    def room(self, cpu: Cpu, privilege: str) -> int:
        """Branches of this level until a counter overflows on this CPU, in the mode it is in."""

    def overflow(self, cpu: Cpu, frozen: bool) -> None:
        """The interrupt of a counter that has; the CPU is in host mode. ``frozen``: LBRS_FROZEN holds the LBR still."""

    def enter_guest(self, cpu: Cpu) -> None:
        """Called as the last action of host software before an entry, interrupts off."""

    def leave_guest(self, cpu: Cpu) -> None:
        """Called as the first action of host software after an exit."""


class NoCounters:
    """Nothing overflows."""

    def room(self, cpu: Cpu, privilege: str) -> int:
        return NEVER

    def overflow(self, cpu: Cpu, frozen: bool) -> None:
        raise AssertionError("no counter is there to overflow")

    def enter_guest(self, cpu: Cpu) -> None:
        pass

    def leave_guest(self, cpu: Cpu) -> None:
        pass
