"""``lbrlab contract``: the contract as a document."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from client.cli.choose import chosen_scenarios
from client.cli.frame import console, finish, print_columns, print_items, print_text
from client.cli.progress import run_with_progress
from client.cli.runs import RUNS
from client.designs import all_designs
from client.document.contract import ContractDocument, contract_document
from client.document.markdown import as_markdown
from client.document.needed import FENCED, Need, needs
from client.document.standing import LOST, Standings, standings
from client.litmus import Scenario
from client.litmus.fault_rules import parse_fault
from client.matrix.cell import Cell
from client.matrix.pool import InterruptedMatrixError, PartialError
from client.matrix.summary import Worst
from client.report.json import print_json
from client.report.tables import WORST_LEGEND, claims_rows, key_of, letters, named_breaches, worst_rows
from contract.design import Design
from contract.errors import InputError, SystemFailedError


def contract(*, runs: bool, markdown: bool, as_json: bool) -> None:
    """``runs``: also the parts that need runs."""
    if markdown and as_json:
        raise InputError("expected one of them", "--markdown, --json")
    designs = list(all_designs().values())
    document = contract_document(designs)
    if runs:
        document.standings = _standings(designs)
        with console(stderr=True).status(f"what {FENCED} needs its rules for"):
            document.needs = needs(RUNS / "contract")
    if as_json:
        print_json(document)
    elif markdown:
        sys.stdout.write(as_markdown(document))
    else:
        _print(console(), document)
    finish(0)


def _standings(designs: list[Design]) -> Standings:
    scenarios = chosen_scenarios(None)
    try:
        delivered, lossy = _matrices(scenarios, designs)
    except PartialError as partial:
        if isinstance(partial, InterruptedMatrixError):
            raise KeyboardInterrupt from None
        raise SystemFailedError("matrix", str(partial)) from None
    return standings([design.name for design in designs], delivered, lossy)


def _matrices(scenarios: list[Scenario], designs: list[Design]) -> tuple[list[Cell], list[Cell]]:
    delivered = [cell for row in run_with_progress(scenarios, designs, None, ()) for cell in row]
    lossy = [cell for row in run_with_progress(scenarios, designs, None, (parse_fault(LOST),)) for cell in row]
    return delivered, lossy


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
    if document.standings is not None:
        _print_standings(out, document.standings, names)
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


def _print_worst(out: Console, found: dict[str, dict[str, Worst]], names: list[str]) -> None:
    print_columns(out, ["invariant, worst of all", *letters(names)], worst_rows(found, names), apart=1)


def _print_breaches(out: Console, found: dict[str, dict[str, Worst]], names: list[str]) -> None:
    for invariant, design, scenarios in named_breaches(found, names):
        print_text(out, f"{invariant}, {escape(design)}: {escape(', '.join(scenarios))}", indent=2, hang=2)


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
