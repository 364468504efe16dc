"""Where a session stands: every input in every phase."""

from __future__ import annotations

import pytest

from contract.errors import LocalContractError
from contract.session.phases import SESSION, TRANSITIONS, UNMOVED, SessionInput, SessionPhase
from tests.cases import cases

# The next phase for each input and phase: a phase, "-" for no change, "!" if it cannot happen.
TABLE = """
          GREET    GREETED WELCOMED REFUSE  LOSE DRAIN    LEAVE   END
closed    greeting open    !        refused lost !        !       ended
greeting  !        !       open     refused lost draining !       ended
open      !        -       -        refused lost draining !       ended
lost      greeting open    -        -       -    -        !       ended
draining  !        -       -        -       lost -        leaving ended
leaving   !        -       -        -       lost -        !       ended
refused   greeting open    open     -       -    !        !       ended
ended     -        -       -        -       -    -        -       -
"""
HEAD, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
CELLS = [
    (SessionPhase(phase), SessionInput[name], cell)
    for phase, *cells in ROWS
    for name, cell in zip(HEAD, cells, strict=True)
]


def test_the_table_has_every_phase_and_input() -> None:
    assert {(phase, given) for phase, given, _ in CELLS} == {
        (phase, given) for phase in SessionPhase for given in SessionInput
    }


@cases(("phase", "given", "becomes"), CELLS, ids=lambda v: getattr(v, "name", v))
def test_what_an_input_makes_of_a_phase(phase: SessionPhase, given: SessionInput, becomes: str) -> None:
    if becomes == "!":
        with pytest.raises(LocalContractError, match=f"a session that is {phase} cannot meet"):
            SESSION.after(phase, given)
    else:
        assert SESSION.after(phase, given) is (phase if becomes == "-" else SessionPhase(becomes))


def test_an_input_either_moves_a_phase_or_does_not() -> None:
    assert not UNMOVED & TRANSITIONS.keys()


def test_every_phase_can_be_reached() -> None:
    reached = {SessionPhase.CLOSED}
    for _ in SessionPhase:
        reached |= {to for (phase, _), to in TRANSITIONS.items() if phase in reached}
    assert reached == set(SessionPhase)
