"""What the player needs of a wire. Both wires give the same trace for the same calls."""

from __future__ import annotations

from typing import Protocol

from contract.control import AnyKvmCommand, AnyPerfCommand, AnyResult
from contract.inbox import Fate
from contract.trace import TraceLog


class Wire(Protocol):
    """One perf core and the KVMs attached to it. ``log`` holds every record so far, the player's own included.

    Every call is complete when it returns: all records it caused, on either side, are in ``log``.
    Raises RefusedError where a core refuses, SystemFailedError where a service fails.
    """

    name: str
    log: TraceLog

    def perf(self, command: AnyPerfCommand) -> AnyResult: ...

    def kvm(self, session: str, command: AnyKvmCommand) -> AnyResult: ...

    def decide(self, receiver: str, fate: Fate, session: str, n: int) -> None:
        """What becomes of message ``n`` of ``session`` in the inbox of ``receiver`` (HOST or a session name)."""

    def begin(self) -> None:
        """A new run: an empty log, nothing in flight. The configure commands follow."""

    def close(self) -> None: ...
