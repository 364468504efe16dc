"""The documents of ``run --json``, ``check --json`` and ``demo --json``, and how they are made."""

from __future__ import annotations

import msgspec

from client.baseline import Compared
from client.check.excuses import Excuse, excuses_of
from client.cost.measure import Cycles
from client.run.file import AppliedFault, Failure, failure_of, faults_of
from client.run.final import RegisterValues
from client.run.run import Run
from client.run.verdict import FinalResult
from contract.invariants import OPEN
from perfcore_svc.machine.prices import cycles


class ViolationDocument(msgspec.Struct):
    """``seq``: the record that breaks it; ``because``: earlier records that make it so."""

    invariant: str
    seq: int
    text: str
    because: list[int]


class PendingDocument(msgspec.Struct):
    """Something that an open liveness invariant still waits for. ``seq``: the record from which it is due."""

    invariant: str
    seq: int
    text: str


class RunDocument(msgspec.Struct, kw_only=True):
    """``run``, ``check``. ``verdict``: held, expected, violated, failed or undecided; ``exit_code``: that of the
    command. ``surprises``: each deviation from the expectation, as in ``Verdict``; ``baseline``: those against
    a baseline, null without one.
    ``invariants``: name to held, violated, open or not exercised. ``outcome``: ``actor:register`` to a number, a
    word or a table of fields. ``operations``: the counts of the silicon. ``run``: path of the
    run file. ``notes``: other facts about the run: that it is a replay, that a VM has no LBR.
    ``excuses``: the violations that the monitors excused after a fault of this run."""

    verdict: str
    reason: str
    exit_code: int
    scenario: str
    design: str
    wire: str
    invariants: dict[str, str]
    violations: list[ViolationDocument]
    pending: list[PendingDocument]
    outcome: RegisterValues
    final: FinalResult | None
    unfinished: dict[str, str]
    surprises: list[str]
    faults: list[AppliedFault]
    failure: Failure | None
    operations: dict[str, int]
    cycles: Cycles
    run: str | None
    notes: list[str] = []
    excuses: list[Excuse] = []
    baseline: Compared | None = None


class DemoDocument(msgspec.Struct):
    """``demo``. ``runs`` in the order of the table's columns; ``example``: the violation that is shown, as log
    lines."""

    verdict: str
    exit_code: int
    runs: list[RunDocument]
    example: list[str]


def run_document(run: Run) -> RunDocument:
    verdict, operations = run.verdict, run.operations
    return RunDocument(
        verdict=verdict.verdict,
        reason=verdict.reason,
        exit_code=int(verdict.exit_code),
        scenario=run.scenario.name,
        design=run.design.name,
        wire=run.wire,
        invariants={f.invariant: f.verdict for f in verdict.findings},
        violations=[
            ViolationDocument(f.invariant, v.seq, v.text, v.because) for f in verdict.findings for v in f.violations
        ],
        pending=[
            PendingDocument(f.invariant, due.seq, due.text)
            for f in verdict.findings
            if f.verdict == OPEN
            for due in f.pending
        ],
        outcome=verdict.outcome,
        final=verdict.final,
        unfinished=verdict.unfinished,
        surprises=verdict.surprises,
        faults=faults_of(run),
        failure=failure_of(run),
        operations=operations,
        cycles=Cycles(*cycles(operations)),
        run=str(run.path) if run.path else None,
        notes=[f"{vm} has lbr = on, its host has no LBR: LBR_FMT is 0" for vm in run.scenario.without_lbr()],
        excuses=excuses_of(run.records, verdict.findings),
    )
