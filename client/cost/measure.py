"""Runs and what they cost."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from client.litmus import Scenario
from client.matrix.cell import Cell, run_cell
from contract.design import Design
from perfcore_svc.machine.cost import cycles


class Cycles(msgspec.Struct):
    """What the counted operations cost, by published prices (``perfcore_svc/machine/cost.py``)."""

    low: int
    typical: int
    high: int


class Cost(msgspec.Struct):
    """``operations``: what the silicon counted in the whole run. ``verdict``: of the run; its cost says little where
    the guest did not get to the end of its work (``undecided``, or starved)."""

    design: str
    operations: dict[str, int]
    cycles: Cycles
    verdict: str


class Curve(msgspec.Struct):
    """Cycles of each design over the values of one ``let`` of the scenario."""

    let: str
    values: list[int]
    cycles: dict[str, list[Cycles]]

    def alike(self) -> dict[str, list[Cycles]]:
        """The lines that differ; designs of one line have their names joined."""
        lines: list[tuple[list[str], list[Cycles]]] = []
        for design, points in self.cycles.items():
            same = next((names for names, other in lines if other == points), None)
            if same is None:
                lines.append(([design], points))
            else:
                same.append(design)
        return {", ".join(names): points for names, points in lines}


def cost_of(scenario: Scenario, design: Design) -> Cost:
    cell: Cell = run_cell(scenario, design, None).cell
    return Cost(design.name, cell.operations, Cycles(*cycles(cell.operations)), cell.verdict)


def curve_of(scenario: Scenario, designs: list[Design], let: str, values: list[int]) -> Curve:
    stories = [replace(scenario, lets=scenario.lets | {let: value}) for value in values]
    return Curve(let, values, {d.name: [cost_of(story, d).cycles for story in stories] for d in designs})
