"""The JSON documents that ``--json`` prints, and how they are made. One document a command, on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import msgspec

from client.baseline import Compared
from client.check.judge import MONITORS
from client.check.monitor import Monitor
from client.claims.checks import Check
from client.cost.measure import Cost, Curve, Cycles
from client.matrix.cell import Cell
from client.matrix.summary import Worst
from client.run.file import AppliedFault, Failure, failure_of, faults_of
from client.run.final import Registers
from client.run.run import Run
from client.run.verdict import FinalResult
from contract.design import FIELDS, Design, axis_about, axis_values
from contract.invariants import OPEN
from contract.trace import kind_of
from perfcore_svc.machine.cost import cycles


class ViolationDocument(msgspec.Struct):
    """``seq``: the record that breaks it; ``because``: earlier records that make it so."""

    invariant: str
    seq: int
    text: str
    because: list[int]


class PendingDocument(msgspec.Struct):
    """A thing that an open liveness invariant still waits for. ``seq``: the record from which it was due."""

    invariant: str
    seq: int
    text: str


class RunDocument(msgspec.Struct, kw_only=True):
    """``run``, ``check``. ``verdict``: held, expected, violated, failed or undecided; ``exit_code``: what the command
    ends with. ``surprises``: what is not as expected, as in ``Verdict``; ``baseline``: those against
    a baseline, null without one.
    ``invariants``: name to held, violated, open or not exercised. ``outcome``: ``actor:register`` to a number, a
    word or a table of fields. ``operations``: what the silicon counted. ``run``: path of the
    run file."""

    verdict: str
    why: str
    exit_code: int
    scenario: str
    design: str
    wire: str
    invariants: dict[str, str]
    violations: list[ViolationDocument]
    pending: list[PendingDocument]
    outcome: Registers
    final: FinalResult | None
    unfinished: dict[str, str]
    surprises: list[str]
    faults: list[AppliedFault]
    failure: Failure | None
    operations: dict[str, int]
    cycles: Cycles
    run: str | None
    baseline: Compared | None = None


class DemoDocument(msgspec.Struct):
    """``demo``. ``runs`` in the order of the table's columns; ``example``: the violation that is shown, as log
    lines."""

    verdict: str
    exit_code: int
    runs: list[RunDocument]
    example: list[str]


class MatrixDocument(msgspec.Struct):
    """``matrix``. ``cells``: each run of it, by scenario and design, with its run file. ``worst``: invariant to design
    to the worst verdict, and the scenarios in which it came out so. ``cut_short``: why not all scenarios are there, ""
    if they are. ``baseline``: the surprises of all cells against a baseline, null without one."""

    verdict: str
    exit_code: int
    cut_short: str
    kernel: str | None
    faults: list[str]
    designs: list[str]
    cells: list[Cell]
    worst: dict[str, dict[str, Worst]]
    baseline: Compared | None = None


class ClaimDocument(msgspec.Struct):
    """``agrees``: all checks do. A check has the design, what the claim says of it, what the trace says, the run file
    and the record in it that shows that."""

    id: str
    who: str
    text: str
    agrees: bool
    checks: list[Check]


class ClaimsDocument(msgspec.Struct):
    """``claims``. ``baseline``: the checks that are not as claimed against a baseline, null without one."""

    exit_code: int
    agree: int
    findings: int
    claims: list[ClaimDocument]
    baseline: Compared | None = None


class PriceDocument(msgspec.Struct):
    """Cycles of one operation, and where that is published."""

    low: int
    typical: int
    high: int
    source: str


class CostDocument(msgspec.Struct):
    """``cost``. ``curve``: cycles over one let of the scenario, null where it has none. ``picture``: the file."""

    scenario: str
    prices: dict[str, PriceDocument]
    designs: list[Cost]
    curve: Curve | None
    picture: str | None


class ValueDocument(msgspec.Struct):
    """A value of an axis, and the designs that have it."""

    about: str
    designs: list[str]


class AxisDocument(msgspec.Struct):
    about: str
    values: dict[str, ValueDocument]


class ErrorDocument(msgspec.Struct):
    """Any command that ends in 2 or 3 before it has a result."""

    error: str
    exit_code: int


def run_document(run: Run) -> RunDocument:
    verdict, operations = run.verdict, run.operations
    return RunDocument(
        verdict=verdict.verdict,
        why=verdict.why,
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
    )


def designs_document(designs: list[Design]) -> dict[str, dict[str, object]]:
    """``designs``: name to purpose, axes, and claims (invariant to the condition of the promise)."""
    return {
        design.name: {"about": design.about, "axes": design.axes(), "claims": design.promises()} for design in designs
    }


def axes_document(designs: list[Design]) -> dict[str, AxisDocument]:
    """``designs --axes``: axis to what it is about, and who is where on it."""
    return {
        axis: AxisDocument(
            axis_about(axis),
            {
                name: ValueDocument(getattr(value, "about", ""), [d.name for d in designs if d.axes()[axis] == name])
                for name, value in axis_values(axis).items()
            },
        )
        for axis in FIELDS
    }


class InvariantDocument(msgspec.Struct, kw_only=True):
    """``liveness``: something happens in the end; else it is of safety: nothing bad happens. ``reads``: kind of record
    to what the monitor takes from it. The other fields are those of ``client.check.definition.Definition``."""

    about: str
    liveness: bool
    text: str
    broken_by: str
    evidence: str
    open_while: str
    reads: dict[str, str]
    unseen: str


def invariant_document(invariant: type[Monitor]) -> InvariantDocument:
    definition = invariant.definition
    return InvariantDocument(
        about=invariant.about,
        liveness=invariant.liveness,
        text=definition.text,
        broken_by=definition.broken_by,
        evidence=definition.evidence,
        open_while=definition.open_while,
        reads={kind_of(record): taken for record, taken in definition.reads.items()},
        unseen=definition.unseen,
    )


def invariants_document(invariants: Iterable[type[Monitor]] = MONITORS) -> dict[str, InvariantDocument]:
    """``invariants``: name to definition."""
    return {invariant.name: invariant_document(invariant) for invariant in invariants}


def print_json(document: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")
