"""Each rule of the contract is needed: without it something breaks that holds with it."""

from __future__ import annotations

from typing import Any

import pytest

from client.designs import design_named
from client.document.needed import SCENARIOS
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.schedule import Schedule
from contract.rules import RULES
from tests.library import library_scenario
from tests.rules.table import BY_AXIS, TABLE, Removed


def play(design: str, scenario: str, faults: tuple[str, ...], strategy: Any = None) -> Run:
    schedule = Schedule(tuple(map(parse_fault, faults)), other=strategy)
    return run(Inputs(library_scenario(scenario), design_named(design), schedule)).finished()


def broken(row: Removed) -> set[str]:
    if row.cores is not None:
        return row.cores()
    played = play(row.design, row.scenario, row.faults, row.strategy)
    assert played.unmet == []
    return set(played.broken())


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.rule)
def test_without_the_rule_something_breaks(row: Removed, monkeypatch: pytest.MonkeyPatch) -> None:
    assert next(rule for rule in RULES if rule.id == row.rule).kept(design_named(row.design))
    assert broken(row) == set()
    row.without(monkeypatch)
    assert broken(row) >= row.broken


@pytest.mark.parametrize("rule", BY_AXIS)
def test_without_its_axis_value_something_breaks(rule: str) -> None:
    row = BY_AXIS[rule]
    without = f"{row.design}+{row.value}"
    kept = next(one for one in RULES if one.id == rule).kept
    assert (kept(design_named(row.design)), kept(design_named(without))) == (True, False)
    assert play(row.design, row.scenario, row.faults).broken() == []
    assert set(play(without, row.scenario, row.faults).broken()) >= row.broken


def test_every_rule_is_taken_away_somewhere() -> None:
    """Here, or by an axis of fenced (``tests/client/document/test_needed.py``)."""
    assert {row.rule for row in TABLE} | set(BY_AXIS) | set(SCENARIOS) == {rule.id for rule in RULES}
