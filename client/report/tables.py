"""Tables and the short report of one run."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from client.check.judge import INVARIANTS
from client.report.documents import RunDocument

_CELLS = {"held": "held", "violated": "[bold red]VIOLATED[/]", "not exercised": "[dim]-[/]"}
LEGEND = "held, VIOLATED, or - where nothing in the trace could have broken it (not exercised)"


def matrix(columns: list[tuple[str, dict[str, str]]], title: str) -> Table:
    """Invariants down, runs across."""
    table = Table(title=title, title_justify="left", title_style="bold", pad_edge=False, box=None, padding=(0, 2, 0, 0))
    table.add_column("invariant", no_wrap=True)
    for name, _ in columns:
        table.add_column(escape(name), overflow="fold")
    for invariant in INVARIANTS:
        table.add_row(invariant.name, *(_CELLS[verdicts[invariant.name]] for _, verdicts in columns))
    return table


def axes_table(designs: dict[str, dict[str, str]]) -> Table:
    """Axes down, designs across."""
    table = Table(pad_edge=False, box=None, padding=(0, 2, 0, 0))
    table.add_column("axis", no_wrap=True)
    for name in designs:
        table.add_column(name, overflow="fold")
    for axis in next(iter(designs.values())):
        table.add_row(axis, *(axes[axis] for axes in designs.values()))
    return table


def print_run(console: Console, run: RunDocument) -> None:
    """One run at a glance: verdict, invariants, registers, what went wrong and where."""
    colour = {"held": "green", "violated": "red"}.get(run.verdict, "yellow")
    name = f"{run.scenario} under {run.design} on {run.wire}"
    console.print(f"[bold]{escape(name)}[/]: [bold {colour}]{run.verdict}[/] ({escape(run.why)})", soft_wrap=True)
    for invariant, verdict in run.invariants.items():
        first = next((v for v in run.violations if v.invariant == invariant), None)
        count = sum(v.invariant == invariant for v in run.violations)
        where = f"  record {first.seq}: {first.text}{f' (+{count - 1} more)' if count > 1 else ''}" if first else ""
        console.print(f"  {invariant:<22}{_CELLS[verdict]}{escape(where)}", soft_wrap=True)
    if run.final:
        console.print(f"  {escape(run.final.condition)}: {run.final.result}", soft_wrap=True)
    for register, value in run.outcome.items():
        console.print(f"  {register:<22}{escape(_value(value))}", soft_wrap=True)
    for thread, why in run.unfinished.items():
        console.print(f"  [yellow]not finished[/] {thread}: {escape(why or 'could step')}", soft_wrap=True)
    for fault in run.faults:
        if not fault.applied:
            console.print(f"  [yellow]fault {fault.fault} met no message[/]")
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
