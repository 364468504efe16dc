"""The work that one shrinking may take. It is counted in runs and decisions, not in seconds, so that a run is shrunk to
the same run on every machine, however busy it is."""

from __future__ import annotations

from dataclasses import dataclass

RUNS_LIMIT = 5_000
"""Runs that a shrinking may play."""
DECISIONS_LIMIT = 500_000
"""Decisions of these runs together. Runs that only repeat themselves are long."""


class EnoughError(Exception):
    """A shrinking has taken as much work as it may."""


@dataclass(slots=True)
class Budget:
    """The work that is left."""

    runs: int = RUNS_LIMIT
    decisions: int = DECISIONS_LIMIT

    def begin(self) -> None:
        """Count a run that is about to be played. Raises EnoughError where nothing is left."""
        if self.runs <= 0 or self.decisions <= 0:
            raise EnoughError
        self.runs -= 1

    def end(self, decisions: int) -> None:
        """Count the decisions of a run that was played."""
        self.decisions -= decisions
