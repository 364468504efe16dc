"""One random story under one design, and the claims of the design that it breaks."""

from __future__ import annotations

from functools import lru_cache
from random import Random

import msgspec

from client.litmus import Scenario
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.schedule import Schedule
from client.search.counted import excused
from client.stories.story import contended
from contract.design import Condition, Design
from contract.invariants import NOT_EXERCISED
from contract.trace import VcpuMoved
from tests.schedules import Reckless


class Told(msgspec.Struct):
    """``broken``: claimed invariant to the text of its first violation. ``asked``: the claimed invariants that the
    story could have broken."""

    played: Run
    broken: dict[str, str]
    asked: set[str]


def conditions_of(design: Design) -> list[Condition]:
    """The conditions of its claims."""
    return [condition for condition in Condition if any(claim.condition is condition for claim in design.claims)]


@lru_cache(maxsize=1024)
def story_of(seed: int) -> Scenario:
    """All callers share it: change a copy."""
    return contended(Random(seed))


def tell(design: Design, condition: Condition, seed: int) -> Told:
    """The story ``seed`` under a schedule that ``condition`` allows; the same seed gives the same run."""
    return told_of(
        run(Inputs(story_of(seed), design, Schedule(other=lambda: Reckless(Random(~seed), condition)))), condition
    )


def told_of(played: Run, condition: Condition) -> Told:
    """The claims of its design under ``condition`` that a run breaks, and those that it could have broken."""
    assert played.failure is None, played.failure
    claimed = played.design.claimed(condition)
    findings = [finding for finding in played.verdict.findings if finding.invariant in claimed]
    left_behind = {r.vcpu for r in played.records if isinstance(r, VcpuMoved) and not r.lbr}
    told = Told(played, {}, {finding.invariant for finding in findings if finding.verdict != NOT_EXERCISED})
    for finding in findings:
        for violation in finding.violations:
            if not excused(finding.invariant, violation.text, left_behind):
                told.broken.setdefault(finding.invariant, violation.text)
    return told
