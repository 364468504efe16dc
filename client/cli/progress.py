"""The rows of a matrix with a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from client.cli.console import console
from client.drive.wire import Wire
from client.matrix.pool import Row, Task, run_tasks
from client.workers.pool import Pool
from contract.design import Design


def run_tasks_with_progress(
    tasks: Sequence[Task],
    designs: list[Design],
    folder: Path | None,
    workers: int = 0,
    wire: Wire | None = None,
    pool: Pool | None = None,
) -> list[Row]:
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with progress:
        task = progress.add_task("runs", total=len(tasks) * len(designs))
        return run_tasks(
            tasks,
            designs,
            folder,
            workers=workers,
            wire=wire,
            pool=pool,
            done=lambda row: progress.update(task, advance=len(row), description=row[0].scenario[:32].ljust(32)),
        )
