"""Runs of the central story per second on the simulated wire, one core: played, and played and judged."""

from __future__ import annotations

import time

from client.check.judge import judge
from client.cli.demo import STORY
from client.litmus import Scenario, load
from client.run.inputs import Inputs
from client.run.run import run
from contract.design import Design
from tests.bench.figures import Figure, median, spread
from tests.designs import DESIGNS

ROUNDS = 7
RUNS = 200


def _rate(scenario: Scenario, design: Design, *, judged: bool) -> list[float]:
    rates = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(RUNS):
            played = run(Inputs(scenario, design))
            if judged:
                judge(played.records)
        rates.append(RUNS / (time.perf_counter() - start))
    return rates


def figures() -> list[Figure]:
    scenario = load(STORY)
    found = []
    for name, design in DESIGNS.items():
        rates = _rate(scenario, design, judged=False)
        found.append(Figure(f"sim runs, {name}", median(rates), "runs/s", "1,000", spread(rates, "runs/s")))
    rates = _rate(scenario, DESIGNS["merged"], judged=True)
    found.append(Figure("sim runs, merged, judged too", median(rates), "runs/s", "", spread(rates, "runs/s")))
    return found
