"""``lbrlab matrix --faults all``: designs by kinds of faults."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from client.cli.choose import chosen_designs, chosen_scenarios, on_kernel, source_of
from client.cli.command import INTERRUPTED, finish
from client.cli.console import console, print_columns, print_text
from client.cli.pools import open_pool
from client.cli.runs import RUNS, short_name
from client.files import make_folder, write_file
from client.litmus.fault_kinds import FAULT_KINDS
from client.page.html import check_target
from client.page.robust_page import NO_FAULT_NEEDED, marked_share, robust_page
from client.report.json import print_json
from client.report.plain import counted
from client.report.robust_documents import RobustDocument
from client.run.choose import without_faults_of
from client.search.robustness import RobustCell, robustness
from client.workers.tasks import WorkerDiedError
from contract.errors import ExitCode, SystemFailedError

USUAL_RUNS = 50


@dataclass(slots=True)
class RobustRequest:
    """The options as given. ``runs``: of each cell."""

    designs: str | None
    scenarios: str | None
    kernel: str | None
    runs: int
    seed: int
    folder: Path | None
    workers: int
    dask: str | None
    file_faults: bool = True
    html: Path | None = None


def robust(request: RobustRequest, *, as_json: bool) -> None:
    started = time.monotonic()
    if request.html is not None:
        check_target(request.html)
    designs = chosen_designs(request.designs)
    scenarios = [on_kernel(s, request.kernel) for s in chosen_scenarios(request.scenarios)]
    if not request.file_faults:
        scenarios = without_faults_of(scenarios, "--no-file-faults")
    names = [design.name for design in designs]
    folder = request.folder or _usual_folder(request)
    make_folder(folder)
    with (
        open_pool(request.workers, request.dask) as pool,
        console(stderr=True).status("starting") as status,
        _named(folder),
    ):
        found = robustness(
            designs,
            [source_of(scenario) for scenario in scenarios],
            list(FAULT_KINDS),
            request.runs,
            request.seed,
            folder,
            pool,
            lambda kind, now: status.update(f"{kind}: {now.state.runs} runs, {now.rate:.0f}/s"),
        )
    broken = any(cell.violated for by_design in found.kinds.values() for cell in by_design.values())
    code = INTERRUPTED if found.cut_short else int(ExitCode.VIOLATED if broken else ExitCode.HELD)
    document = RobustDocument(
        "violated" if broken else "held",
        code,
        bool(found.cut_short),
        request.seed,
        sum(found.played),
        names,
        [scenario.name for scenario in scenarios],
        found.kinds,
    )
    if request.html is not None:
        about = f"Verdict: {document.verdict}. {_counted(document)}."
        write_file(request.html, robust_page(found.kinds, names, about, request.html).encode())
    if as_json:
        print_json(document)
    else:
        _print(console(), document, folder, time.monotonic() - started, request.html)
    finish(code)


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Say with an error of the pool where the runs so far are."""
    try:
        yield
    except (SystemFailedError, WorkerDiedError) as error:
        service = error.service if isinstance(error, SystemFailedError) else "matrix"
        reason = error.reason if isinstance(error, SystemFailedError) else str(error)
        raise SystemFailedError(service, f"{reason}; the same command continues from the runs in {folder}") from None


def _usual_folder(request: RobustRequest) -> Path:
    without = "" if request.file_faults else "no-file-faults"
    chosen = [request.designs or "", request.scenarios or "", request.kernel or "", without, f"seed{request.seed}"]
    label = "-".join("".join(c if c.isalnum() or c in ".=" else "-" for c in text) for text in chosen if text)
    return RUNS / short_name(f"faults-{label}")


def _counted(told: RobustDocument) -> str:
    early = ", interrupted" if told.cut_short else ""
    return f"{counted(told.runs, 'run')}, seed {told.seed}{early}; counted are those that the fault met"


def _print(out: Console, told: RobustDocument, folder: Path, seconds: float, html: Path | None) -> None:
    rows = [
        [escape(name), *(_share(kind, by_design[name]) for kind, by_design in told.kinds.items())]
        for name in told.designs
    ]
    print_columns(out, ["violated/runs", *told.kinds], rows, right=True)
    out.print()
    if any(_share(kind, cell).endswith("*[/]") for kind, cells in told.kinds.items() for cell in cells.values()):
        print_text(out, NO_FAULT_NEEDED, hang=2)
    print_text(out, f"{_counted(told)}; {seconds:.1f} s")
    where = escape(f"{folder}/DESIGN-KIND.json")
    print_text(out, f"The shrunk witness of a cell is in {where}: lbrlab show FILE, lbrlab run FILE", hang=2)
    if html is not None:
        print_text(out, f"page: {escape(str(html))}", hang=4)


def _share(kind: str, cell: RobustCell) -> str:
    marked = marked_share(kind, cell)
    style = "yellow" if marked.endswith("*") else "bold red" if cell.violated else "green" if cell.runs else "dim"
    return f"[{style}]{marked}[/]"
