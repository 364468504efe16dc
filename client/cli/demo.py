"""``lbrlab demo``: the thread's central story under six designs, on two real processes."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from client.cli.command import finish
from client.cli.console import console, print_columns, print_text
from client.cli.runs import keep_run, open_wire
from client.cli.services import Services
from client.designs import DESIGNS
from client.drive.play import layout_of
from client.litmus import library_path, load
from client.litmus.fault import FaultRule
from client.litmus.fault_rules import parse_fault
from client.report.documents import DemoDocument, RunDocument, run_document
from client.report.json import print_json
from client.report.log import Log
from client.report.tables import CELLS, VERDICT_LEGEND
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.schedule import Schedule
from contract.errors import ExitCode
from contract.invariants import INVARIANTS
from contract.trace import Delivery

STORY = library_path("central-story")
PLAN: tuple[tuple[str, str], ...] = (
    ("v7", ""),
    ("v8", ""),
    ("merged", ""),
    ("kvm-switch", ""),
    ("revoke-gp", ""),
    ("revoke-gp", "drop Revoke 1"),
    ("fenced", "drop Revoke 1"),
)
"""Design and fault of each column."""
SHOWN = ("revoke-gp", "drop Revoke 1")
"""The column whose first violation is shown."""


def demo(wire_name: str, services: Services, timeout: float, *, as_json: bool) -> None:
    wire_name = services.wire_name(wire_name)
    started = time.monotonic()
    scenario = load(STORY)
    services.check_count(scenario)
    progress = console(stderr=True)
    played: list[Run] = []
    with (
        progress.status("asking the services" if services else "starting perfcore-svc and kvm-svc") as status,
        open_wire(wire_name, services, timeout, layout_of(scenario)) as wire,
    ):
        for name, fault in PLAN:
            status.update(f"{scenario.name} under {name} {fault}")
            faults: tuple[FaultRule, ...] = (parse_fault(fault),) if fault else ()
            one = run(Inputs(scenario, DESIGNS[name], Schedule(faults), wire))
            keep_run(one, None)
            played.append(one.finished())
    runs = [run_document(one) for one in played]
    took = time.monotonic() - started
    shown = PLAN.index(SHOWN)
    example = _example(played[shown])
    code = max(run.exit_code for run in runs)
    if as_json:
        print_json(DemoDocument("violated" if code == ExitCode.VIOLATED else "held", code, runs, example))
    else:
        _print(console(), scenario.purpose, runs, shown, example, wire_name, took)
    finish(code)


def _example(run: Run) -> list[str]:
    """The first violation of a run: the records that show it, under the statements that caused them."""
    finding = next((f for f in run.verdict.findings if f.violations), None)
    if finding is None:
        return []
    violation = finding.violations[0]
    return Log(run.records, [finding]).excerpt({*violation.because, *_lost(run), violation.seq})


def _lost(run: Run) -> set[int]:
    return {r.seq for r in run.records if isinstance(r, Delivery) and r.fate == "drop"}


def _print(
    out: Console, purpose: str, runs: list[RunDocument], shown: int, example: list[str], wire_name: str, took: float
) -> None:
    where = "two processes joined by gRPC" if wire_name == "grpc" else "one process, simulated wire"
    print_text(out, Text(purpose))
    out.print()
    print_text(out, f"[bold]{len(runs)} runs on {where}, {took:.1f} s, judged by their traces[/]")
    columns = [f"{name}\n{fault}".strip() for name, fault in PLAN]
    rows = [[invariant, *(CELLS[one.invariants[invariant]] for one in runs)] for invariant in INVARIANTS]
    print_columns(out, ["invariant", *columns], rows)
    print_text(out, f"[dim]{VERDICT_LEGEND}[/]")
    run = runs[shown]
    if example:
        first = run.violations[0]
        out.print()
        lost = f"[bold]{first.invariant}[/] under {run.design} with its Revoke lost: {escape(first.text)}"
        print_text(out, lost, hang=2)
        for line in example:
            print_text(out, Text(line), hang=example[0].index("record"))
    out.print()
    if run.run is None:
        return
    program = sys.argv[0]
    for about, name in (("The whole log of that run:", "show"), ("Judge it again:", "check")):
        out.print(about)
        out.print(f"  {program} {name} {run.run}", markup=False, soft_wrap=True)
    out.print(f"Play it in a browser and change it:\n  {program} web", markup=False, soft_wrap=True)
