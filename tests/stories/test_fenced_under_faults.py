"""fenced keeps every safety invariant under random faults of every kind, and is live once they have stopped."""

from __future__ import annotations

from functools import cache
from random import Random

from msgspec.structs import replace

from client.litmus.fault_kinds import FAULT_KINDS
from client.litmus.fault_rules import parse_fault
from contract.trace import Crash, Killed, ShuttingDown
from tests.designs import FENCED, REVOKE_GP
from tests.stories.__main__ import FAULTS, chunks, main
from tests.stories.faulted import LAST_RECORD, random_rules, tell_faulted
from tests.stories.played import Told

SEEDS = (*range(30), 73, 79)
"""In the last of these a guest that was denied can recover. ``python -m tests.stories --faults`` plays more."""


@cache
def told(seed: int) -> Told:
    return tell_faulted(FENCED, seed)


def test_no_fault_breaks_what_fenced_claims() -> None:
    for seed in SEEDS:
        assert told(seed).broken == {}, f"seed {seed}"


def test_the_runs_have_faults_and_can_break_much() -> None:
    runs = [told(seed).played for seed in SEEDS]
    assert sum(bool(run.of(Crash)) for run in runs) > 3
    assert sum(bool(run.of(Killed)) for run in runs) > 3
    assert sum(bool(run.of(ShuttingDown)) for run in runs) > 1
    asked = set().union(*(told(seed).asked for seed in SEEDS))
    assert asked >= {"one-owner", "no-leak", "no-loss", "agreement", "revoke-completes", "no-starvation", "recovers"}


def test_a_design_that_trusts_the_stream_breaks_under_them() -> None:
    loose = replace(REVOKE_GP, claims=FENCED.claims)
    assert any(tell_faulted(loose, seed).broken for seed in SEEDS)


def test_the_rules_are_of_every_kind_have_a_text_and_stop() -> None:
    rules = [rule for seed in range(60) for rule in random_rules(Random(seed))]
    assert {rule.kind for rule in rules} == set(FAULT_KINDS)
    for rule in rules:
        assert parse_fault(str(rule)) == rule
        assert rule.before_record == LAST_RECORD or rule.chance == 1


def test_the_campaign_plays_them(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    assert [name for name, *_ in chunks([FENCED, REVOKE_GP], 50, 0, faults=FAULTS)] == ["fenced"]
    arguments = ["--design", "fenced", "--faults", "--stories", "2", "--processes", "1", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert "fenced, faults: 2 stories, seeds 0 to 1" in capsys.readouterr().out
