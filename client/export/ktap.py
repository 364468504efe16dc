"""KTAP version 1, as ``Documentation/dev-tools/ktap.rst`` of the kernel describes it: one test for each invariant."""

from __future__ import annotations

import textwrap

from client.export.markdown import folded
from client.export.repeat import repetition
from client.run.expected import expected_verdicts
from client.run.run import Run
from client.timeline.timeline import Timeline
from contract.invariants import ABOUT, NOT_EXERCISED, OPEN, VIOLATED

WIDTH = 80
LABEL = 24
"""Columns for the name of a file before its lines, if it is not long."""


def ktap(run: Run, timeline: Timeline) -> str:
    """An expected violation is XFAIL, an open invariant TODO, and one that is not exercised SKIP. The last test is the
    final condition of the scenario, if it has one."""
    verdict = run.verdict
    expected = expected_verdicts(run.scenario, run.design.name)
    lines = ["KTAP version 1", *_comment(f"{run.scenario.name} under {run.design.name}: {verdict.verdict}")]
    lines += [*_repeat(run), f"1..{len(verdict.findings) + (verdict.final is not None)}"]
    for number, finding in enumerate(verdict.findings, 1):
        lines += _comment(f"{finding.invariant}: {ABOUT[finding.invariant]}")
        for v in finding.violations:
            lines += _comment(f"{finding.invariant}: record {v.seq}: {v.text}")
        result, mark = "ok", ""
        if finding.verdict == VIOLATED:
            result, mark = "not ok", " # XFAIL" if expected.get(finding.invariant) == VIOLATED else ""
        elif finding.verdict == OPEN:
            result, mark = "not ok", f" # TODO open: {'; '.join(due.text for due in finding.pending) or 'not at rest'}"
        elif finding.verdict == NOT_EXERCISED:
            mark = " # SKIP not exercised"
        lines.append(f"{result} {number} {finding.invariant}{mark}")
    if verdict.final is not None:
        ends = {"held": "ok", "witnessed": "ok", "violated": "not ok"}
        result = ends.get(verdict.final.result, "ok")
        mark = "" if verdict.final.result in ends else f" # SKIP {verdict.final.result}"
        lines += _comment(f"condition: {verdict.final.condition}")
        lines += [f"{result} {len(verdict.findings) + 1} condition{mark}"]
    return "\n".join([*lines, ""])


def _repeat(run: Run) -> list[str]:
    """The command, and each file that it names with the command that cuts it out of this one."""
    again = repetition(run, WIDTH - LABEL)
    lines = [f"#     sed -n 's,^# {name.replace('.', '[.]')}: *,,p' FILE > {name}" for name in again.files]
    indent = "#     " if again.files else "# "
    lines += [f"{indent}{line}" for line in folded(again.command, WIDTH - len(indent))]
    blocks = [f"# {name}: {line}".rstrip() for name, text in again.files.items() for line in text.splitlines()]
    return [*(["# To repeat it from this FILE:"] if again.files else []), *lines, *blocks]


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent="# ", subsequent_indent="#     ", break_long_words=False, break_on_hyphens=False
    )
