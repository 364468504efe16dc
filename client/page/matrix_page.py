"""The page of a matrix: scenarios against designs, the worst verdict of each invariant, and every run."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from client.matrix.cell import Cell
from client.matrix.pool import Row
from client.matrix.summary import Worst
from client.page.tables import Grid, ListRow, RowList, Section, TableCell, anchor_of, tables_page
from client.report.tables import MATRIX_LEGEND, WORST_LEGEND, letter_of
from contract.invariants import ABOUT, INVARIANTS

KINDS = {"X": "bad", "x": "bad", "!": "bad", "v": "open", "?": "open", "+": "good", "e": "good", "/": "idle"}
"""The colour of each letter of a cell."""
Command = Callable[[str, str], str]
"""The command that plays the run of a scenario under a design."""


def matrix_page(
    rows: Sequence[Row],
    designs: Sequence[str],
    summary: dict[str, dict[str, Worst]],
    about: str,
    target: Path,
    command: Command,
) -> str:
    sections = [
        Section("Scenarios", [_verdicts(rows, designs)]),
        Section("Invariants", [worst_grid("The worst verdict of all scenarios", summary, designs, "w")]),
        Section("Breaches", [breaches(summary, designs, "w", command)]),
        Section("Runs", [_runs(rows)]),
    ]
    return tables_page(f"{len(designs)} designs in {len(rows)} scenarios", about, sections, target)


def _verdicts(rows: Sequence[Row], designs: Sequence[str]) -> Grid:
    found = [(row[0].scenario, [_cell(cell) for cell in row]) for row in rows]
    return Grid("The verdict of each run", ["scenario", *designs], found, MATRIX_LEGEND)


def _cell(cell: Cell) -> TableCell:
    letter = letter_of(cell)
    return TableCell(letter, KINDS[letter], anchor_of("run", cell.scenario, cell.design))


def _runs(rows: Sequence[Row]) -> RowList:
    found = [
        ListRow(
            anchor_of("run", cell.scenario, cell.design),
            (cell.scenario, cell.design, cell.verdict, ", ".join(cell.broken), cell.reason),
            f"lbrlab show {shlex.quote(cell.run)}" if cell.run else "",
            cell.run,
        )
        for row in rows
        for cell in row
    ]
    return RowList("Each run", ["scenario", "design", "verdict", "violated", "reason"], found)


def worst_grid(caption: str, summary: dict[str, dict[str, Worst]], designs: Sequence[str], prefix: str) -> Grid:
    """Invariants against designs. A violation leads to its row of ``breaches`` with the same ``prefix``."""
    rows = [
        (invariant, [_worst(summary[invariant][design], anchor_of(prefix, invariant, design)) for design in designs])
        for invariant in INVARIANTS
    ]
    return Grid(caption, ["invariant", *designs], rows, WORST_LEGEND)


def _worst(found: Worst, anchor: str) -> TableCell:
    if found.verdict == "violated":
        return TableCell(f"X{len(found.scenarios)}", "bad", anchor)
    shown = {"held": ("+", "good"), "open": ("o", "open")}.get(found.verdict, (".", "idle"))
    return TableCell(*shown, anchor if found.scenarios else "")


def breaches(summary: dict[str, dict[str, Worst]], designs: Sequence[str], prefix: str, command: Command) -> RowList:
    """The scenarios of each cell, with the command that plays the first of them."""
    found = []
    for invariant in INVARIANTS:
        for design in designs:
            worst = summary[invariant][design]
            if worst.scenarios:
                cells = (invariant, design, worst.verdict, ABOUT[invariant], ", ".join(worst.scenarios))
                found.append(ListRow(anchor_of(prefix, invariant, design), cells, command(worst.scenarios[0], design)))
    return RowList("The scenarios behind each cell", ["invariant", "design", "verdict", "it says", "scenarios"], found)
