"""Outcomes over many schedules: counted, with witnesses, and with the verdict of herd7."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace

from client.drive.play import InterruptedRunError
from client.litmus import library_path, load, parse
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.schedule import Schedule
from client.search.outcomes import outcomes, sampled
from contract.errors import ExitCode, SystemFailedError
from tests.cases import cases
from tests.designs import DESIGNS, FENCED, MERGED, REVOKE_GP

SEED = 2

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


def test_an_outcome_names_the_first_schedule_that_gives_it() -> None:
    """The most frequent outcome is not the first one here. A schedule is drawn from the seed and its number alone."""
    scenario = parse(f"{OPENED} exists (host:b.state = ACTIVE)")
    found = outcomes(scenario, MERGED, 12, SEED)
    played = [run(sampled(Inputs(scenario, MERGED), SEED, number)) for number in range(1, 13)]
    assert found.found[0].first > 1
    for outcome in found.found:
        values = [fields(each) for each in played]
        assert values.index(fields(outcome.witness)) == outcome.first - 1
        assert outcome.witness.tape == played[outcome.first - 1].tape


def fields(of: Run) -> str:
    return str(of.verdict.outcome["host:b"])


def test_the_first_run_that_violates_an_invariant_is_its_witness() -> None:
    story = load(library_path("central-story"))
    found = outcomes(story, REVOKE_GP, 8, 1, (parse_fault("drop Revoke 1"),))
    name = next(name for name, count in found.violated.items() if count > 1)
    dropped = Schedule((parse_fault("drop Revoke 1"),))
    played = [run(sampled(Inputs(story, REVOKE_GP, dropped), 1, number)) for number in range(1, 9)]
    assert found.witnesses[name].tape == next(each.tape for each in played if name in each.broken())


def test_a_run_that_fails_and_one_that_ctrl_c_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    story, runs = load(library_path("central-story")), 0

    def third_is_cut_short(inputs: Inputs) -> Run:
        nonlocal runs
        runs += 1
        played = run(inputs)
        return dataclasses.replace(played, failure=InterruptedRunError()) if runs == 3 else played

    monkeypatch.setattr("client.search.outcomes.run_or_failure", third_is_cut_short)
    assert outcomes(story, MERGED, 5, 1).runs == 2
    failed = dataclasses.replace(run(Inputs(story, FENCED)), failure=SystemFailedError("kvm", "died"))
    monkeypatch.setattr("client.search.outcomes.run_or_failure", lambda inputs: failed)
    assert outcomes(story, FENCED, 2, 1).exit_code is ExitCode.SYSTEM_FAILED


def test_runs_that_violate_only_what_is_expected_are_decided() -> None:
    story = replace(load(library_path("mech-debugctl-mask")), final=None)
    found = outcomes(story, DESIGNS["v7"], 2, 1)
    assert found.verdicts == {"expected": 2}
    assert (found.observation, found.exit_code) == ("", ExitCode.HELD)


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
