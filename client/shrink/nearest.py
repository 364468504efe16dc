"""The nearest schedule under which a run no longer violates its invariants: one change of its tape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from client.run.difference import Difference, first_difference
from client.schedule.decisions import is_fault
from client.shrink.budget import EnoughError
from client.shrink.candidate import Candidate, CandidatePlayer, Tape
from client.shrink.tapes import without_faults
from client.shrink.target import Target

SCHEDULES_LIMIT = 100
"""The most schedules that are tried."""


@dataclass(frozen=True, slots=True)
class Nearest:
    change: str
    """The change of the tape, in words."""
    case: Candidate
    difference: Difference
    """The first record that is another."""


def nearest(case: Candidate, target: Target, player: CandidatePlayer) -> tuple[Nearest | None, int]:
    """The first schedule that holds, and how many were tried, as far as the budget of the player goes. A schedule
    without one fault comes first, then those with one decision moved, by how far it moves."""
    tried = 0
    for change, tape in _changed(case):
        if tried == SCHEDULES_LIMIT:
            break
        try:
            other = player.play(case.scenario, tape)
        except EnoughError:
            break
        tried += 1
        if other is None or not target.avoided_by(other.run):
            continue
        difference = first_difference(case.run.records, other.run.records)
        if difference is not None:
            return Nearest(change, other, difference), tried
    return None, tried


def _changed(case: Candidate) -> Iterator[tuple[str, Tape]]:
    for number in case.faults:
        yield f"without '{case.tape[number]}'", without_faults(case, [number])
    tape = case.run.tape
    for far in range(1, len(tape)):
        for number in range(len(tape) - far):
            between = tape[number : number + far + 1]
            if between[0] == between[-1]:
                continue
            if not is_fault(between[-1]):
                earlier = [*tape[:number], between[-1], *between[:-1], *tape[number + far + 1 :]]
                yield f"'{between[-1]}' comes before '{between[0]}'", earlier
            if far > 1 and not is_fault(between[0]):
                later = [*tape[:number], *between[1:], between[0], *tape[number + far + 1 :]]
                yield f"'{between[0]}' comes after '{between[-1]}'", later
