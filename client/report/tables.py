"""The rows of tables: invariants against designs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from client.matrix.cell import Cell
from client.matrix.summary import Worst
from contract.invariants import INVARIANTS

CELLS = {"held": "held", "violated": "[bold red]VIOLATED[/]", "open": "[yellow]open[/]", "not exercised": "[dim]-[/]"}
"""The verdict on an invariant, as markup."""
VERDICT_LEGEND = (
    "held, VIOLATED, open (the trace ends too early to decide), or - (not exercised: nothing in the trace "
    "could have broken it)"
)


# Designs as columns, named by letters because their names would not fit ----------------------------------------------

WORST_LEGEND = ("Xn n scenarios break it", "+ held", "o open", ". not exercised")


def letters(designs: Sequence[str]) -> list[str]:
    """The letter of each design, in order."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return [*alphabet, *(first + second for first in alphabet for second in alphabet)][: len(designs)]


def key_of(designs: Sequence[str]) -> list[str]:
    """The letters of the designs."""
    return [f"{letter} {name}" for letter, name in zip(letters(designs), designs, strict=True)]


def worst_rows(summary: dict[str, dict[str, Worst]], designs: Sequence[str]) -> list[list[str]]:
    """Invariant and its worst verdict of all scenarios, design by design."""
    return [[invariant, *(_worst(summary[invariant][design]) for design in designs)] for invariant in INVARIANTS]


def named_breaches(
    summary: dict[str, dict[str, Worst]], designs: Sequence[str]
) -> Iterator[tuple[str, str, list[str]]]:
    """Invariant, design, and the scenarios in which it is violated: the scenarios that each ``Xn`` of ``worst_table``
    counts."""
    for invariant, by_design in summary.items():
        for design in designs:
            if by_design[design].verdict == "violated":
                yield invariant, design, by_design[design].scenarios


def examples(summary: dict[str, dict[str, Worst]], designs: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """Invariant to a scenario that violates it to the letters of the designs whose first such scenario it is."""
    found: dict[str, dict[str, list[str]]] = {}
    letter = dict(zip(designs, letters(designs), strict=True))
    for invariant, design, scenarios in named_breaches(summary, designs):
        found.setdefault(invariant, {}).setdefault(scenarios[0], []).append(letter[design])
    return found


def claims_rows(claims: dict[str, dict[str, str]]) -> list[list[str]]:
    """Invariant and the condition of its promise, design by design. ``claims``: design to invariant to condition."""
    return [
        [invariant, *(promises.get(invariant, "")[:1].upper() for promises in claims.values())]
        for invariant in INVARIANTS
    ]


def _worst(found: Worst) -> str:
    if found.verdict == "violated":
        return f"[bold red]X{len(found.scenarios)}[/]"
    return {"held": "[green]+[/]", "open": "[yellow]o[/]"}.get(found.verdict, "[dim].[/]")


# Cells of a matrix --------------------------------------------------------------------------------------------------

LETTERS = {"held": "+", "expected": "e", "violated": "X", "undecided": "?", "failed": "!", "impossible": "/"}
MATRIX_LEGEND = (
    "+ held",
    "e violated as expected",
    "X an invariant is violated",
    "x only the scenario's own condition or expectation",
    "? undecided on the default tape",
    "/ it cannot be run",
    "! failed",
    "v less than the baseline knows",
)


def letter_of(cell: Cell) -> str:
    """The letter of ``MATRIX_LEGEND`` for a run."""
    if cell.verdict == "violated" and cell.baseline is not None and not cell.baseline.new:
        return "v"
    letter = LETTERS[cell.verdict]
    return "x" if letter == "X" and not cell.broken else letter
