"""``lbrlab cost``: the cost of designs for the same work."""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console
from rich.table import Table

from client.cli.choose import chosen_designs
from client.cli.frame import console, finish, print_table
from client.cost.draw import check_picture, letters_of, save_picture, text_of
from client.cost.measure import Cost, Curve, cost_of, curve_of
from client.litmus import Scenario
from client.litmus.spelling import unknown
from client.report.cost_documents import CostDocument, PriceDocument
from client.report.json import print_json
from client.run.choose import find_scenario
from contract.errors import InputError
from perfcore_svc.machine.cost import COSTS

VALUES = [1, 2, 4, 8, 16, 32, 64]
POINTS_LIMIT = 64
COLUMNS_LIMIT = 8
"""The most values of a curve that the table shows; the plot and --json have all."""
COLUMNS = {
    "vmexit": "exits",
    "msr-exit": "of MSRs",
    "rdmsr": "rdmsr",
    "wrmsr": "wrmsr",
    "msr-load": "loaded",
    "msr-store": "stored",
    "ipi": "IPIs",
    "lbr-save": "saves",
    "lbr-restore": "restores",
    "lbr-reset": "resets",
}
"""Operation to the head of its column."""


def cost(name: str, designs: str | None, vary: str | None, picture: Path | None, *, as_json: bool) -> None:
    scenario = find_scenario(name)
    chosen = chosen_designs(designs)
    varied = _varied(scenario, vary)
    if picture is not None and varied is None:
        raise InputError(f"{scenario.name} has no let to draw a curve over", "--picture")
    if picture is not None:
        check_picture(picture)
    with console(stderr=True).status(f"{scenario.name} under {len(chosen)} designs"):
        costs = [cost_of(scenario, design) for design in chosen]
        curve = curve_of(scenario, chosen, *varied) if varied else None
        if picture is not None and curve is not None:
            save_picture(curve, f"{scenario.name}: cycles over {curve.let}", picture)
    if as_json:
        prices = {name: PriceDocument(c.low, c.typical, c.high, c.source) for name, c in COSTS.items()}
        print_json(CostDocument(scenario.name, prices, costs, curve, str(picture) if picture else None))
    else:
        _print(console(), scenario, costs, curve, picture)
    finish(0)


def _varied(scenario: Scenario, text: str | None) -> tuple[str, list[int]] | None:
    """The let that varies and its values: ``exits=1,2,4``, ``exits=1..64``, or the only let of the scenario."""
    if text is None:
        return (next(iter(scenario.lets)), VALUES) if len(scenario.lets) == 1 else None
    name, _, values = text.partition("=")
    if name not in scenario.lets:
        why = unknown("let", name, scenario.lets) if scenario.lets else f"{scenario.name} has no let"
        raise InputError(why, f"--vary {text}")
    if match := re.fullmatch(r"(\d{1,6})\.\.(\d{1,6})", values):
        numbers = list(range(int(match[1]), int(match[2]) + 1))
    elif re.fullmatch(r"\d{1,6}(,\d{1,6})*", values):
        numbers = sorted({int(value) for value in values.split(",")})
    else:
        raise InputError("expected NAME=1,2,4 or NAME=1..64", f"--vary {text}")
    if not 2 <= len(numbers) <= POINTS_LIMIT:
        raise InputError(f"{len(numbers)} values, expected 2 to {POINTS_LIMIT}", f"--vary {text}")
    return name, numbers


def _print(out: Console, scenario: Scenario, costs: list[Cost], curve: Curve | None, picture: Path | None) -> None:
    least = min((c.cycles.typical for c in costs if c.cycles.typical and c.telling), default=0)
    table = Table(title=f"{scenario.name}, the whole run", title_justify="left", title_style="bold")
    table.pad_edge, table.box, table.padding = False, None, (0, 2, 0, 0)
    table.add_column("design", no_wrap=True)
    used = [op for op in COLUMNS if any(c.operations.get(op) for c in costs)]
    for op in used:
        table.add_column(COLUMNS[op], justify="right", no_wrap=True)
    table.add_column("cycles", justify="right", no_wrap=True)
    table.add_column("range", justify="right", no_wrap=True)
    table.add_column("ratio", justify="right", no_wrap=True)
    for c in costs:
        counts = [f"{c.operations.get(op, 0):,}" for op in used]
        price = f"{c.cycles.low:,} to {c.cycles.high:,}"
        ratio = f"{c.cycles.typical / least:.2f}x" if least and c.telling else ""
        ratio = ratio or (c.verdict if c.finished else "not finished")
        table.add_row(c.design, *counts, f"{c.cycles.typical:,}", price, ratio)
    print_table(out, table)
    for op, paid in COSTS.items():
        text = f"{op} {paid.typical:,} ({paid.low:,} to {paid.high:,}): {paid.source}"
        out.print(text, style="dim", soft_wrap=True)
    if curve is not None:
        out.print()
        _print_curve(out, curve)
    if picture is not None:
        out.print(f"picture: {picture}", soft_wrap=True)


def _print_curve(out: Console, curve: Curve) -> None:
    step = -(-len(curve.values) // COLUMNS_LIMIT)
    table = Table(title=f"typical cycles over {curve.let}", title_justify="left", title_style="bold")
    table.pad_edge, table.box, table.padding = False, None, (0, 2, 0, 0)
    table.add_column("", no_wrap=True)
    for value in curve.values[::step]:
        table.add_column(str(value), justify="right", no_wrap=True)
    table.add_column("design")
    for letter, (names, points) in zip(letters_of(curve), curve.alike().items(), strict=True):
        table.add_row(letter, *(f"{point.typical:,}" for point in points[::step]), names)
    print_table(out, table)
    out.print(text_of(curve), markup=False, soft_wrap=True)
