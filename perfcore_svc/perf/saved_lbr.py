"""An LBR in memory."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from contract.canonical import bank


@dataclass(slots=True, eq=False)
class SavedLbr:
    """The saved LBR of a task (``struct x86_perf_task_context``) or of a guest. The lists are replaced, never
    changed."""

    valid: bool = False
    """There is a copy."""
    whole: bool = False
    """It is a copy of the whole ring, which is always restored."""
    tos: int = 0
    """LBR_TOS of the copy."""
    select: int = 0
    """LBR_SELECT of the copy; 0: not saved."""
    from_ip: list[int] = field(default_factory=list)
    """FROM of each entry, newest first."""
    to_ip: list[int] = field(default_factory=list)
    """TO of each entry, newest first."""
    info: list[int] = field(default_factory=list)
    """INFO of each entry, newest first."""
    log_id: int = 0
    """Number of the newest save. It shows whether another save followed."""
    callstack_users: int = 0
    """Number of events that are on and need the copy."""

    def clone(self) -> SavedLbr:
        twin = SavedLbr(self.valid, self.whole, self.tos, self.select)
        twin.from_ip, twin.to_ip, twin.info = self.from_ip, self.to_ip, self.info
        twin.log_id, twin.callstack_users = self.log_id, self.callstack_users
        return twin

    def key(self) -> tuple[Hashable, ...]:
        """The contents are in the key only while they are valid. The key of the CPU shows which copy it saved last, so
        ``log_id`` is left out."""
        if not self.valid:
            return self.whole, self.callstack_users
        entries = bank(self.from_ip), bank(self.to_ip), tuple(self.info)
        return self.whole, self.callstack_users, self.tos, self.select, entries
