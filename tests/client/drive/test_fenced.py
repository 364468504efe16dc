"""fenced keeps what it promises, whatever is lost, doubled or overtaken, and whatever runs out."""

from __future__ import annotations

from functools import cache
from random import Random

import pytest

from client.check.judge import Finding, judge
from client.drive.play import Player
from client.drive.sim import SimWire
from contract.design import Design
from tests.client.drive.stories import Reckless, contended
from tests.designs import FENCED, REVOKE_GP

SEEDS = 400


@cache
def played(design: Design, seed: int) -> tuple[Finding, ...]:
    rng = Random(seed)
    run = Player(SimWire(), contended(rng), design, Reckless(rng)).play()
    assert run.failure is None
    return tuple(judge(run.records))


def broken(design: Design, seed: int) -> dict[str, str]:
    """Invariant to what was said first. perf's own gap between host events aside: a class that is on is not walked
    again, so that one of a higher class can wait."""
    found: dict[str, str] = {}
    for finding in played(design, seed):
        for violation in finding.violations:
            if finding.invariant != "precedence" or "vlbr" in violation.text:
                found.setdefault(finding.invariant, violation.text)
    return found


@pytest.mark.parametrize("tens", range(SEEDS // 10))
def test_nothing_breaks(tens: int) -> None:
    for seed in range(10 * tens, 10 * tens + 10):
        assert broken(FENCED, seed) == {}, f"seed {seed}"


def test_these_stories_ask_for_every_invariant() -> None:
    asked = {f.invariant for seed in range(SEEDS) for f in played(FENCED, seed) if f.verdict != "not exercised"}
    assert asked == {finding.invariant for finding in played(FENCED, 0)}


def test_and_break_what_a_notifier_alone_promises() -> None:
    found: set[str] = set()
    for seed in range(SEEDS):
        found |= broken(REVOKE_GP, seed).keys()
    assert found >= {"one-owner", "no-loss", "agreement", "no-starvation", "no-silent-denial"}
