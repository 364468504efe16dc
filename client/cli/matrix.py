"""``lbrlab matrix``: designs against scenarios."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from client.baseline import Compared, RunKey, together, verdict_against
from client.cli.choose import chosen_designs, chosen_scenarios, make_folder, on_kernel
from client.cli.frame import INTERRUPTED, console, finish, print_table
from client.cli.ledger import Ledger, print_compared
from client.cli.progress import run_with_progress
from client.cli.runs import RUNS, faults_label, open_wire, short_name
from client.cli.services import Services
from client.matrix.cell import Cell
from client.matrix.pool import InterruptedMatrixError, PartialError, Row
from client.matrix.summary import Worst, overall, worst
from client.report.json import print_json
from client.report.matrix_documents import MatrixDocument
from client.report.tables import WORST_LEGEND, across, key_of, worst_table
from client.run.choose import chosen_faults
from client.schedule.faults import Fault
from contract.errors import ExitCode, InputError

LETTERS = {"held": "+", "expected": "e", "violated": "X", "undecided": "?", "failed": "!", "impossible": "/"}
_STYLES = {"X": "bold red", "x": "red", "?": "yellow", "!": "bold red", "v": "bold red", "+": "green", "e": "green"}
LEGEND = (
    "+ held   e violated as expected   X an invariant is violated   x only the scenario's own condition or expectation"
    "   ? undecided on the default tape   / it cannot be run   ! failed   v less than the baseline knows"
)
EXIT_CODES = {
    "held": ExitCode.HELD,
    "expected": ExitCode.HELD,
    "violated": ExitCode.VIOLATED,
    "undecided": ExitCode.UNDECIDED,
    "impossible": ExitCode.UNDECIDED,
    "failed": ExitCode.SYSTEM_FAILED,
}


REASONS_LIMIT = 5


@dataclass(slots=True)
class MatrixRequest:
    """The options of ``matrix`` as given."""

    designs: str | None
    scenarios: str | None
    kernel: str | None
    faults: tuple[str, ...]
    folder: Path | None
    workers: int
    services: Services
    timeout: float
    baseline: Path | None = None
    write_baseline: Path | None = None


def matrix(request: MatrixRequest, *, as_json: bool) -> None:
    started = time.monotonic()
    designs = chosen_designs(request.designs)
    scenarios = [on_kernel(s, request.kernel) for s in chosen_scenarios(request.scenarios)]
    faults = chosen_faults(request.faults)
    if request.services and request.workers > 1:
        raise InputError("given services play one run at a time", "--workers")
    ledger = Ledger(request.baseline, request.write_baseline)
    folder = request.folder or _usual_folder(request)
    make_folder(folder)
    cut_short, interrupted = "", False
    try:
        if request.services:
            with open_wire("grpc", request.services, request.timeout) as wire:
                rows = run_with_progress(scenarios, designs, folder, faults, wire=wire)
        else:
            rows = run_with_progress(scenarios, designs, folder, faults, request.workers)
    except PartialError as partial:
        rows, cut_short = partial.rows, str(partial)
        interrupted = isinstance(partial, InterruptedMatrixError)
    cells = [cell for row in rows for cell in row]
    compared = _compare(cells, request.kernel or "", faults, ledger)
    names = [design.name for design in designs]
    summary = worst(cells, names)
    verdict = overall(cells)
    code = int(EXIT_CODES[verdict])
    if cut_short:
        code = INTERRUPTED if interrupted else int(ExitCode.SYSTEM_FAILED)
    if as_json:
        document = MatrixDocument(
            verdict, code, cut_short, request.kernel, [str(f) for f in faults], names, cells, summary, compared
        )
        print_json(document)
    else:
        _print(console(), rows, names, summary, folder)
        print_compared(console(), compared)
        took = time.monotonic() - started
        out = console()
        missing = f", {cut_short}: {len(rows)} of {len(scenarios)} scenarios are there" if cut_short else ""
        out.print(f"{len(cells)} runs in {took:.1f} s, verdicts computed from their traces{missing}")
        out.print(f"Each run is in {folder}/SCENARIO-DESIGN.json: lbrlab show FILE, lbrlab run FILE to replay it")
    finish(code)


def _compare(cells: list[Cell], kernel: str, faults: tuple[Fault, ...], ledger: Ledger) -> Compared | None:
    """Every cell compared with the baseline, which decides its verdict; and all comparisons together."""
    key_of_cell = {
        RunKey(cell.scenario, cell.design, kernel, tuple(sorted(map(str, faults)))): cell
        for cell in cells
        if cell.verdict != "failed"
    }
    found = ledger.runs({key: cell.surprises for key, cell in key_of_cell.items()})
    for key, compared in found.items():
        cell = key_of_cell[key]
        cell.baseline = compared
        cell.verdict, cell.why = verdict_against(cell.verdict, cell.why, compared)
    return together(found) if found else None


def _usual_folder(request: MatrixRequest) -> Path:
    """A folder for each kind of matrix, so that a run never replaces a run of another kind."""
    wire = "grpc" if request.services else ""
    parts = ["matrix", request.kernel or "", faults_label(request.faults), wire]
    return RUNS / short_name("-".join(part for part in parts if part))


# Tables --------------------------------------------------------------------------------------------------


def _print(
    out: Console, rows: Sequence[Row], designs: list[str], summary: dict[str, dict[str, Worst]], folder: Path
) -> None:
    table = across("scenario", designs)
    for row in rows:
        table.add_row(row[0].scenario, *(_styled(_letter(cell)) for cell in row))
    print_table(out, table)
    out.print(key_of(designs), style="bold", soft_wrap=True)
    out.print(LEGEND, style="dim", soft_wrap=True)
    _print_reasons(out, [cell for row in rows for cell in row if cell.verdict in ("failed", "impossible")])
    out.print()
    print_table(out, worst_table(summary, designs))
    out.print(WORST_LEGEND, style="dim")
    out.print()


def _styled(letter: str) -> str:
    return f"[{style}]{letter}[/]" if (style := _STYLES.get(letter)) else letter


def _print_reasons(out: Console, cells: list[Cell]) -> None:
    for cell in cells[:REASONS_LIMIT]:
        out.print(f"{cell.scenario} under {cell.design}: {cell.why}", markup=False, soft_wrap=True)
    if len(cells) > REASONS_LIMIT:
        out.print(f"... and {len(cells) - REASONS_LIMIT} more; --json has all")


def _letter(cell: Cell) -> str:
    if cell.verdict == "violated" and cell.baseline is not None and not cell.baseline.new:
        return "v"
    letter = LETTERS[cell.verdict]
    return "x" if letter == "X" and not cell.broken else letter
