"""The summary of the cells of a matrix: the worst verdict of each invariant under each design."""

from __future__ import annotations

import msgspec

from client.matrix.cell import Cell
from contract.invariants import INVARIANTS

WORST_FIRST = ("violated", "held", "open", "not exercised")


class Worst(msgspec.Struct):
    """``scenarios``: those with this verdict."""

    verdict: str
    scenarios: list[str]


def worst(cells: list[Cell], designs: list[str]) -> dict[str, dict[str, Worst]]:
    """Invariant to design to the worst verdict of all scenarios."""
    found: dict[str, dict[str, Worst]] = {}
    for invariant in INVARIANTS:
        found[invariant] = {design: _worst_of(cells, design, invariant) for design in designs}
    return found


def _worst_of(cells: list[Cell], design: str, invariant: str) -> Worst:
    by_verdict: dict[str, list[str]] = {}
    for cell in cells:
        if cell.design == design and invariant in cell.invariants:
            by_verdict.setdefault(cell.invariants[invariant], []).append(cell.scenario)
    verdict = next((v for v in WORST_FIRST if v in by_verdict), "not exercised")
    return Worst(verdict, by_verdict.get(verdict, []))


def overall(cells: list[Cell]) -> str:
    """One verdict for the whole matrix: the worst of all cells."""
    verdicts = {cell.verdict for cell in cells}
    order = ("failed", "violated", "undecided", "impossible", "expected", "held")
    return next((verdict for verdict in order if verdict in verdicts), "undecided")
