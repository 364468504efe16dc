"""One random story under one design, and the claims of the design that it breaks."""

from __future__ import annotations

from random import Random

import msgspec

from client.check.judge import judge
from client.drive.play import Played, Player
from client.drive.sim import SimWire
from client.litmus import Scenario
from contract.design import Condition, Design
from contract.trace import VcpuMoved
from tests.stories.schedule import Reckless
from tests.stories.story import contended


class Told(msgspec.Struct):
    """``broken``: claimed invariant to the text of its first violation. ``asked``: the claimed invariants that the
    story could have broken."""

    played: Played
    broken: dict[str, str]
    asked: set[str]


def conditions_of(design: Design) -> list[Condition]:
    """The conditions of its claims."""
    return [condition for condition in Condition if any(claim.condition is condition for claim in design.claims)]


def story_of(seed: int) -> Scenario:
    return contended(Random(seed))


def tell(design: Design, condition: Condition, seed: int) -> Told:
    """The story ``seed`` under a schedule that ``condition`` allows; the same seed gives the same run.

    A claim of no-loss says nothing of a vCPU whose LBR user space leaves behind at a migration."""
    played = Player(SimWire(), story_of(seed), design, Reckless(Random(~seed), condition)).play()
    assert played.failure is None, played.failure
    claimed = set(design.claimed(condition))
    if any(isinstance(record, VcpuMoved) and not record.lbr for record in played.records):
        claimed.discard("no-loss")
    findings = [finding for finding in judge(played.records) if finding.invariant in claimed]
    return Told(
        played,
        {finding.invariant: finding.violations[0].text for finding in findings if finding.violations},
        {finding.invariant for finding in findings if finding.verdict != "not exercised"},
    )
