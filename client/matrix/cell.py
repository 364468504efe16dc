"""One cell: a scenario under a design, judged, with its run file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from client.baseline import Compared
from client.check.verdict import Verdict, verdict_on
from client.drive.play import INTERRUPTED, Player
from client.drive.sim import SimWire
from client.drive.wire import Wire
from client.litmus import Scenario
from client.run_file import kept_beside, run_file, save
from client.schedule.faults import Fault, faults_met
from client.schedule.strategies import DefaultStrategy
from contract.design import Design
from contract.errors import InputError, LbrlabError
from contract.trace import AnyRecord, Rest


class Cell(msgspec.Struct):
    """``verdict``: as of a run. ``broken``: the invariants that are violated, none where only the scenario's final
    condition is. ``unmet``: faults that met no message. ``invariants``: name to held, violated, open or not exercised.
    ``run``: path of the run file, None where it could not be kept. ``surprises``: as of a run, or ``impossible``;
    ``baseline``: those against a baseline, None without one."""

    scenario: str
    design: str
    verdict: str
    why: str
    broken: list[str]
    unmet: list[str]
    invariants: dict[str, str]
    operations: dict[str, int]
    run: str | None
    surprises: list[str] = []
    baseline: Compared | None = None


class Played(msgspec.Struct):
    """What there is to look at of a run: its records beside the cell."""

    cell: Cell
    verdict: Verdict
    records: list[AnyRecord]


def run_cell(
    scenario: Scenario, design: Design, path: Path | None, faults: tuple[Fault, ...] = (), wire: Wire | None = None
) -> Played:
    """Play and judge; ``path`` is where the run file goes. A run that fails is a verdict, too.

    ``wire``: the simulated one if none is given."""
    played = Player(wire or SimWire(), scenario, design, DefaultStrategy(faults)).play()
    if played.failure is not None and played.failure.reason == INTERRUPTED:
        raise KeyboardInterrupt
    failed = f"{played.failure.service}: {played.failure.reason}" if played.failure else ""
    met = faults_met(faults, played.records)
    unmet = tuple(str(fault) for fault in faults if fault not in met)
    verdict = verdict_on(scenario, played.records, failed, unmet)
    kept = None
    if path is not None:
        path = kept_beside(path, failed=played.failure is not None)
        with suppress(InputError):
            save(run_file(played, faults), path)
            kept = str(path)
    return Played(_cell(scenario, design, verdict, unmet, played.records, kept), verdict, played.records)


def _cell(
    scenario: Scenario,
    design: Design,
    verdict: Verdict,
    unmet: tuple[str, ...],
    records: list[AnyRecord],
    run: str | None,
) -> Cell:
    return Cell(
        scenario.name,
        design.name,
        verdict.verdict,
        verdict.why,
        [f.invariant for f in verdict.findings if f.verdict == "violated"],
        list(unmet),
        {f.invariant: f.verdict for f in verdict.findings},
        operations_of(records),
        run,
        verdict.surprises,
    )


def operations_of(records: list[AnyRecord]) -> dict[str, int]:
    """What the silicon of all hosts counted in a whole run."""
    total: dict[str, int] = {}
    rest = next((r for r in reversed(records) if isinstance(r, Rest)), None)
    for host in rest.hosts if rest else ():
        for name, count in host.operations.items():
            total[name] = total.get(name, 0) + count
    return total


def impossible_cell(scenario: Scenario, design: Design, error: LbrlabError) -> Cell:
    """A scenario that this design cannot be put to; the rest of the matrix goes on."""
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
