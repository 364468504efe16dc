"""``lbrlab coverage``: the parts of the model that runs exercise, gaps first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from client.cli.command import finish
from client.cli.console import console, print_text
from client.coverage import GROUPS, Item, exercised, fault_items, verdict_items
from client.files import files_below
from client.report.json import print_json
from client.report.plain import counted
from client.report.search_documents import CoverageDocument, coverage_document
from client.run.file import load_judged
from contract.errors import InputError

FEW = 3
"""Items that so many runs or fewer exercise are listed."""


def coverage(paths: Sequence[Path], *, as_json: bool) -> None:
    counts: Counter[Item] = Counter()
    runs = 0
    with console(stderr=True).status("reading") as status:
        for path in _files(paths):
            run = load_judged(path)
            verdicts = {finding.invariant: finding.verdict for finding in run.verdict.findings}
            counts.update(exercised(run.records) | verdict_items(verdicts) | fault_items(run.faults, run.applied))
            runs += 1
            status.update(f"{runs} runs")
    document = coverage_document(counts, runs)
    if as_json:
        print_json(document)
    else:
        _print(console(), document)
    finish(document.exit_code)


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files, and the run files in the folders."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = files_below(path, ".json")
        if not found:
            raise InputError("holds no run file", str(path))
        yield from (each for each in found if each.name != "campaign.json")


def _print(out: Console, told: CoverageDocument) -> None:
    for name, group in told.groups.items():
        print_text(out, f"[bold]{name}[/]: {GROUPS[name]}: {group.covered} of {group.total}", hang=2)
        if group.missing:
            print_text(out, f"[bold red]never[/] {escape(', '.join(group.missing))}", indent=2, hang=6)
        few = [f"{item} ({count})" for item, count in group.runs.items() if count <= FEW]
        if few and told.runs > FEW:
            print_text(out, f"[yellow]rarely[/] {escape(', '.join(few))}", indent=2, hang=7)
    out.print(counted(told.runs, "run"))
