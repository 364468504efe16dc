"""Runs and their costs."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from client.litmus import Scenario
from client.run.inputs import Inputs
from client.run.run import run
from contract.design import Design
from perfcore_svc.machine.prices import cycles


class Cycles(msgspec.Struct):
    """The cost of the counted operations, by published prices (``perfcore_svc/machine/prices.py``)."""

    low: int
    typical: int
    high: int


class Cost(msgspec.Struct):
    """``operations``: the silicon's counts in the whole run. ``verdict``: the verdict of the run. ``finished``: every
    thread finished its work. If not, or if the verdict is undecided, the cost means little."""

    design: str
    operations: dict[str, int]
    cycles: Cycles
    verdict: str
    finished: bool

    @property
    def telling(self) -> bool:
        return self.finished and self.verdict != "undecided"


class Curve(msgspec.Struct):
    """Cycles of each design over the values of one ``let`` of the scenario."""

    let: str
    values: list[int]
    cycles: dict[str, list[Cycles]]

    def alike(self) -> dict[str, list[Cycles]]:
        """The lines that differ. Designs with the same line have their names joined."""
        lines: list[tuple[list[str], list[Cycles]]] = []
        for design, points in self.cycles.items():
            same = next((names for names, other in lines if other == points), None)
            if same is None:
                lines.append(([design], points))
            else:
                same.append(design)
        return {", ".join(names): points for names, points in lines}


def cost_of(scenario: Scenario, design: Design) -> Cost:
    played = run(Inputs(scenario, design))
    if played.interrupted:
        raise KeyboardInterrupt
    verdict, operations = played.verdict, played.operations
    done = not verdict.unfinished and verdict.verdict != "failed"
    return Cost(design.name, operations, Cycles(*cycles(operations)), verdict.verdict, done)


def curve_of(scenario: Scenario, designs: list[Design], let: str, values: list[int]) -> Curve:
    stories = [replace(scenario, lets=scenario.lets | {let: value}) for value in values]
    return Curve(let, values, {d.name: [cost_of(story, d).cycles for story in stories] for d in designs})
