"""``lbrlab report``."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.markup import escape

from client.cli.console import console, print_text, size_of
from client.files import write_file
from client.page.html import check_target, page
from client.page.model import page_model
from client.report.json import print_json
from client.report.plain import counted
from client.run.file import load_judged
from contract.errors import InputError

RUNS_LIMIT = 20
"""The most runs of one page."""
USUAL = Path("report.html")


class ReportDocument(msgspec.Struct):
    """``report --json``. ``bytes``: the size of the page. ``records``: of each run; ``left_out``: those of them that
    the page leaves out."""

    output: str
    bytes: int
    runs: list[str]
    records: list[int]
    left_out: list[int]


def report(paths: list[Path], output: Path | None, *, as_json: bool) -> None:
    if len(paths) > RUNS_LIMIT:
        raise InputError(f"expected at most {RUNS_LIMIT} runs, found {len(paths)}", "RUN")
    target = output or USUAL
    check_target(target)
    with console(stderr=True).status("reading") as status:
        runs = []
        for path in paths:
            status.update(f"reading {path.name}")
            runs.append(load_judged(path))
        status.update("computing the page")
        model = page_model(runs)
        content = page(model).encode()
    write_file(target, content)
    document = ReportDocument(
        str(target),
        len(content),
        [str(path) for path in paths],
        [run.total for run in model.runs],
        [run.total - len(run.rows) for run in model.runs],
    )
    if as_json:
        print_json(document)
        return
    out = console()
    count = f"{counted(len(runs), 'run')}, {sum(document.records):,} records"
    print_text(out, f"{escape(str(target))}: {size_of(content)}, {count}")
    for run, left in zip(document.runs, document.left_out, strict=True):
        if left:
            print_text(out, f"{escape(run)}: the page leaves out the last {left:,} records", hang=2)
