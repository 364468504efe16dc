"""A litmus file that fails as the run did: its scenario and faults, and the expectation that nothing is violated."""

from __future__ import annotations

import re

from msgspec.structs import replace

from client.designs import DESIGNS
from client.designs.toml import format_design
from client.export.command import early_option, follows_faults, is_named, wire_option
from client.litmus import format_scenario
from client.litmus.ast import Expect, Scenario
from client.run.run import Run
from client.schedule.decisions import format_tape
from client.timeline.timeline import Timeline
from contract.design import Design

WIDTH = 80
_BLANK = re.compile(r"(?<! ) (?! )")
"""One blank alone."""


def litmus(run: Run, timeline: Timeline) -> str:
    """A tape that the faults do not give, and a design that has no name, stand behind the scenario as comments."""
    by_faults, named = follows_faults(run), is_named(run.design)
    scenario = asking(run.scenario, run.broken(), run.design)
    scenario = replace(scenario, faults=list(run.faults) if by_faults else [])
    design, tape = (
        run.design.name if named else "./mine.toml",
        "" if by_faults else f" --tape mine.tape{early_option(run)}",
    )
    return "\n".join([
        f"// A run under {run.design.name}: {run.verdict.verdict}.",
        "// It fails again as long as the violation is there:",
        *([] if named else ["//     sed -n 's,^// design: ,,p' FILE > mine.toml"]),
        *([] if by_faults else ["//     sed -n 's,^// tape: ,,p' FILE > mine.tape"]),
        f"//     lbrlab run FILE -d {design}{tape}{wire_option(run)}",
        folded(format_scenario(scenario)),
        *([] if named else _commented("design", format_design(run.design))),
        *([] if by_faults else _commented("tape", format_tape(run.tape))),
    ])  # fmt: skip


def folded(text: str, width: int = WIDTH) -> str:
    """The text of a scenario in lines of ``width`` columns. A line break with its indentation means the same as
    one blank, in a purpose as well."""
    lines = []
    for line in text.split("\n"):
        rest, indent = line, " " * (len(line) - len(line.lstrip()))
        while len(rest) > width:
            breaks = [found.start() for found in _BLANK.finditer(rest, len(indent) + 4)]
            at = max((place for place in breaks if place <= width), default=min(breaks, default=0))
            if not at:
                break
            lines.append(rest[:at])
            rest = f"{indent}    {rest[at + 1 :]}"
        lines.append(rest)
    return "\n".join(lines)


def _commented(label: str, text: str) -> list[str]:
    return [*(f"// {label}: {line}" for line in text.splitlines()), ""]


def asking(scenario: Scenario, broken: list[str], design: Design) -> Scenario:
    """The scenario, with the expectation that the ``broken`` invariants hold. Its own expectations for these invariants
    under this design are taken away."""
    if not broken:
        return scenario
    kept = []
    for expect in scenario.expects:
        mine = not expect.under or design.name in expect.under
        left = tuple(name for name in expect.invariants if not mine or name not in broken)
        if left:
            kept.append(replace(expect, invariants=left))
    under = (design.name,) if design.name in DESIGNS else ()
    return replace(scenario, expects=[*kept, Expect("held", tuple(broken), under)])
