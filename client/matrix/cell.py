"""One cell: a scenario under a design, judged, with its run file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from client.baseline import Compared
from client.drive.wire import Wire
from client.litmus import Scenario
from client.litmus.fault import FaultRule
from client.run.file import keep
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.schedule import Schedule
from contract.design import Design
from contract.errors import InputError, LbrlabError


class Cell(msgspec.Struct):
    """``verdict``: the verdict of the run. ``broken``: the invariants that are violated, empty if only the scenario's
    final condition is. ``unmet``: faults that matched no message. ``invariants``: name to held, violated, open or not
    exercised. ``run``: path of the run file, None if it could not be kept. ``surprises``: those of the run, or
    ``impossible``; ``baseline``: those compared with a baseline, None without one."""

    scenario: str
    design: str
    verdict: str
    reason: str
    broken: list[str]
    unmet: list[str]
    invariants: dict[str, str]
    operations: dict[str, int]
    run: str | None
    surprises: list[str] = []
    baseline: Compared | None = None


def run_cell(
    scenario: Scenario,
    design: Design,
    path: Path | None,
    faults: tuple[FaultRule, ...] = (),
    wire: Wire | None = None,
    text: str = "",
) -> Cell:
    """Run a cell. ``path`` is the path of the run file, ``text`` is the text of the scenario. A run that fails gives a
    verdict, too. ``wire``: None is the simulated wire. Raises KeyboardInterrupt if Ctrl-C ended the run."""
    played = run(Inputs(scenario, design, Schedule(faults), wire))
    if played.interrupted:
        raise KeyboardInterrupt
    if path is not None:
        with suppress(InputError):
            keep(played, path, text)
    return cell_of(played)


def cell_of(run: Run) -> Cell:
    verdict = run.verdict
    return Cell(
        run.scenario.name,
        run.design.name,
        verdict.verdict,
        verdict.reason,
        run.broken(),
        [str(fault) for fault in run.unmet],
        {f.invariant: f.verdict for f in verdict.findings},
        run.operations,
        str(run.path) if run.path else None,
        verdict.surprises,
    )


def impossible_cell(scenario: Scenario, design: Design, error: LbrlabError) -> Cell:
    """The cell of a scenario that this design cannot play; the rest of the matrix continues."""
    verdict = "failed" if not isinstance(error, InputError) else "impossible"
    return Cell(
        scenario.name,
        design.name,
        verdict,
        str(error),
        [],
        [],
        {},
        {},
        None,
        [verdict] if verdict == "impossible" else [],
    )
