"""The documents of ``shrink --json`` and ``confirm --json``, and how they are made."""

from __future__ import annotations

import msgspec

from client.litmus import format_scenario
from client.report.log import Log
from client.run.difference import Difference
from client.run.run import Run
from client.shrink.nearest import Nearest
from client.shrink.shrink import Candidate
from client.shrink.shrunk import Shrunk
from contract.trace import AnyRecord


class DifferenceDocument(msgspec.Struct):
    """``record``: number of the first record that is another. ``one``, ``other``: its lines in the logs of the two
    traces, null where a trace has ended."""

    record: int
    one: str | None
    other: str | None


class NearestDocument(msgspec.Struct):
    """``change``: the change of the tape of the shrunk run; ``tape``: the changed tape; ``difference``: ``one`` is of
    the shrunk run, ``other`` of this one."""

    change: str
    tape: list[str]
    difference: DifferenceDocument


class SizeDocument(msgspec.Struct):
    """``decisions``: all of the tape; ``steps``, ``faults``, ``unusual``: those that are steps of a thread, faults, not
    those of the default tape."""

    faults: int
    statements: int
    threads: int
    vms: int
    cpus: int
    decisions: int
    steps: int
    unusual: int


class ShrinkDocument(msgspec.Struct, kw_only=True):
    """``shrink``. ``violated``: the invariants that the run violates before and after, empty for the final condition or
    a failure. ``failure``: the failure of the shrunk run, "" if it does not fail. ``faults``: each fault that is left,
    to the invariants that are violated without it, with ``failed`` if the run fails then. ``schedules``: number of
    schedules played to find ``nearest``. ``runs``: number of runs played for the rest. ``complete``: nothing more can
    be taken away. ``text``: the scenario that is left. ``run``: its run file."""

    exit_code: int
    scenario: str
    design: str
    violated: list[str]
    failure: str
    before: SizeDocument
    after: SizeDocument
    faults: dict[str, list[str]]
    nearest: NearestDocument | None
    schedules: int
    runs: int
    complete: bool
    text: str
    tape: list[str]
    run: str | None


class ConfirmDocument(msgspec.Struct):
    """``confirm``. ``difference``: ``one`` is of the run file, ``other`` of the two processes; null if both are the
    same. ``reason``: why the replay ended early."""

    verdict: str
    exit_code: int
    records: int
    difference: DifferenceDocument | None
    reason: str


def size_of(case: Candidate) -> SizeDocument:
    scenario = case.scenario
    return SizeDocument(
        faults=len(case.faults),
        statements=len(list(scenario.steps())),
        threads=len(scenario.blocks),
        vms=len(scenario.vms),
        cpus=scenario.cpus(),
        decisions=len(case.run.tape),
        steps=case.steps,
        unusual=len(case.unusual),
    )


def difference_document(difference: Difference, one: list[AnyRecord], other: list[AnyRecord]) -> DifferenceDocument:
    ours = Log(one, []).line(difference.one) if difference.one is not None else None
    theirs = Log(other, []).line(difference.other) if difference.other is not None else None
    return DifferenceDocument(difference.seq, ours, theirs)


def _nearest(found: Nearest, shrunk: Run) -> NearestDocument:
    played = found.case.run
    difference = difference_document(found.difference, shrunk.records, played.records)
    return NearestDocument(found.change, [str(decision) for decision in played.tape], difference)


def shrink_document(shrunk: Shrunk) -> ShrinkDocument:
    run = shrunk.run
    return ShrinkDocument(
        exit_code=0,
        scenario=run.scenario.name,
        design=run.design.name,
        violated=list(shrunk.target.invariants),
        failure=str(run.failure or ""),
        before=size_of(shrunk.before),
        after=size_of(shrunk.after),
        faults=shrunk.faults,
        nearest=_nearest(shrunk.nearest, shrunk.after.run) if shrunk.nearest else None,
        schedules=shrunk.schedules,
        runs=shrunk.runs,
        complete=shrunk.complete,
        text=format_scenario(run.scenario),
        tape=[str(decision) for decision in run.tape],
        run=str(run.path) if run.path else None,
    )
