"""A plan and a number give the same run everywhere; designs and scenarios come in turn."""

from __future__ import annotations

import gc
import pickle
from collections import Counter
from functools import lru_cache

import msgspec
import pytest

from client.litmus import Scenario
from client.run.run import Run, run
from client.schedule.drawn import STRATEGIES
from client.search.chunk import play_part
from client.search.plan import CANARY_EVERY, SCENARIOS_LIMIT, Plan, chunk_of, inputs_of, scenario_of
from client.search.state import CampaignState
from contract.design import Condition
from tests.client.search.plans import small
from tests.designs import FENCED, REVOKE_ACK, REVOKE_GP


def test_a_number_gives_the_same_run_after_a_journey() -> None:
    plan = small(FENCED)
    for journey in (pickle.loads(pickle.dumps(plan)), msgspec.json.decode(msgspec.json.encode(plan), type=Plan)):
        assert journey == plan
        for chunk in (1, 2):
            once, again = (run(inputs_of(p, chunk_of(p, chunk), 1)) for p in (plan, journey))
            assert once.records == again.records


def test_runs_of_a_chunk_differ() -> None:
    plan = small(FENCED, runs=6)
    tapes = [tuple(map(str, run(inputs_of(plan, chunk_of(plan, 1), n)).tape)) for n in range(6)]
    assert len(set(tapes)) > 3


def test_one_chunk_of_so_many_is_the_canary() -> None:
    plan = small(FENCED, REVOKE_GP)
    chunks = [chunk_of(plan, n) for n in range(2 * CANARY_EVERY + 1)]
    assert [chunk.number for chunk in chunks if chunk.canary] == [0, CANARY_EVERY, 2 * CANARY_EVERY]
    assert {chunk.design.name for chunk in chunks if chunk.canary} == {"fenced+entry-check=none"}
    rest = Counter(chunk.design.name for chunk in chunks if not chunk.canary)
    assert rest == {"fenced": CANARY_EVERY - 1, "revoke-gp": CANARY_EVERY - 1}


def test_without_a_canary_every_chunk_counts() -> None:
    assert not any(chunk_of(small(FENCED, canary=None), n).canary for n in range(5))


def test_half_of_the_scenarios_are_random() -> None:
    plan = small(FENCED, stories=True, canary=None)
    stories = [chunk_of(plan, n).story for n in range(12)]
    assert sum(story >= 0 for story in stories) == 6
    assert len(set(stories)) == 7
    only = Plan(0, (FENCED,), (), ())
    assert all(chunk_of(only, n).story >= 0 for n in range(4))


def test_the_designs_of_a_turn_play_the_same() -> None:
    """Else their numbers could not be compared."""
    plan = small(FENCED, REVOKE_GP, stories=True, canary=None)
    for turn in range(8):
        both = [inputs_of(plan, chunk_of(plan, 2 * turn + which), 1) for which in range(2)]
        assert [inputs.design for inputs in both] == [FENCED, REVOKE_GP]
        assert both[0].scenario == both[1].scenario
        assert both[0].schedule.faults == both[1].schedule.faults
    assert len({chunk_of(plan, 2 * turn).scenario for turn in range(8)}) > 3


def test_a_design_with_leases_is_played_in_more_hand_overs() -> None:
    counts = []
    for design in (FENCED, REVOKE_ACK):
        plan = Plan(0, (design,), (), ())
        names = [inputs_of(plan, chunk_of(plan, n), 0).scenario.name for n in range(60)]
        assert set(names) == {"contended", "handover"}
        counts.append(names.count("handover"))
    assert counts[0] < 20 < counts[1]


def test_the_condition_is_that_of_the_faults() -> None:
    assert (small(FENCED).condition, small(FENCED, kinds=()).condition) == (Condition.ANY, Condition.COMPLETE)
    assert inputs_of(small(FENCED, kinds=()), chunk_of(small(FENCED), 1), 0).schedule.faults == ()
    assert len(STRATEGIES) == 2


def test_a_long_campaign_keeps_few_scenarios_and_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each chunk has a random scenario of its own. So many as a process keeps would take seconds."""
    assert scenario_of.cache_info().maxsize == SCENARIOS_LIMIT
    monkeypatch.setattr("client.search.plan.scenario_of", lru_cache(maxsize=FEW)(scenario_of.__wrapped__))
    state = CampaignState(Plan(0, (FENCED,), (), (), runs=1))
    scenarios, runs = held(Scenario), held(Run)
    for _ in range(FEW + 8):
        part = state.begin_part(None)
        assert part is not None
        state.add(part, play_part(state.plan, part))
    assert state.runs == FEW + 8
    assert held(Scenario) <= scenarios + FEW
    assert held(Run) <= runs


FEW = 16


def held(kind: type) -> int:
    """Objects of a type that are alive."""
    gc.collect()
    return sum(type(each) is kind for each in gc.get_objects())
