"""The part that a service plays in a free run beside its core (``contract.wire.live``)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic

from contract.wire.service_run import C, ServiceRun


class FreePart(ABC, Generic[C]):
    """Its methods are called with the lock of the service held."""

    async def keep(self, run: ServiceRun[C]) -> None:
        """Called in each turn of a free run, before anything else."""

    async def leave(self, run: ServiceRun[C]) -> None:
        """The free run ends."""

    def passing(self, run: ServiceRun[C], now: int) -> Iterator[Any]:
        """The commands that let time pass up to ``now``, one after the other."""
        return iter(())

    @abstractmethod
    def firing(self, session: str, timer: str) -> Any:
        """The command that lets a timer of this end run out."""

    async def begin_step(self, run: ServiceRun[C], command: Any) -> bool:
        """Whether a command of the driver can begin now. If it can, nothing else happens at any service that it asks
        before ``end_step``."""
        return True

    async def end_step(self, run: ServiceRun[C], command: Any) -> None:
        """The command of ``begin_step`` is over."""
