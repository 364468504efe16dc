"""Runs that would go on for ever end at a bound: a message is lost each time, or comes later than it is asked for."""

from __future__ import annotations

import pytest

from client.check.judge import judge
from client.litmus import parse
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule import strategies
from client.schedule.decisions import Pass
from client.schedule.schedule import Schedule
from client.schedule.strategies import ReplayStrategy
from contract.errors import InputError
from contract.invariants import INVARIANTS
from contract.trace import End, Rest
from tests.cases import cases
from tests.designs import FENCED, REVOKE_ACK, REVOKE_GP
from tests.library import library_scenario

STORY = library_scenario("central-story")


@pytest.fixture(autouse=True)
def few_timers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strategies, "FIRED_LIMIT", 20)


def lost_always(rule: str) -> Run:
    return run(Inputs(STORY, FENCED, Schedule((parse_fault(rule),))))


@cases("rule", ["drop Revoke", "corrupt Revoke"])
def test_what_must_happen_in_the_end_is_open_and_safety_is_judged(rule: str) -> None:
    played = lost_always(rule)
    told = {f.invariant: f.verdict for f in judge(played.records)}
    assert sum(isinstance(r, End) for r in played.records) == 1
    assert not any(isinstance(r, Rest) for r in played.records)
    assert (told["revoke-completes"], told["no-starvation"]) == ("open", "open")
    assert (told["one-owner"], told["agreement"]) == ("held", "not exercised")
    assert set(told) == set(INVARIANTS)
    assert "violated" not in told.values()


def test_a_design_that_does_not_send_again_is_at_rest() -> None:
    played = run(Inputs(STORY, REVOKE_GP, Schedule((parse_fault("drop Revoke"),))))
    assert sum(isinstance(r, Rest) for r in played.records) == 1


def test_its_tape_replays_to_the_same_records() -> None:
    played = lost_always("drop Revoke")
    again = run(Inputs(STORY, FENCED, Schedule(other=lambda: ReplayStrategy(played.tape))))
    assert again.records == played.records


def test_a_tape_with_fewer_timers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    played = lost_always("drop Revoke")
    monkeypatch.setattr(strategies, "FIRED_LIMIT", 1000)
    with pytest.raises(InputError, match="the tape ends, but 'timer host>kvm0 resend' is still possible"):
        run(Inputs(STORY, FENCED, Schedule(other=lambda: ReplayStrategy(played.tape))))


PROLONGED = parse(
    """LBR prolonged machine { cpus = 1; } vm vm0 { lbr = on; }
    host { run vm0/0 on cpu0; c = open cpu0 flexible counter; advance 6ms; }
    vm0/0 { wrmsr DEBUGCTL, LBR; branch 1; }""",
    "prolonged",
)


@cases("rule", ["delay EventState by 12ms", "hold EventState by 12ms"])
def test_an_answer_that_always_comes_after_the_next_question_does_not_keep_a_run_going(rule: str) -> None:
    """KVM prolongs its grant each 2.5 ms while it has no answer."""
    played = run(Inputs(PROLONGED, REVOKE_ACK, Schedule((parse_fault(rule),))))
    assert isinstance(played.records[-1], Rest)
    assert sum(isinstance(d, Pass) for d in played.tape) == 20
    again = run(Inputs(PROLONGED, REVOKE_ACK, Schedule(other=lambda: ReplayStrategy(played.tape))))
    assert again.records == played.records
