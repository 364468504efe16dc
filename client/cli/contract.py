"""``lbrlab contract``: the contract as a document."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from client.cli.choose import chosen_scenarios
from client.cli.frame import console, finish, print_table
from client.cli.progress import run_with_progress
from client.cli.runs import RUNS
from client.designs import all_designs
from client.document.contract import ContractDocument, contract_document
from client.document.markdown import as_markdown
from client.document.needed import FENCED, Need, needs
from client.document.standing import LOST, Standings, standings
from client.litmus import Scenario
from client.matrix.cell import Cell
from client.matrix.pool import InterruptedMatrixError, PartialError
from client.matrix.summary import Worst
from client.report.json import print_json
from client.report.tables import WORST_LEGEND, across, claims_table, key_of, named_breaches, worst_table
from client.schedule.faults import parse_fault
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
    out.print(f"[bold]The contract between host perf and KVM over the LBR[/], protocol {document.protocol}")
    _head(out, "Rules")
    for rule in document.rules:
        _print_text(out, f"{rule.id} {rule.name}", f": {rule.text}")
    _head(out, "Messages")
    for message in document.messages:
        _print_text(out, message.name, f" ({message.direction}): {message.text}")
    for machine in document.states:
        _head(out, f"States: {machine.name}")
        _print_text(out, "", machine.about)
        out.print(machine.text(), markup=False, soft_wrap=True)
    _head(out, "What each design keeps")
    table = across("rule", names)
    for rule in document.rules:
        table.add_row(f"{rule.id} {rule.name}", *("[green]+[/]" if name in rule.kept_by else "" for name in names))
    print_table(out, table)
    out.print(key_of(names), style="bold", soft_wrap=True)
    _head(out, "What each design claims to keep")
    print_table(out, claims_table({name: design.claims for name, design in document.designs.items()}))
    for condition, about in document.conditions.items():
        out.print(f"{condition[0].upper()} {condition}: {about}", style="dim", soft_wrap=True)
    if document.standings is not None:
        _print_standings(out, document.standings, names)
    if document.needs is not None:
        _print_needs(out, document.needs)


def _print_standings(out: Console, found: Standings, names: list[str]) -> None:
    _head(out, f"What each breaks in {found.scenarios} scenarios")
    print_table(out, worst_table(found.delivered, names))
    _print_breaches(out, found.delivered, names)
    _head(out, f"The same with the first Revoke lost, where there is one ({LOST})")
    print_table(out, worst_table(found.lossy, names))
    _print_breaches(out, found.lossy, names)
    out.print(WORST_LEGEND, style="dim")


def _print_breaches(out: Console, found: dict[str, dict[str, Worst]], names: list[str]) -> None:
    for invariant, design, scenarios in named_breaches(found, names):
        _print_text(out, "", f"  {invariant}, {design}: {', '.join(scenarios)}")


def _print_needs(out: Console, found: list[Need]) -> None:
    _head(out, f"Why {FENCED} needs each of its rules")
    for need in found:
        out.print(f"[bold]{need.rule}[/]  {need.command}", soft_wrap=True)
        out.print(f"     [red]{', '.join(need.broken)}[/]: {escape(need.text)}", soft_wrap=True)
        if need.run:
            out.print(f"     record {need.seq} of {need.run}", style="dim", soft_wrap=True)


def _print_text(out: Console, name: str, text: str) -> None:
    print_table(out, Text.assemble((name, "bold"), text))


def _head(out: Console, text: str) -> None:
    out.print()
    out.print(escape(text), style="bold")
