"""The summary of one run: verdict, invariants, registers, and the first violations."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from client.cli.console import print_text
from client.drive.values import fields_text
from client.report.documents import PendingDocument, RunDocument, ViolationDocument
from client.report.tables import CELLS
from client.run.verdict import FAILED
from client.schedule.faults import is_drawn, unmet_text
from contract.invariants import NOT_EXERCISED

NAMES = 22
"""Columns of the names of invariants and registers."""
INDENT = 2


def print_run(out: Console, run: RunDocument) -> None:
    colour = {"held": "green", "expected": "green", "violated": "red"}.get(run.verdict, "yellow")
    name = f"{run.scenario} under {run.design} on {run.wire}"
    print_text(out, f"[bold]{escape(name)}[/]: [bold {colour}]{run.verdict}[/] ({escape(run.reason)})", hang=INDENT)
    for note in run.notes:
        _print(out, f"[yellow]note[/] {escape(note)}")
    exercised = any(verdict != NOT_EXERCISED for verdict in run.invariants.values())
    for invariant, verdict in run.invariants.items() if exercised or run.verdict != FAILED else ():
        _print_named(out, invariant, CELLS[verdict] + escape(_first_of(run, invariant)))
    if run.final:
        lacking = f", {run.final.reason}" if run.final.reason else ""
        _print(out, f"{escape(run.final.condition)}: {run.final.result}{escape(lacking)}")
    for register, value in run.outcome.items():
        _print_named(out, register, escape(_value(value)))
    for thread, why in run.unfinished.items():
        _print(out, f"[yellow]not finished[/] {thread}: {escape(why or 'could step')}")
    unmet = [fault.fault for fault in run.faults if not fault.applied]
    for fault in (each for each in unmet if not is_drawn(each)):
        _print(out, f"[yellow]{escape(unmet_text(fault))}[/]")
    if drawn := [each for each in unmet if is_drawn(each)]:
        _print(out, f"not drawn: {escape('; '.join(drawn))}")
    for after, seq in dict.fromkeys((excuse.after, excuse.seq) for excuse in run.excuses):
        names = ", ".join(excuse.invariant for excuse in run.excuses if excuse.after == after)
        _print(out, f"after {after} (record {seq}) less is demanded of {names}: lbrlab invariants NAME says what")
    if run.operations:
        counts = ", ".join(f"{name} {count}" for name, count in run.operations.items())
        price = f"about {run.cycles.typical:,} cycles ({run.cycles.low:,} to {run.cycles.high:,})"
        _print(out, f"cost: {counts}: {price}")
    if run.run:
        _print(out, f"run file: {escape(run.run)}")


def _print(out: Console, markup: str) -> None:
    print_text(out, markup, indent=INDENT, hang=INDENT)


def _print_named(out: Console, name: str, markup: str) -> None:
    print_text(out, f"{name:<{NAMES}}{markup}", indent=INDENT, hang=NAMES)


def _first_of(run: RunDocument, invariant: str) -> str:
    """The first violation, or the first open promise, of an invariant; "" if it has none."""
    found: list[ViolationDocument | PendingDocument] = [v for v in run.violations if v.invariant == invariant]
    found += [due for due in run.pending if due.invariant == invariant]
    if not found:
        return ""
    more = f" (+{len(found) - 1} more)" if len(found) > 1 else ""
    return f"  record {found[0].seq}: {found[0].text}{more}"


def _value(value: int | str | dict[str, int | str]) -> str:
    if isinstance(value, dict):
        return fields_text(value)
    return value if isinstance(value, str) else str(value) if value < 1 << 12 else f"{value:#x}"
