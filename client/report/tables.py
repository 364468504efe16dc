"""Tables and the short report of one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from client.matrix.summary import Worst
from client.report.documents import PendingDocument, RunDocument, ViolationDocument
from client.schedule.faults import unmet_text
from contract.invariants import INVARIANTS

_CELLS = {"held": "held", "violated": "[bold red]VIOLATED[/]", "open": "[yellow]open[/]", "not exercised": "[dim]-[/]"}
LEGEND = (
    "held, VIOLATED, open (the trace ends too early to decide), or - (not exercised: nothing in the trace "
    "could have broken it)"
)


def matrix(columns: list[tuple[str, dict[str, str]]], title: str) -> Table:
    """A table with a row for each invariant and a column for each run."""
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False, box=None, padding=(0, 2, 0, 0))
    table.add_column("invariant", no_wrap=True)
    for name, _ in columns:
        table.add_column(escape(name), no_wrap=True)
    for invariant in INVARIANTS:
        table.add_row(invariant, *(_CELLS[verdicts[invariant]] for _, verdicts in columns))
    return table


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


# One run -----------------------------------------------------------------------------------------------------


def print_run(console: Console, run: RunDocument) -> None:
    """The summary of one run: verdict, invariants, registers, and the first violations."""
    colour = {"held": "green", "expected": "green", "violated": "red"}.get(run.verdict, "yellow")
    name = f"{run.scenario} under {run.design} on {run.wire}"
    console.print(f"[bold]{escape(name)}[/]: [bold {colour}]{run.verdict}[/] ({escape(run.why)})", soft_wrap=True)
    for note in run.notes:
        console.print(f"  [yellow]note[/] {escape(note)}", soft_wrap=True)
    for invariant, verdict in run.invariants.items():
        told: list[ViolationDocument | PendingDocument]
        told = [v for v in run.violations if v.invariant == invariant]
        told += [due for due in run.pending if due.invariant == invariant]
        first, count = (told[0] if told else None), len(told)
        where = f"  record {first.seq}: {first.text}{f' (+{count - 1} more)' if count > 1 else ''}" if first else ""
        console.print(f"  {invariant:<22}{_CELLS[verdict]}{escape(where)}", soft_wrap=True)
    if run.final:
        lacking = f", {run.final.why}" if run.final.why else ""
        console.print(f"  {escape(run.final.condition)}: {run.final.result}{escape(lacking)}", soft_wrap=True)
    for register, value in run.outcome.items():
        console.print(f"  {register:<22}{escape(_value(value))}", soft_wrap=True)
    for thread, why in run.unfinished.items():
        console.print(f"  [yellow]not finished[/] {thread}: {escape(why or 'could step')}", soft_wrap=True)
    for fault in run.faults:
        if not fault.applied:
            console.print(f"  [yellow]{unmet_text(fault.fault)}[/]")
    if run.operations:
        counts = ", ".join(f"{name} {count}" for name, count in run.operations.items())
        price = f"about {run.cycles.typical:,} cycles ({run.cycles.low:,} to {run.cycles.high:,})"
        console.print(f"  cost: {counts}: {price}", soft_wrap=True)
    if run.run:
        console.print(f"  run file: {escape(run.run)}", soft_wrap=True)


def _value(value: int | str | dict[str, int | str]) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{field} {v}" for field, v in value.items())
    return value if isinstance(value, str) else str(value) if value < 1 << 12 else f"{value:#x}"
