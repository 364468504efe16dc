"""The document of ``matrix --json``."""

from __future__ import annotations

import msgspec

from client.baseline import Compared
from client.matrix.cell import Cell
from client.matrix.summary import Worst


class MatrixDocument(msgspec.Struct):
    """``matrix``. ``cells``: each run of it, by scenario and design, with its run file. ``worst``: invariant to design
    to the worst verdict, and the scenarios in which it came out so. ``cut_short``: why not all scenarios are there, ""
    if they are. ``baseline``: the surprises of all cells against a baseline, null without one."""

    verdict: str
    exit_code: int
    cut_short: str
    kernel: str | None
    faults: list[str]
    designs: list[str]
    cells: list[Cell]
    worst: dict[str, dict[str, Worst]]
    baseline: Compared | None = None
