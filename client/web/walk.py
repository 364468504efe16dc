"""A walk of the page: the inputs and the moves so far give where it stands. Nothing is kept between two requests."""

from __future__ import annotations

import msgspec

from client.page.html import page
from client.page.model import page_model
from client.run.file import encoded
from client.walk.moves import make_moves
from client.walk.walk import Walk
from client.web.play import Chosen, chosen
from contract.errors import InputError

MOVES_LIMIT = 2_000
DECISIONS_LIMIT = 2_000


class WalkAsked(Chosen, forbid_unknown_fields=True):
    """``moves``: those so far, as ``client.walk.moves`` has them."""

    moves: list[str] = msgspec.field(default_factory=list)


def walk_of(asked: WalkAsked) -> tuple[Walk, list[str]]:
    """The walk after these moves, and the moves with every decision in full. Raises InputError, which names the input
    or the move, and SystemFailedError if a side breaks the contract."""
    if len(asked.moves) > MOVES_LIMIT:
        raise InputError(f"expected at most {MOVES_LIMIT} moves, found {len(asked.moves)}", "moves")
    scenario, (design,), faults = chosen(asked, [asked.design])
    walk = Walk(scenario, design, faults)
    return walk, make_moves(walk, asked.moves, DECISIONS_LIMIT)


def report_of_walk(walk: Walk) -> str:
    """The page of the report of the run so far."""
    return page(page_model([walk.run]))


def file_of_walk(asked: WalkAsked) -> bytes:
    """The run file of the run so far. Raises InputError as ``walk_of``."""
    return encoded(walk_of(asked)[0].run)
