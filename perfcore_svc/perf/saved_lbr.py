"""An LBR in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(slots=True, eq=False)
class SavedLbr:
    """A task's saved LBR (``struct x86_perf_task_context``), or a guest's: entries newest first, ``valid`` if there is
    a copy. ``whole``: of the whole ring, which is always put back."""

    valid: bool = False
    whole: bool = False
    tos: int = 0
    select: int = 0
    from_ip: list[int] = field(default_factory=list)
    to_ip: list[int] = field(default_factory=list)
    info: list[int] = field(default_factory=list)
    log_id: int = 0
    callstack_users: int = 0

    def __deepcopy__(self, memo: dict[int, object]) -> SavedLbr:
        """Not entry by entry: they are numbers."""
        return replace(self, from_ip=self.from_ip[:], to_ip=self.to_ip[:], info=self.info[:])
