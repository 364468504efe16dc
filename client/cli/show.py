"""``lbrlab show``."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.text import Text

from client.check.judge import Finding
from client.cli.console import console, print_text
from client.litmus.spelling import unknown
from client.report.json import print_json
from client.report.log import Log
from client.run.file import load_judged
from client.schedule.decisions import format_tape
from contract.errors import InputError
from contract.invariants import INVARIANTS
from contract.trace import AnyRecord


class LineDocument(msgspec.Struct):
    """``show --json`` prints a list of these. ``cpu`` -1: no CPU. ``broken``: invariants that this record violates."""

    seq: int
    time: int
    cpu: int
    source: str
    text: str
    broken: list[str]


class TapeDocument(msgspec.Struct):
    """``tape --json``: the decisions as text, as in a tape file, one for each line."""

    run: str
    tape: list[str]


def tape(path: Path, *, as_json: bool) -> None:
    decisions = load_judged(path).tape
    if as_json:
        print_json(TapeDocument(str(path), [str(decision) for decision in decisions]))
    else:
        print(format_tape(decisions), end="")


def show(path: Path, invariant: str | None, *, as_json: bool) -> None:
    if invariant is not None and invariant not in INVARIANTS:
        raise InputError(unknown("invariant", invariant, INVARIANTS), "--invariant")
    run = load_judged(path)
    try:
        _show(run.records, [f for f in run.verdict.findings if invariant in (None, f.invariant)], invariant, as_json)
    except LookupError as error:
        raise InputError(f"a record has a value that no run has ({error})", str(path)) from None


def _show(trace: list[AnyRecord], findings: list[Finding], invariant: str | None, as_json: bool) -> None:
    log = Log(trace, findings)
    shown: set[int] | None = None
    if invariant is not None:
        shown = {seq for f in findings for v in f.violations for seq in (v.seq, *v.because)}
    if as_json:
        print_json([_document(log, r.seq) for r in trace if shown is None or r.seq in shown])
    elif shown is not None and not shown:
        print(f"{invariant}: {findings[0].verdict}")
    else:
        out = console()
        for line in log.lines() if shown is None else log.excerpt(shown):
            print_text(out, Text(line), hang=log.text_column)


def _document(log: Log, seq: int) -> LineDocument:
    record = log.records[seq - 1]
    return LineDocument(
        seq,
        record.time,
        record.lane,
        record.source,
        log.describer.text(record),
        log.marks.get(seq, []),
    )
