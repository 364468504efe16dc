"""``lbrlab contract``: the contract as a document."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from client.check.excuses import by_text
from client.cli.choose import chosen_scenarios
from client.cli.command import INTERRUPTED, finish, report_error
from client.cli.console import console, print_columns, print_items, print_text
from client.cli.progress import run_tasks_with_progress
from client.cli.runs import RUNS
from client.designs import all_designs
from client.document.contract import ContractDocument, contract_document
from client.document.faulted import KEPT_LEGEND, FaultTable, fault_table, fault_tasks, kept_rows, kind_rows
from client.document.markdown import as_markdown
from client.document.needed import FENCED, Need, needs
from client.document.standing import LOST, Standings, standings
from client.files import write_file
from client.litmus.fault_kinds import FAULT_KINDS
from client.litmus.fault_rules import parse_fault
from client.matrix.pool import InterruptedMatrixError, PartialError, Row, Task
from client.matrix.summary import Worst
from client.page.contract_page import contract_page
from client.page.html import check_target
from client.report.json import print_json
from client.report.tables import WORST_LEGEND, claims_rows, examples, key_of, letters, worst_rows
from contract.design import Design
from contract.errors import InputError, SystemFailedError


def contract(*, runs: bool, markdown: bool, html: Path | None, as_json: bool, workers: int = 0) -> None:
    """``runs``: also the parts that need runs. ``workers``: as in ``run_tasks``."""
    if markdown and as_json:
        raise InputError("expected one of them", "--markdown, --json")
    if html is not None:
        check_target(html)
    designs = list(all_designs().values())
    document = contract_document(designs)
    if runs:
        _play(document, designs, workers)
        if not document.cut_short:
            with console(stderr=True).status(f"what {FENCED} needs its rules for"):
                document.needs = needs(RUNS / "contract")
    if html is not None:
        write_file(html, contract_page(document, html).encode())
    if as_json:
        print_json(document)
    elif markdown:
        sys.stdout.write(as_markdown(document))
    else:
        _print(console(), document)
        if html is not None:
            print_text(console(), f"page: {escape(str(html))}", hang=4)
    if document.cut_short:
        report_error(f"{document.cut_short}; some runs are missing", INTERRUPTED, as_json=False)
    finish(INTERRUPTED if document.cut_short else 0)


def _play(document: ContractDocument, designs: list[Design], workers: int) -> None:
    """Play all runs of the two tables; after Ctrl-C the tables have the runs so far."""
    scenarios = chosen_scenarios(None)
    plain: list[Task] = [(scenario, faults) for faults in ((), (parse_fault(LOST),)) for scenario in scenarios]
    faulted = fault_tasks(FAULT_KINDS)
    rows: dict[int, Row]
    try:
        tasks = [*plain, *(task for _, task in faulted)]
        rows = dict(enumerate(run_tasks_with_progress(tasks, designs, None, workers)))
    except InterruptedMatrixError as partial:
        if not partial.rows:
            raise KeyboardInterrupt from None
        rows, document.cut_short = partial.by_number, str(partial)
    except PartialError as partial:
        raise SystemFailedError("matrix", str(partial)) from None
    names, first = [design.name for design in designs], len(scenarios)
    delivered = [cell for number, row in rows.items() if number < first for cell in row]
    lossy = [cell for number, row in rows.items() if first <= number < 2 * first for cell in row]
    document.standings = standings(names, delivered, lossy)
    under = ((number - 2 * first, rows[number]) for number in sorted(rows) if number >= 2 * first)
    document.faulted = fault_table(names, faulted, under)


def _print(out: Console, document: ContractDocument) -> None:
    names = list(document.designs)
    print_text(out, f"[bold]The contract between host perf and KVM over the LBR[/], protocol {document.protocol}")
    _head(out, "Rules")
    for rule in document.rules:
        _print_text(out, f"{rule.id} {rule.name}", f": {rule.text}", hang=4)
    _head(out, "Messages")
    for message in document.messages:
        _print_text(out, message.name, f" ({message.direction}): {message.text}", hang=4)
    for machine in document.states:
        _head(out, f"States: {machine.name}")
        _print_text(out, "", machine.about)
        for line, hang in machine.lines():
            _print_text(out, "", line, hang=hang)
    _head(out, "What each design keeps")
    kept = [
        [f"{rule.id} {rule.name}", *("[green]+[/]" if name in rule.kept_by else "" for name in names)]
        for rule in document.rules
    ]
    print_columns(out, ["rule", *letters(names)], kept, apart=1)
    print_items(out, key_of(names), "bold")
    _head(out, "What each design claims to keep")
    claims = claims_rows({name: design.claims for name, design in document.designs.items()})
    print_columns(out, ["invariant", *letters(names)], claims, apart=1)
    for condition, about in document.conditions.items():
        print_text(out, f"[dim]{condition[0].upper()} {condition}: {escape(about)}[/]", hang=2)
    _head(out, "What each invariant excuses after a fault")
    for invariant, by_fault in document.excuses.items():
        for text, faults in by_text(by_fault).items():
            _print_text(out, invariant, f", after {' or '.join(faults)}: {text}", hang=2)
    if document.standings is not None:
        _print_standings(out, document.standings, names)
    if document.faulted is not None:
        _print_faulted(out, document.faulted, names)
    if document.needs is not None:
        _print_needs(out, document.needs)


def _print_standings(out: Console, found: Standings, names: list[str]) -> None:
    _head(out, f"What each breaks in {found.scenarios} scenarios")
    _print_worst(out, found.delivered, names)
    _print_breaches(out, found.delivered, names)
    _head(out, f"The same with the first Revoke lost, where there is one ({LOST})")
    _print_worst(out, found.lossy, names)
    _print_breaches(out, found.lossy, names)
    print_items(out, WORST_LEGEND, "dim")
    print_text(out, "[dim]Below a table: the first scenario that breaks a design, and the designs; --json has all.[/]")


def _print_worst(out: Console, found: dict[str, dict[str, Worst]], names: list[str]) -> None:
    print_columns(out, ["invariant, worst of all", *letters(names)], worst_rows(found, names), apart=1)


def _print_breaches(out: Console, found: dict[str, dict[str, Worst]], names: list[str]) -> None:
    for invariant, by_scenario in examples(found, names).items():
        shown = "; ".join(f"{escape(scenario)} {' '.join(by)}" for scenario, by in by_scenario.items())
        print_text(out, f"{invariant}: {shown}", indent=2, hang=2)


def _print_faulted(out: Console, found: FaultTable, names: list[str]) -> None:
    _head(out, f"What each breaks under which kind of fault, in {len(found.scenarios)} scenarios")
    head, rows = letters(names), kind_rows(found, names)
    print_columns(out, ["violated of runs", *head], rows, apart=1)
    out.print()
    print_columns(
        out, ["invariant", *head], [[row[0], *map(_styled, row[1:])] for row in kept_rows(found, names)], apart=1
    )
    print_items(out, KEPT_LEGEND, "dim")
    for kind, rules in found.rules.items():
        if rules:
            print_text(out, f"[dim]{kind}: {escape('; '.join(rules))}[/]", hang=2)


def _styled(cell: str) -> str:
    return f"[{_STYLES.get(cell, 'red')}]{cell}[/]"


_STYLES = {"X": "bold red", "+": "green", ".": "dim"}


def _print_needs(out: Console, found: list[Need]) -> None:
    _head(out, f"Why {FENCED} needs each of its rules")
    for need in found:
        print_text(out, f"[bold]{need.rule:<5}[/]{escape(need.command)}", hang=5)
        print_text(out, f"[red]{', '.join(need.broken)}[/]: {escape(need.text)}", indent=5)
        if need.run:
            print_text(out, f"[dim]record {need.seq} of {escape(str(need.run))}[/]", indent=5)


def _print_text(out: Console, name: str, text: str, hang: int = 0) -> None:
    print_text(out, Text.assemble((name, "bold"), text), hang=hang)


def _head(out: Console, text: str) -> None:
    out.print()
    print_text(out, f"[bold]{escape(text)}[/]")
