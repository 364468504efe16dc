"""Moves of a walk as text, in the words of ``lbrlab step`` and of a tape.

    take kvm0>host 1 Hello; step host+vm0/0; f

A move is one step or several, with ``;`` between them: a decision as a tape has it, ``n`` or ``n 5`` for decisions of
the default schedule, as many as are left, or ``f``, with which the default schedule goes on to the end of the run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from client.schedule.decisions import parse_decision
from client.walk.walk import Walk
from contract.errors import InputError

_USUAL = re.compile(r"n(?: ([1-9][0-9]{0,8}))?")


def make_moves(walk: Walk, moves: Sequence[str], limit: int) -> list[str]:
    """Make these moves; gives them again with every decision in full. ``limit``: the most decisions of the walk, but
    for those behind ``f``. Raises InputError that names the move, from 1, and SystemFailedError as ``Walk.take``."""
    made = []
    for number, move in enumerate(moves, 1):
        before, taken = len(walk.moves), len(walk.tape)
        try:
            for step in move.split(";"):
                _make(walk, step.strip(), limit)
        except InputError as error:
            raise InputError(str(error), f"move {number}") from None
        del walk.moves[before + 1 :]
        made.append(";".join([*map(str, walk.tape[taken:]), *(["f"] if walk.over else [])]))
    return made


def _make(walk: Walk, step: str, limit: int) -> None:
    left = limit - len(walk.tape)
    usual = _USUAL.fullmatch(step)
    if step == "f":
        walk.finish()
    elif (count := int(usual[1] or 1) if usual else 1) > left:
        raise InputError(f"a walk takes at most {limit} decisions before 'f'")
    elif usual:
        if not walk.go_on(count):
            raise InputError("the default schedule is at its end; 'f' ends the run")
    else:
        try:
            decision = parse_decision(step)
        except ValueError as error:
            raise InputError(f"{step[:80]!r}: expected n, n 5, f, or a decision: {error}") from None
        walk.take([decision])
