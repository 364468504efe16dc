"""The violations of a run that count against its design."""

from __future__ import annotations

import re

from client.check.automaton import Violation
from client.run.expected import expected_verdicts
from client.run.run import Run
from contract.design import Condition, Design
from contract.invariants import VIOLATED
from contract.trace import VcpuMoved

_PERFS_GAP = re.compile(
    r"(?!vlbr:)\S+ \(task-flexible\) has the LBR of cpu\d+, (?!vlbr:)\S+ \(CPU-flexible\) is INACTIVE"
)


def excused(invariant: str, text: str, left_behind: set[str]) -> bool:
    """Whether a violation is not the design's, whatever the design is. ``left_behind``: vCPUs that were migrated
    without their LBR.

    User space left the LBR of a vCPU behind at a migration: no-loss of that vCPU. Perf does not walk a class again
    while it is on, so that a CPU-flexible host event waits while a task-flexible one has the LBR: precedence between
    those two (``ctx_sched_in``; ``contract/fenced.md``, last section)."""
    if invariant == "no-loss":
        return text.split(" ")[0] in left_behind
    return invariant == "precedence" and _PERFS_GAP.fullmatch(text) is not None


def owed(design: Design, condition: Condition) -> frozenset[str] | None:
    """The invariants that a design has to keep under a condition: those that it claims there. If it claims nothing
    there, those that it claims for a complete stream: a fault must not be counted that breaks what is broken without
    it. None, all of them, if it claims nothing at all."""
    return frozenset(design.claimed(condition) or design.claimed(Condition.COMPLETE)) or None


def counted(run: Run, condition: Condition) -> dict[str, Violation]:
    """Invariant to its first violation that counts: it is not expected by the scenario, not excused, and the design has
    to keep the invariant."""
    broken = [finding for finding in run.findings if finding.verdict == VIOLATED]
    if not broken:
        return {}
    expected = expected_verdicts(run.scenario, run.design.name)
    promised = owed(run.design, condition)
    left_behind = {r.vcpu for r in run.records if isinstance(r, VcpuMoved) and not r.lbr}
    found: dict[str, Violation] = {}
    for finding in broken:
        name = finding.invariant
        if expected.get(name) == VIOLATED or (promised is not None and name not in promised):
            continue
        first = next((v for v in finding.violations if not excused(name, v.text, left_behind)), None)
        if first is not None:
            found[name] = first
    return found
