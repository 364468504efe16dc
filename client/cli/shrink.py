"""``lbrlab shrink`` and ``lbrlab confirm``."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import asdict
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from client.cli.command import finish
from client.cli.console import console, print_columns, print_text
from client.cli.runs import keep_run, open_wire
from client.cli.services import Services
from client.drive.play import layout_of
from client.report.json import print_json
from client.report.plain import counted
from client.report.shrink_documents import (
    ConfirmDocument,
    DifferenceDocument,
    ShrinkDocument,
    difference_document,
    shrink_document,
)
from client.run.confirm import confirm as confirm_run
from client.run.file import check_output, errors_of, load_judged
from client.run.run import Run
from client.run.verdict import FAILED
from client.shrink.budget import DECISIONS_LIMIT, RUNS_LIMIT
from client.shrink.nearest import SCHEDULES_LIMIT
from client.shrink.shrink import Shrinker
from client.shrink.shrunk import conclude, file_of
from client.shrink.target import target_of
from contract.errors import ExitCode

LABEL = "shrunk"


def shrink(path: Path, invariant: str | None, output: Path | None, *, as_json: bool) -> None:
    run = load_judged(path)
    target = target_of(run, invariant, "--invariant")
    if output:
        check_output(output, [path])
    with console(stderr=True).status("shrinking") as status:

        def told(shrinker: Shrinker) -> None:
            steps, faults = shrinker.best.steps, len(shrinker.best.faults)
            status.update(f"{steps} steps, {faults} faults left after {shrinker.player.runs} runs")

        with errors_of(path):
            shrinker = Shrinker(run, target, told)
        before = shrinker.best
        try:
            shrinker.shrink()
            shrunk = conclude(shrinker, before)
        except KeyboardInterrupt:
            best = file_of(shrinker.best)
            keep_run(best, output, LABEL)
            raise KeyboardInterrupt(f"interrupted; the smallest run so far is in {best.path}") from None
    keep_run(shrunk.run, output, LABEL)
    document = shrink_document(shrunk)
    if as_json:
        print_json(document)
    else:
        _print(console(), document)
    finish(document.exit_code)


def _print(out: Console, told: ShrinkDocument) -> None:
    does = f"{', '.join(told.violated) or 'the final condition'} violated"
    does = f"fails: {escape(told.failure)}" if told.failure else does
    print_text(out, f"[bold]{escape(told.scenario)} under {escape(told.design)}[/]: {does}", hang=2)
    before, after = asdict(told.before), asdict(told.after)
    rows = [[name, str(before[name]), str(after[name])] for name in before]
    print_columns(out, [f"after {counted(told.runs, 'run')}", "before", "after"], rows, right=True)
    if not told.complete:
        limit = f"{RUNS_LIMIT:,} runs or {DECISIONS_LIMIT:,} decisions"
        print_text(out, f"Not finished after {limit}, which is the limit; shrink the result to go on.")
    out.print()
    if not told.faults:
        print_text(out, "No fault is necessary.")
    for fault, broken in told.faults.items():
        without = f"without it violated: {', '.join(broken) or 'nothing'}"
        without = "without it the run fails" if FAILED in broken else without
        print_text(out, f"Necessary: {escape(fault)}; {without}", hang=2)
    out.print()
    out.print(told.text, markup=False, soft_wrap=True)
    if told.nearest is None:
        limit = ", which is the limit" if told.schedules == SCHEDULES_LIMIT else ""
        print_text(out, f"No schedule that holds was found near it; {told.schedules} were tried{limit}.")
    else:
        print_text(out, f"The nearest schedule that holds: {escape(told.nearest.change)}.", hang=2)
        _print_difference(out, told.nearest.difference, "fails" if told.failure else "violates", "holds")
    if told.run:
        print_text(out, f"run file: {escape(told.run)}", hang=2)


def _print_difference(out: Console, difference: DifferenceDocument, one: str, other: str) -> None:
    print_text(out, f"The first difference is record {difference.record}:")
    for name, line in ((one, difference.one), (other, difference.other)):
        record = " ".join(line.split()) if line is not None else "the trace has ended"
        print_text(out, Text(f"{name}: {record}"), indent=2, hang=2)


def confirm(path: Path, services: Services, timeout: float, *, as_json: bool) -> None:
    run = load_judged(path)
    services.check_count(run.scenario)
    with (
        console(stderr=True).status(f"replaying {len(run.tape)} decisions"),
        open_wire("grpc", services, timeout, layout_of(run.scenario)) as wire,
        errors_of(path),
    ):
        confirmation = confirm_run(run, wire)
    difference = confirmation.difference
    document = ConfirmDocument(
        "same" if confirmation.same else "differs",
        int(ExitCode.HELD if confirmation.same else ExitCode.VIOLATED),
        len(confirmation.records),
        difference_document(difference, run.records, confirmation.records) if difference is not None else None,
        confirmation.reason,
    )
    if as_json:
        print_json(document)
    else:
        _print_confirmation(console(), run, document)
    finish(document.exit_code)


def _print_confirmation(out: Console, run: Run, told: ConfirmDocument) -> None:
    name = f"{run.scenario.name} under {run.design.name}"
    if told.verdict == "same":
        print_text(out, f"{escape(name)}: same, {told.records} records on two processes", hang=2)
        return
    print_text(out, f"{escape(name)}: the two processes give another trace", hang=2)
    if told.reason:
        print_text(out, Text(f"The replay ended early: {told.reason}"), hang=2)
    if told.difference is not None:
        _print_difference(out, told.difference, "run file", "two processes")
