"""Outcomes over many schedules: counted, with witnesses, and with the verdict of herd7."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from client.litmus import library_path, load, parse
from client.litmus.fault_rules import parse_fault
from client.search.outcomes import outcomes
from contract.errors import ExitCode
from tests.cases import cases
from tests.designs import MERGED, REVOKE_GP

OPENED = (
    "LBR o machine { cpus = 1; } host { b = open cpu0 pinned branch any_call; h = open cpu0 pinned branch any; } "
    "host1 { c = open cpu0 pinned branch any_return; } "
)


def test_orders_give_outcomes_and_the_counts_add_up() -> None:
    found = outcomes(parse(f"{OPENED} exists (host:b.state = ACTIVE)"), MERGED, 30, 1)
    assert len(found.found) > 1
    assert [o.count for o in found.found] == sorted((o.count for o in found.found), reverse=True)
    assert sum(o.count for o in found.found) == found.runs == 30
    assert found.positive + found.negative == 30
    assert (found.observation, found.exit_code) == ("Sometimes", ExitCode.HELD)


@cases(
    ("condition", "observation", "code"),
    [
        ("exists (host:b.state = OFF)", "Never", ExitCode.UNDECIDED),
        ("~exists (host:b.state = OFF)", "Never", ExitCode.HELD),
        ("forall (host:b.state = ACTIVE)", "Sometimes", ExitCode.VIOLATED),
        ("~exists (host:b.state = ACTIVE)", "Sometimes", ExitCode.VIOLATED),
        ("exists (host:b.samples = 0)", "Always", ExitCode.HELD),
    ],
)
def test_ok_is_what_the_quantifier_asks(condition: str, observation: str, code: ExitCode) -> None:
    found = outcomes(parse(f"{OPENED} {condition}"), MERGED, 12, 1)
    assert (found.observation, found.exit_code, found.ok) == (observation, code, code is ExitCode.HELD)


def test_outcomes_beyond_the_limit_count_for_the_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with and those without the value are each beyond the limit for one of the conditions."""
    monkeypatch.setattr("client.search.outcomes.STATES_LIMIT", 1)
    for state in ("ACTIVE", "INACTIVE", "ERROR"):
        found = outcomes(parse(f"{OPENED} exists (host:b.state = {state})"), MERGED, 30, 1)
        assert (len(found.found), found.found[0].count + found.beyond, found.runs) == (1, 30, 30)
        assert found.beyond > 0
        assert found.positive + found.negative == 30
        assert (found.positive > 0) == (state != "INACTIVE")


def test_a_rule_that_meets_nothing_in_a_schedule_decides_nothing() -> None:
    story = parse("LBR quiet host { h = open cpu0 pinned branch any; branch 3 on cpu0; s = sample h; }")
    assert outcomes(story, REVOKE_GP, 4, 0, (parse_fault("drop Revoke 1"),)).exit_code is ExitCode.HELD


def test_the_faults_of_the_file_come_before_those_that_are_given() -> None:
    story = load(library_path("central-story"))
    dropped = replace(story, faults=[parse_fault("drop Revoke 1")])
    found = outcomes(dropped, REVOKE_GP, 4, 1, (parse_fault("drop SchedOut 1"),))
    assert (
        found.violated
        == outcomes(story, REVOKE_GP, 4, 1, tuple(map(parse_fault, ("drop Revoke 1", "drop SchedOut 1")))).violated
    )
    assert found.violated != outcomes(story, REVOKE_GP, 4, 1).violated
