"""The document of ``matrix --json``."""

from __future__ import annotations

import msgspec

from client.baseline import Compared
from client.matrix.cell import Cell
from client.matrix.summary import Worst


class MatrixDocument(msgspec.Struct):
    """``matrix``. ``cells``: each run, by scenario and design, with its run file. ``worst``: invariant to design to the
    worst verdict, and the scenarios that have it. ``cut_short``: why scenarios are missing, "" if none is.
    ``baseline``: the surprises of all cells compared with a baseline, null without one. ``misfits``: each rule of
    ``faults`` that names a service, a vCPU or a VM which some scenarios do not have, to these scenarios."""

    verdict: str
    exit_code: int
    cut_short: str
    kernel: str | None
    faults: list[str]
    designs: list[str]
    cells: list[Cell]
    worst: dict[str, dict[str, Worst]]
    baseline: Compared | None = None
    misfits: dict[str, list[str]] = {}
