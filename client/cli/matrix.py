"""``lbrlab matrix``: designs against scenarios."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from client.baseline import Compared, RunKey, together, verdict_against
from client.cli.choose import chosen_designs, chosen_scenarios, on_kernel
from client.cli.command import INTERRUPTED, finish
from client.cli.console import console, print_columns, print_items, print_text
from client.cli.ledger import Ledger, print_compared
from client.cli.pools import open_pool
from client.cli.progress import run_tasks_with_progress
from client.cli.runs import RUNS, faults_label, open_wire, short_name
from client.cli.services import Services
from client.export.command import by_file, by_name, in_library, is_named
from client.files import make_folder, write_file
from client.litmus import Scenario
from client.litmus.fault import FaultRule
from client.matrix.cell import Cell
from client.matrix.pool import InterruptedMatrixError, PartialError, Row
from client.matrix.summary import Worst, overall, worst
from client.page.html import check_target
from client.page.matrix_page import Command, matrix_page
from client.report.json import print_json
from client.report.matrix_documents import MatrixDocument
from client.report.plain import counted
from client.report.tables import MATRIX_LEGEND, WORST_LEGEND, key_of, letter_of, letters, worst_rows
from client.run.choose import without_faults_of
from client.run.placed import PlacedRule, fitting
from contract.design import Design
from contract.errors import ExitCode, InputError

_STYLES = {"X": "bold red", "x": "red", "?": "yellow", "!": "bold red", "v": "bold red", "+": "green", "e": "green"}
MATRIX_EXIT_CODES = {
    "held": ExitCode.HELD,
    "expected": ExitCode.HELD,
    "violated": ExitCode.VIOLATED,
    "undecided": ExitCode.UNDECIDED,
    "impossible": ExitCode.UNDECIDED,
    "failed": ExitCode.SYSTEM_FAILED,
}


ROWS_OF_A_SCREEN = 20
"""The letters of the designs stand above a longer table, too."""
REASONS_LIMIT = 5


@dataclass(slots=True)
class MatrixRequest:
    """The options of ``matrix`` as given."""

    designs: str | None
    scenarios: str | None
    kernel: str | None
    faults: tuple[PlacedRule, ...]
    file_faults: bool
    folder: Path | None
    workers: int
    services: Services
    timeout: float
    baseline: Path | None = None
    write_baseline: Path | None = None
    dask: str | None = None
    html: Path | None = None


def matrix(request: MatrixRequest, *, as_json: bool) -> None:
    started = time.monotonic()
    designs = chosen_designs(request.designs)
    scenarios = [on_kernel(s, request.kernel) for s in chosen_scenarios(request.scenarios)]
    misfits = fitting(request.faults, scenarios)
    if not request.file_faults:
        scenarios = without_faults_of(scenarios, "--no-file-faults")
    faults = tuple(each.rule for each in request.faults)
    if request.services and (request.workers > 1 or request.dask is not None):
        raise InputError("given services play one run at a time", "--workers, --dask")
    if request.html is not None:
        check_target(request.html)
    ledger = Ledger(request.baseline, request.write_baseline)
    folder = request.folder or _usual_folder(request)
    make_folder(folder)
    tasks = [(scenario, faults) for scenario in scenarios]
    cut_short, interrupted = "", False
    try:
        if request.services:
            with open_wire("grpc", request.services, request.timeout) as wire:
                rows = run_tasks_with_progress(tasks, designs, folder, wire=wire)
        elif request.dask is not None:
            # The workers keep the run files, so the folder is one that all machines share.
            with open_pool(request.workers, request.dask) as pool:
                rows = run_tasks_with_progress(tasks, designs, folder.resolve(), pool=pool)
        else:
            rows = run_tasks_with_progress(tasks, designs, folder, request.workers)
    except PartialError as partial:
        rows, cut_short = partial.rows, str(partial)
        interrupted = isinstance(partial, InterruptedMatrixError)
    cells = [cell for row in rows for cell in row]
    all_faults = {s.name: tuple(sorted(map(str, (*s.faults, *faults)))) for s in scenarios}
    compared = _compare(cells, request.kernel or "", all_faults, ledger)
    names = [design.name for design in designs]
    summary = worst(cells, names)
    verdict = overall(cells)
    code = int(MATRIX_EXIT_CODES[verdict])
    if cut_short:
        code = INTERRUPTED if interrupted else int(ExitCode.SYSTEM_FAILED)
    if request.html is not None:
        kernel = request.kernel or "that of each scenario"
        rules = ", ".join(map(str, faults)) or "none but those of a scenario"
        about = f"Verdict: {verdict}. Faults: {rules}. Kernel: {kernel}. {cut_short}".rstrip()
        command = _commands(request.services, scenarios, designs, cells, faults, misfits)
        write_file(request.html, matrix_page(rows, names, summary, about, request.html, command).encode())
    if as_json:
        document = MatrixDocument(
            verdict, code, cut_short, request.kernel, [str(f) for f in faults], names, cells, summary, compared, misfits
        )
        print_json(document)
    else:
        _print(console(), rows, names, summary, folder)
        print_compared(console(), compared)
        took = time.monotonic() - started
        out = console()
        for rule, unfit in misfits.items():
            count = f"{len(unfit) * len(designs)} of {len(scenarios) * len(designs)} cells"
            print_text(out, f"fault '{escape(rule)}' names what the scenarios of {count} do not have", hang=2)
        missing = f", {cut_short}: {len(rows)} of {len(scenarios)} scenarios are there" if cut_short else ""
        numbers = f"{counted(len(cells), 'run')} in {took:.1f} s, verdicts computed from their traces"
        print_text(out, f"{numbers}{missing}", hang=2)
        where = escape(f"{folder}/SCENARIO-DESIGN.json")
        again = _again(request.services, scenarios)
        print_text(out, f"Each run is in {where}: lbrlab show FILE, lbrlab run FILE{escape(again)} to replay it")
        print_text(out, f"The files of that folder take {_size(folder)}")
        if request.html is not None:
            print_text(out, f"page: {escape(str(request.html))}", hang=4)
    finish(code)


def _size(folder: Path) -> str:
    megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    return f"{megabytes:.0f} MB" if megabytes >= 10 else f"{megabytes:.1f} MB"


def _again(services: Services, scenarios: Sequence[Scenario]) -> str:
    """The options with which the run file of any cell plays on the same wire."""
    every = {services.options(scenario) for scenario in scenarios}
    return every.pop() if len(every) == 1 else " --wire grpc"


def _commands(
    services: Services,
    scenarios: Sequence[Scenario],
    designs: Sequence[Design],
    cells: Sequence[Cell],
    faults: Sequence[FaultRule],
    misfits: dict[str, list[str]],
) -> Command:
    """The command of each cell: by name where the library has scenario and design and all faults fit, else from its run
    file."""
    scenario_of, design_of = {s.name: s for s in scenarios}, {d.name: d for d in designs}
    path_of = {(cell.scenario, cell.design): cell.run or "" for cell in cells}
    unfit = {name for names in misfits.values() for name in names}

    def command(scenario: str, design: str) -> str:
        options = services.options(scenario_of[scenario])
        if scenario not in unfit and in_library(scenario_of[scenario]) and is_named(design_of[design]):
            return by_name(scenario, design, faults, options)
        return by_file(path_of[scenario, design], options)

    return command


def _compare(cells: list[Cell], kernel: str, faults: dict[str, tuple[str, ...]], ledger: Ledger) -> Compared | None:
    """``faults``: scenario to the rules of its runs. Every cell compared with the baseline, which decides its verdict;
    and all comparisons together."""
    key_of_cell = {
        RunKey(cell.scenario, cell.design, kernel, faults[cell.scenario]): cell
        for cell in cells
        if cell.verdict != "failed"
    }
    found = ledger.runs({key: cell.surprises for key, cell in key_of_cell.items()})
    for key, compared in found.items():
        cell = key_of_cell[key]
        cell.baseline = compared
        cell.verdict, cell.reason = verdict_against(cell.verdict, cell.reason, compared)
    return together(found) if found else None


def _usual_folder(request: MatrixRequest) -> Path:
    """A folder for each kind of matrix, so that a run never replaces a run of another kind."""
    wire = "grpc" if request.services else ""
    without = "" if request.file_faults else "no-file-faults"
    parts = ["matrix", request.kernel or "", without, faults_label([str(each.rule) for each in request.faults]), wire]
    return RUNS / short_name("-".join(part for part in parts if part))


# Tables --------------------------------------------------------------------------------------------------


def _print(
    out: Console, rows: Sequence[Row], designs: list[str], summary: dict[str, dict[str, Worst]], folder: Path
) -> None:
    found = [[row[0].scenario, *(_styled(letter_of(cell)) for cell in row)] for row in rows]
    if len(rows) > ROWS_OF_A_SCREEN:
        print_items(out, key_of(designs), "bold")
    print_columns(out, ["scenario", *letters(designs)], found, apart=1)
    print_items(out, key_of(designs), "bold")
    print_items(out, MATRIX_LEGEND, "dim")
    _print_reasons(out, [cell for row in rows for cell in row if cell.verdict in ("failed", "impossible")])
    out.print()
    print_columns(out, ["invariant, worst of all", *letters(designs)], worst_rows(summary, designs), apart=1)
    print_items(out, WORST_LEGEND, "dim")
    out.print()


def _styled(letter: str) -> str:
    return f"[{style}]{letter}[/]" if (style := _STYLES.get(letter)) else letter


def _print_reasons(out: Console, cells: list[Cell]) -> None:
    for cell in cells[:REASONS_LIMIT]:
        print_text(out, escape(f"{cell.scenario} under {cell.design}: {cell.reason}"), hang=2)
    if len(cells) > REASONS_LIMIT:
        out.print(f"... and {len(cells) - REASONS_LIMIT} more; --json has all")
