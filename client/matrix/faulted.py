"""A cell of a table of designs by kinds of faults, as ``contract`` and ``matrix --faults all`` print it."""

from __future__ import annotations

import msgspec

NO_FAULT = "none"
"""The kind of the runs without faults."""


class UnderFault(msgspec.Struct):
    """``runs``: those in which the fault was met, or all without faults. ``violated``: those of them that break
    something."""

    runs: int
    violated: int

    @property
    def share(self) -> str:
        """Broken of all; a dot if the fault was met in no run."""
        return f"{self.violated}/{self.runs}" if self.runs else "."
