"""``lbrlab oracle``: recorded cases of real kernels replayed through the model."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import track
from rich.text import Text

from client.cli.command import finish
from client.cli.console import console, print_text
from client.oracle.cases import load_cases
from client.oracle.compare import CaseResult, examine
from client.report.json import print_json
from contract.errors import ExitCode, InputError
from contract.kernels import KERNELS, unknown_kernel


class OracleDocument(msgspec.Struct):
    """``totals`` counts cases; ``hard`` ones are neither unstable nor sensitive, and only they decide the exit code."""

    exit_code: int
    totals: dict[str, int]
    cases: list[CaseResult]


def oracle(paths: list[Path], kernel: str | None, *, verbose: bool, as_json: bool) -> None:
    if kernel is not None and kernel not in KERNELS:
        raise InputError(unknown_kernel(kernel), "--kernel")
    cases = load_cases(paths)
    if not cases:
        raise InputError("expected a recorded case on each line, found none", ", ".join(map(str, paths)))
    quiet = not sys.stderr.isatty()
    bar = track(cases, "replaying", console=console(stderr=True), transient=True, disable=quiet)
    results = [examine(case, kernel) for case in bar]
    totals = _totals(results)
    code = ExitCode.VIOLATED if totals["hard_disagreeing"] else ExitCode.HELD
    if as_json:
        print_json(OracleDocument(int(code), totals, results))
    else:
        _print(console(), results, totals, verbose=verbose)
    finish(code)


def _totals(results: list[CaseResult]) -> dict[str, int]:
    hard = [r for r in results if not r.soft]
    soft = [r for r in results if r.soft]
    return {
        "cases": len(results),
        "phases": sum(r.phases for r in results),
        "shares": sum(r.shares for r in results),
        "hard": len(hard),
        "hard_disagreeing": sum(bool(r.disagreements) for r in hard),
        "soft": len(soft),
        "soft_disagreeing": sum(bool(r.disagreements) for r in soft),
    }


def _print(out: Console, results: list[CaseResult], totals: dict[str, int], *, verbose: bool) -> None:
    for result in results:
        kind = "unstable or sensitive" if result.soft else "DISAGREES"
        if verbose and not result.disagreements:
            out.print(f"{result.case}: {result.phases} phases agree under {result.kernel}", markup=False)
        for d in result.disagreements:
            subject = f"{d.event} {d.quantity}" if d.event else d.quantity
            text = f"{result.case} ({kind}), phase {d.phase}: {subject}: observed {d.observed}, model {d.model}"
            print_text(out, Text(text), hang=2)
    t = totals
    agree, soft = t["hard"] - t["hard_disagreeing"], t["soft"] - t["soft_disagreeing"]
    compared = f"{t['cases']} cases, {t['phases']} phases, {t['shares']} states and shares"
    stable = f"{agree} of {t['hard']} stable cases agree"
    print_text(out, Text(f"{compared}: {stable}; {soft} of {t['soft']} unstable or sensitive ones do"), hang=2)
