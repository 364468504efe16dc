"""The cells of a matrix on a pool of processes, by default on all cores. A scenario with all its designs is one
task."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from client.drive.wire import Wire
from client.litmus import Scenario, format_scenario
from client.litmus.fault import FaultRule
from client.matrix.cell import Cell, impossible_cell, run_cell
from client.workers.pool import InThisProcess, Pool
from client.workers.processes import Processes
from client.workers.tasks import Tasks, WorkerDiedError
from contract.design import Design
from contract.errors import LbrlabError, SystemFailedError

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


def run_tasks(
    tasks: Sequence[Task],
    designs: list[Design],
    folder: Path | None,
    *,
    workers: int = 0,
    wire: Wire | None = None,
    pool: Pool | None = None,
    done: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """The row of each task, in order; ``done`` is called for each finished row. ``workers`` 0: one for each core. A
    given ``wire`` plays all of them in this process, one after the other; a given ``pool`` plays them on its processes,
    and stays open. Raises PartialError with the finished rows on KeyboardInterrupt, and when workers die again and
    again, or their pool fails."""
    rows: dict[int, Row] = {}
    try:
        with _pool_of(1 if wire else workers, len(tasks), pool) as chosen:
            for number, row in _rows(tasks, designs, folder, chosen, wire):
                rows[number] = row
                done(row)
    except KeyboardInterrupt:
        raise InterruptedMatrixError(rows, "interrupted") from None
    except (WorkerDiedError, SystemFailedError) as error:
        raise PartialError(rows, str(error)) from None
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
    tasks: Sequence[Task], designs: list[Design], folder: Path | None, pool: Pool, wire: Wire | None
) -> Iterator[tuple[int, Row]]:
    if wire is not None:
        for number, (scenario, faults) in enumerate(tasks):
            yield number, run_row(scenario, designs, folder, faults, wire)
        return
    running: Tasks[int] = Tasks(pool)
    left = list(enumerate(tasks))[::-1]
    while left or running:
        while left and len(running) < pool.ahead():
            number, (scenario, faults) = left.pop()
            running.add(number, run_row, scenario, designs, folder, faults)
        got = running.take()
        if got is not None:
            yield got


@contextmanager
def _pool_of(workers: int, tasks: int, given: Pool | None) -> Iterator[Pool]:
    """``given``; or processes that end with the matrix."""
    if given is not None:
        yield given
        return
    workers = min(workers or os.cpu_count() or 1, tasks)
    pool: Pool = InThisProcess() if workers <= 1 else Processes(workers)
    try:
        yield pool
    finally:
        pool.close()
