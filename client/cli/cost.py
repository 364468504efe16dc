"""``lbrlab cost``: the cost of designs for the same work."""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from client.cli.choose import chosen_designs, design_arguments
from client.cli.command import finish
from client.cli.console import console, print_columns, print_text
from client.cost.draw import check_picture, letters_of, save_picture, text_of
from client.cost.measure import Cost, Curve, cost_of, curve_of
from client.files import make_folder, write_file
from client.litmus import Scenario
from client.litmus.spelling import unknown
from client.page.cost_page import cost_page
from client.page.html import check_target
from client.report.cost_documents import CostDocument, PriceDocument
from client.report.json import print_json
from client.run.choose import find_scenario
from contract.errors import InputError
from perfcore_svc.machine.prices import PRICES

VALUES = [1, 2, 4, 8, 16, 32, 64]
POINTS_LIMIT = 64
PAGE = ".html"
"""The ending of a picture that is a page with the tables."""
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
    if picture is not None and varied is None and picture.suffix != PAGE:
        raise InputError(f"{scenario.name} has no let to draw a curve over", "--picture")
    if picture is not None:
        check_target(picture) if picture.suffix == PAGE else check_picture(picture)
        make_folder(picture.parent)
    with console(stderr=True).status(f"{scenario.name} under {len(chosen)} designs"):
        costs = [cost_of(scenario, design) for design in chosen]
        curve = curve_of(scenario, chosen, *varied) if varied else None
        if picture is not None and picture.suffix == PAGE:
            write_file(picture, cost_page(name, design_arguments(designs, chosen), costs, curve, picture).encode())
        elif picture is not None and curve is not None:
            save_picture(curve, f"{scenario.name}: cycles over {curve.let}", picture)
    if as_json:
        prices = {name: PriceDocument(c.low, c.typical, c.high, c.source) for name, c in PRICES.items()}
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
    print_text(out, f"[bold]{escape(scenario.name)}, the whole run[/]")
    used = [op for op in COLUMNS if any(c.operations.get(op) for c in costs)]
    head = ["design", "cycles", "range", "ratio", *(COLUMNS[op] for op in used)]
    rows = []
    for c in costs:
        ratio = f"{c.cycles.typical / least:.2f}x" if least and c.telling else ""
        ratio = ratio or (c.verdict if c.finished else "not finished")
        price = f"{c.cycles.low:,} to {c.cycles.high:,}"
        counts = [f"{c.operations.get(op, 0):,}" for op in used]
        rows.append([escape(c.design), f"{c.cycles.typical:,}", price, ratio, *counts])
    print_columns(out, head, rows, right=True)
    for op, paid in PRICES.items():
        text = f"{op} {paid.typical:,} ({paid.low:,} to {paid.high:,}): {paid.source}"
        print_text(out, f"[dim]{escape(text)}[/]", hang=4)
    if curve is not None:
        out.print()
        _print_curve(out, curve)
    if picture is not None:
        print_text(out, f"picture: {escape(str(picture))}", hang=4)


def _print_curve(out: Console, curve: Curve) -> None:
    step = -(-len(curve.values) // COLUMNS_LIMIT)
    alike = curve.alike()
    letters = list(letters_of(curve))
    rows = [
        [letter, *(f"{point.typical:,}" for point in points[::step])]
        for letter, points in zip(letters, alike.values(), strict=True)
    ]
    print_text(out, f"[bold]typical cycles over {escape(curve.let)}[/]")
    print_columns(out, ["", *map(str, curve.values[::step])], rows, right=True)
    for letter, names in zip(letters, alike, strict=True):
        print_text(out, f"{letter}  {escape(names)}", hang=3)
    out.print(text_of(curve), markup=False, soft_wrap=True)
