"""A transition table: the next phase for each phase and input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from contract.errors import LocalContractError

P = TypeVar("P", bound=StrEnum)
I = TypeVar("I", bound=StrEnum)  # noqa: E741


@dataclass(frozen=True, slots=True)
class TransitionTable(Generic[P, I]):
    subject: str
    """The thing that has these phases, for error messages: ``a session``."""
    transitions: Mapping[tuple[P, I], P]
    """The inputs that change the phase, with the new phase."""
    unmoved: frozenset[tuple[P, I]]
    """The inputs that leave it as it is. Any other pair is an error of this program."""

    def after(self, phase: P, given: I) -> P:
        """The next phase. Raises LocalContractError for a pair that is in neither table."""
        if (phase, given) in self.unmoved:
            return phase
        if (phase, given) not in self.transitions:
            raise LocalContractError(f"{self.subject} that is {phase} cannot meet: {given}")
        return self.transitions[phase, given]
