"""The whole library under every design, on one core and on two; all claims; random stories, played and judged."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from client.check.judge import judge
from client.claims import CLAIMS
from client.claims.claim import Lab
from client.litmus import library, load
from client.matrix.pool import run_tasks
from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.schedule import Schedule
from client.stories.story import contended
from tests.bench.figures import Figure, median, spread
from tests.designs import DESIGNS, FENCED
from tests.schedules import Reckless

ROUNDS = 3
STORIES = 300


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def figures() -> list[Figure]:
    scenarios, designs = [load(path) for path in library()], list(DESIGNS.values())
    tasks = [(scenario, ()) for scenario in scenarios]
    runs = len(scenarios) * len(designs)
    alone: list[float] = []
    both: list[float] = []
    claims: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            alone.append(_seconds(lambda: run_tasks(tasks, designs, Path(folder), workers=1)))
            both.append(_seconds(lambda: run_tasks(tasks, designs, Path(folder), workers=2)))
            claims.append(_seconds(lambda: [list(claim.evaluate(Lab(Path(folder)))) for claim in CLAIMS]))
    stories = [STORIES / _seconds(_play_stories) for _ in range(ROUNDS)]
    ratio = median(alone) / median(both)
    return [
        Figure(f"matrix, {runs:,} runs, one process", median(alone), "s", "", spread(alone, "s")),
        Figure(f"matrix, {runs:,} runs, two processes", median(both), "s", "", spread(both, "s")),
        Figure("one process / two processes", ratio, "x"),
        Figure("all claims", median(claims), "s", "", spread(claims, "s")),
        Figure("random stories, judged", median(stories), "1/s", "", spread(stories, "1/s")),
    ]


def _play_stories() -> None:
    for seed in range(STORIES):
        rng = Random(seed)
        judge(run(Inputs(contended(rng), FENCED, Schedule(other=partial(Reckless, rng)))).records)
