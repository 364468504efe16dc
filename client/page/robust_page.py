"""The page of ``matrix --faults all``: designs against kinds of faults, and the witness of each cell, drawn."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from client.export.markdown import folded_diagram
from client.matrix.faulted import NO_FAULT
from client.page.tables import Drawing, Grid, Section, TableCell, anchor_of, tables_page
from client.run.file import load_judged
from client.search.robustness import RobustCell
from client.timeline.timeline import timeline_of

NO_FAULT_NEEDED = "* the shrunk witness needs no fault: the order of messages alone breaks the design"
LEGEND = ("runs that broke the design, of those that the fault met", ". the fault met no run", NO_FAULT_NEEDED)
OWED = "A design has to keep what it claims. A design that claims nothing has to keep every invariant."
Kinds = Mapping[str, Mapping[str, RobustCell]]
"""Kind of fault to design to the cell."""


def robust_page(kinds: Kinds, designs: Sequence[str], about: str, target: Path) -> str:
    """The witnesses are read from their run files. Raises InputError if one is gone."""
    sections = [
        Section("Runs that break a design", [OWED, _shares(kinds, designs)]),
        Section("Witnesses, shrunk", list(_witnesses(kinds, designs))),
    ]
    return tables_page(f"{len(designs)} designs under {len(kinds) - 1} kinds of faults", about, sections, target)


def _shares(kinds: Kinds, designs: Sequence[str]) -> Grid:
    rows = [(name, [_share(kind, name, by_design[name]) for kind, by_design in kinds.items()]) for name in designs]
    return Grid("Which kinds of faults does a design survive?", ["design", *kinds], rows, LEGEND)


def marked_share(kind: str, cell: RobustCell) -> str:
    """The text of a cell, with a * if what breaks there needs no fault of this kind."""
    return f"{cell.share}*" if kind != NO_FAULT and cell.needs_no_fault else cell.share


def _share(kind: str, design: str, cell: RobustCell) -> TableCell:
    marked = marked_share(kind, cell)
    colour = "open" if marked.endswith("*") else "bad" if cell.violated else "good" if cell.runs else "idle"
    return TableCell(marked, colour, _anchor(kind, design) if cell.run else "")


def _anchor(kind: str, design: str) -> str:
    return anchor_of("witness", kind, design)


def _witnesses(kinds: Kinds, designs: Sequence[str]) -> Iterator[Drawing]:
    for kind, by_design in kinds.items():
        for design in designs:
            cell = by_design[design]
            if cell.run is not None:
                run = load_judged(Path(cell.run))
                fault = "without a fault" if not cell.faults else f"under {kind}"
                rules = f" Faults: {'; '.join(cell.faults)}." if cell.faults else ""
                yield Drawing(
                    _anchor(kind, design),
                    f"{design} {fault}: {cell.invariant}",
                    f"{cell.text}.{rules}",
                    list(folded_diagram(timeline_of(run))),
                    f"lbrlab show {shlex.quote(cell.run)}",
                    cell.run,
                )
