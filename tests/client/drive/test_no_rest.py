"""A message that is lost each time it is sent: the run ends at a bound, not at rest."""

from __future__ import annotations

import pytest

from client.check.judge import judge
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule import strategies
from client.schedule.schedule import Schedule
from client.schedule.strategies import ReplayStrategy
from contract.errors import InputError
from contract.invariants import INVARIANTS
from contract.trace import End, Rest
from tests.cases import cases
from tests.designs import FENCED, REVOKE_GP
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
