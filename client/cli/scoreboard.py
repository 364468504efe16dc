"""``lbrlab scoreboard``: does the search find bugs that were planted?"""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from client.cli.choose import chosen_sources
from client.cli.command import INTERRUPTED, finish
from client.cli.console import console, print_columns, print_text
from client.cli.pools import open_pool
from client.litmus.fault_kinds import FAULT_KINDS
from client.report.json import print_json
from client.report.plain import counted
from client.report.search_documents import ScoreboardDocument, scoreboard_document
from client.search.mutant import Score, hunt, load_registry, seek
from client.search.plan import Plan
from client.workers.tasks import Tasks
from contract.design import Design

CHUNK = 5
"""Runs of a chunk: scenarios change often, because it is not known which one shows a bug."""


def scoreboard(module: str, runs: int, control_runs: int, seed: int, workers: int, *, as_json: bool) -> None:
    mutants, controls = load_registry(module)
    sources = tuple(chosen_sources(None))

    def plan(design: Design, without: tuple[str, ...]) -> Plan:
        kinds = tuple(kind for kind in FAULT_KINDS if kind not in without)
        return Plan(seed, (design,), sources, kinds, runs=CHUNK)

    scores: dict[tuple[str, int], Score] = {}
    interrupted = False
    with open_pool(workers) as pool, console(stderr=True).status("searching") as status:
        tasks: Tasks[tuple[str, int]] = Tasks(pool)
        for number, mutant in enumerate(mutants):
            tasks.add(("mutant", number), seek, plan(mutant.design, mutant.without), module, mutant.name, runs)
        for number, control in enumerate(controls):
            name, what = control.design.name, "nothing is planted"
            tasks.add(("control", number), hunt, plan(control.design, control.without), name, what, control_runs)
        try:
            while (got := tasks.take()) is not None:
                scores[got[0]] = got[1]
                found = sum(kind == "mutant" and score.found is not None for (kind, _), score in scores.items())
                status.update(f"{found} found of {len(mutants)}, {len(tasks)} are searched for")
        except KeyboardInterrupt:
            interrupted = True
    document = scoreboard_document(
        [scores["mutant", number] for number in range(len(mutants)) if ("mutant", number) in scores],
        [scores["control", number] for number in range(len(controls)) if ("control", number) in scores],
    )
    if interrupted:
        document.verdict, document.exit_code = "interrupted", INTERRUPTED
    if as_json:
        print_json(document)
    else:
        _print(console(), document)
    finish(document.exit_code)


def _print(out: Console, told: ScoreboardDocument) -> None:
    rows = [
        [
            escape(score.name),
            f"[green]{score.found}[/]" if score.found else "[bold red]NOT FOUND[/]",
            str(score.runs),
            f"{score.seconds:.1f}",
            str(score.steps) if score.found else "-",
            str(len(score.faults)) if score.found else "-",
        ]
        for score in told.mutants
    ]
    print_columns(out, ["planted bug", "found by", "runs", "seconds", "steps", "faults"], rows)
    out.print()
    for control in told.controls:
        held = f"[bold red]{control.found}: {escape(control.text)}[/]" if control.found else "[green]held[/]"
        print_text(out, f"control {escape(control.name)}: {held} in {counted(control.runs, 'run')}", hang=2)
    best = f", median {told.median:.1f} s, longest witness {counted(told.longest, 'step')}" if told.found else ""
    print_text(out, f"{told.found} of {told.total} found{best}: {told.verdict}")
