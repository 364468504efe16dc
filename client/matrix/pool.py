"""The cells of a matrix on all cores. Workers are spawned, never forked. A scenario with all its designs is one
task."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from client.drive.wire import Wire
from client.litmus import Scenario, format_scenario
from client.litmus.fault import FaultRule
from client.matrix.cell import Cell, impossible_cell, run_cell
from contract.design import Design
from contract.errors import LbrlabError

Row = list[Cell]
Task = tuple[Scenario, tuple[FaultRule, ...]]
"""A scenario, and the faults of its runs behind those of its file."""


def run_row(
    scenario: Scenario,
    designs: list[Design],
    folder: Path | None,
    faults: tuple[FaultRule, ...],
    wire: Wire | None = None,
) -> Row:
    """One scenario under each design. ``folder``: the folder for run files. ``wire``: as in ``run_cell``."""
    row = []
    text = format_scenario(scenario) if folder else ""
    for design in designs:
        path = folder / f"{scenario.name}-{design.name}.json" if folder else None
        try:
            row.append(run_cell(scenario, design, path, faults, wire, text))
        except LbrlabError as error:
            row.append(impossible_cell(scenario, design, error))
    return row


def run_rows(
    scenarios: list[Scenario],
    designs: list[Design],
    folder: Path | None,
    faults: tuple[FaultRule, ...] = (),
    *,
    workers: int = 0,
    wire: Wire | None = None,
    done: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """All rows in the order of ``scenarios``. The rest is as in ``run_tasks``."""
    tasks = [(scenario, faults) for scenario in scenarios]
    return run_tasks(tasks, designs, folder, workers=workers, wire=wire, done=done)


def run_tasks(
    tasks: Sequence[Task],
    designs: list[Design],
    folder: Path | None,
    *,
    workers: int = 0,
    wire: Wire | None = None,
    done: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """The row of each task, in order; ``done`` is called for each finished row. ``workers`` 0: one for each core. A
    given ``wire`` plays all of them in this process, one after the other. Raises PartialError with the finished rows on
    KeyboardInterrupt and when a worker dies."""
    rows: dict[int, Row] = {}
    try:
        for number, row in _rows(tasks, designs, folder, workers or os.cpu_count() or 1, wire):
            rows[number] = row
            done(row)
    except KeyboardInterrupt:
        raise InterruptedMatrixError(rows, "interrupted") from None
    except BrokenProcessPool:
        raise PartialError(rows, "a worker process has died") from None
    return [rows[n] for n in sorted(rows)]


class PartialError(Exception):
    """The matrix ended early: ``rows`` are complete, ``by_number`` has them by the number of their task, from 0."""

    def __init__(self, rows: dict[int, Row], why: str) -> None:
        super().__init__(why)
        self.by_number = rows
        self.rows = [rows[n] for n in sorted(rows)]


class InterruptedMatrixError(PartialError):
    """Ctrl-C ended the matrix."""


def _rows(
    tasks: Sequence[Task], designs: list[Design], folder: Path | None, workers: int, wire: Wire | None
) -> Iterator[tuple[int, Row]]:
    if wire is not None or workers == 1 or len(tasks) < 2:
        for number, (scenario, faults) in enumerate(tasks):
            yield number, run_row(scenario, designs, folder, faults, wire)
        return
    pool = ProcessPoolExecutor(min(workers, len(tasks)), get_context("spawn"), _ignore_interrupts)
    try:
        waiting: dict[Future[Row], int] = {
            pool.submit(run_row, scenario, designs, folder, faults): number
            for number, (scenario, faults) in enumerate(tasks)
        }
        while waiting:
            finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield waiting.pop(future), future.result()
    finally:
        # Wait for the running tasks; else the pool ends before it has cancelled the others.
        pool.shutdown(wait=True, cancel_futures=True)


def _ignore_interrupts() -> None:
    """Workers ignore SIGINT; the parent handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
