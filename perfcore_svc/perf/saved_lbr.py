"""An LBR in memory."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from contract.canonical import bank


@dataclass(slots=True, eq=False)
class SavedLbr:
    """A task's saved LBR (``struct x86_perf_task_context``), or a guest's: entries newest first, ``valid`` if there is
    a copy. The lists are replaced, never changed. ``whole``: of the whole ring, which is always put back."""

    valid: bool = False
    whole: bool = False
    tos: int = 0
    select: int = 0
    from_ip: list[int] = field(default_factory=list)
    to_ip: list[int] = field(default_factory=list)
    info: list[int] = field(default_factory=list)
    log_id: int = 0
    callstack_users: int = 0

    def clone(self) -> SavedLbr:
        twin = SavedLbr(self.valid, self.whole, self.tos, self.select)
        twin.from_ip, twin.to_ip, twin.info = self.from_ip, self.to_ip, self.info
        twin.log_id, twin.callstack_users = self.log_id, self.callstack_users
        return twin

    def key(self) -> tuple[Hashable, ...]:
        """What was saved counts only while it is valid. Which one a CPU saved last is in the key of the CPU, and
        ``log_id`` matters for that alone."""
        if not self.valid:
            return self.whole, self.callstack_users
        entries = bank(self.from_ip), bank(self.to_ip), tuple(self.info)
        return self.whole, self.callstack_users, self.tos, self.select, entries
