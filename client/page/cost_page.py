"""The page of ``lbrlab cost``: the cost of each design, the curve over a ``let``, and the prices."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from html import escape
from pathlib import Path

from client.cost.measure import Cost, Curve
from client.page.tables import Grid, ListRow, Picture, RowList, Section, TableCell, anchor_of, tables_page
from perfcore_svc.machine.prices import PRICES

WIDTH, HEIGHT, LEFT, BOTTOM = 760, 380, 70, 40
COLOURS = 8
"""Colours of lines; the style has as many."""
_KINDS = {"violated": "bad", "failed": "bad", "undecided": "open"}


def cost_page(scenario: str, designs: dict[str, str], costs: Sequence[Cost], curve: Curve | None, target: Path) -> str:
    """``scenario``: as the command line names it. ``designs``: name to the text with which the command line does."""
    used = [op for op in PRICES if any(cost.operations.get(op) for cost in costs)]
    rows = []
    for cost in costs:
        anchor = anchor_of("run", cost.design)
        numbers = [cost.cycles.typical, cost.cycles.low, cost.cycles.high, *(cost.operations.get(op, 0) for op in used)]
        cells = [TableCell(f"{number:,}", "", anchor) for number in numbers]
        rows.append((cost.design, [*cells, TableCell(_state(cost), _KINDS.get(cost.verdict, ""), anchor)]))
    head = ["design", "cycles", "at least", "at most", *used, "run"]
    sections = [Section("The whole run", [Grid("Operations and cycles", head, rows, numbers=True)])]
    if curve is not None:
        sections.append(Section(f"Cycles over {curve.let}", [picture(curve), _curve(curve)]))
    prices = [
        ListRow(anchor_of("price", op), (op, f"{price.typical:,}", f"{price.low:,}", f"{price.high:,}", price.source))
        for op, price in PRICES.items()
    ]
    head = ["operation", "cycles", "at least", "at most", "source"]
    sections += [
        Section("Runs", _runs(scenario, designs, costs, curve)),
        Section("Prices", [RowList("Prices", head, prices)]),
    ]
    return tables_page(f"The cost of {scenario}", "Operations of each design for the same work.", sections, target)


def _state(cost: Cost) -> str:
    return cost.verdict if cost.finished else "not finished"


def _curve(curve: Curve) -> Grid:
    rows = [
        (
            design,
            [
                TableCell(f"{point.typical:,}", "", anchor_of("point", design, str(value)))
                for value, point in zip(curve.values, points, strict=True)
            ],
        )
        for design, points in curve.cycles.items()
    ]
    return Grid("Typical cycles", [curve.let, *map(str, curve.values)], rows, numbers=True)


def _runs(
    scenario: str, designs: dict[str, str], costs: Sequence[Cost], curve: Curve | None
) -> list[Grid | RowList | str | Picture]:
    def command(design: str, let: str = "") -> str:
        return f"lbrlab run {shlex.quote(scenario)} -d {shlex.quote(designs[design])}{let}"

    whole = [
        ListRow(anchor_of("run", cost.design), (cost.design, _state(cost)), command(cost.design)) for cost in costs
    ]
    found: list[Grid | RowList | str | Picture] = [RowList("The whole run", ["design", "verdict"], whole)]
    if curve is not None:
        points = [
            ListRow(
                anchor_of("point", design, str(value)),
                (design, str(value), f"{cycles.typical:,}"),
                command(design, f" --let {curve.let}={value}"),
            )
            for design, line in curve.cycles.items()
            for value, cycles in zip(curve.values, line, strict=True)
        ]
        found.append(RowList("The points of the curve", ["design", curve.let, "cycles"], points))
    return found


def picture(curve: Curve) -> Picture:
    """Typical cycles as lines; designs with the same line share one."""
    alike = curve.alike()
    high = max((point.typical for points in alike.values() for point in points), default=0) or 1
    wide = max(curve.values) or 1
    legend = HEIGHT + 8

    def x(value: int) -> float:
        return LEFT + value / wide * (WIDTH - LEFT - 10)

    def y(cycles: int) -> float:
        return HEIGHT - BOTTOM - cycles / high * (HEIGHT - BOTTOM - 12)

    title = escape(f"Typical cycles over {curve.let}")
    size = f"{WIDTH} {legend + 18 * len(alike)}"
    lines = [
        f'<svg viewBox="0 0 {size}" width="{WIDTH}" role="img" aria-label="{title}"><title>{title}</title>',
        f'<path class="axis" d="M{LEFT} 10V{HEIGHT - BOTTOM}H{WIDTH - 10}"/>',
        f'<text x="{LEFT}" y="{HEIGHT - 8}">{escape(curve.let)}</text>',
    ]
    lines += [
        f'<text x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{value}</text>'
        for value in sorted({curve.values[0], curve.values[len(curve.values) // 2], curve.values[-1]})
    ]
    lines += [
        f'<text x="{LEFT - 6}" y="{y(cycles) + 4:.1f}" text-anchor="end">{cycles:,}</text>'
        for cycles in (0, high // 2, high)
    ]
    for number, (names, points) in enumerate(alike.items()):
        places = " ".join(f"{x(v):.1f},{y(p.typical):.1f}" for v, p in zip(curve.values, points, strict=True))
        at = legend + 18 * number + 8
        lines.append(f'<g class="c{number % COLOURS}"><polyline class="curve" points="{places}"/>')
        lines.append(f'<path class="curve" d="M{LEFT} {at}h24"/></g>')
        lines.append(f'<text x="{LEFT + 30}" y="{at + 4}">{escape(names)}</text>')
    return Picture("\n".join([*lines, "</svg>"]))
