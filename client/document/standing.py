"""The verdicts of each design: rules by its axes, invariants by the matrix of the whole library."""

from __future__ import annotations

import msgspec

from client.matrix.cell import Cell
from client.matrix.summary import Worst, worst

LOST = "drop Revoke 1"
"""The fault of the second matrix."""


class Standings(msgspec.Struct):
    """Invariant to design to the worst verdict of all scenarios. ``delivered``: with every message delivered.
    ``lossy``: with the first Revoke lost, in the scenarios and designs that have one."""

    scenarios: int
    delivered: dict[str, dict[str, Worst]]
    lossy: dict[str, dict[str, Worst]]


def standings(designs: list[str], cells: list[Cell], lossy: list[Cell]) -> Standings:
    met = [cell for cell in lossy if not cell.unmet]
    return Standings(len({cell.scenario for cell in cells}), worst(cells, designs), worst(met, designs))
