"""Any scenario under any tape: it ends, it replays, it can be judged."""

from __future__ import annotations

from functools import partial
from random import Random

from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from client.check.judge import judge
from client.drive.sim import SimWire
from client.litmus import Scenario
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.schedule import Schedule, replay
from client.search.counted import counted
from contract.design import Condition, Design
from contract.errors import InputError
from contract.invariants import INVARIANTS
from contract.trace import Rest, canonical
from tests.client.check.runs import scenario
from tests.client.litmus.strategies import scenarios
from tests.designs import DESIGNS, FENCED
from tests.schedules import Drawn, Havoc


def drawn(data: st.DataObject) -> Schedule:
    return Schedule(other=lambda: Drawn(lambda count: data.draw(st.integers(0, count - 1))))


def drawn_run(wire: SimWire, story: Scenario, design: Design, data: st.DataObject) -> Run:
    """A run with drawn decisions. A program that compares what is not a number is an error of its scenario: that one is
    drawn again."""
    try:
        return run(Inputs(story, design, drawn(data), wire))
    except InputError as error:
        if "and no number" not in str(error):
            raise
        reject()


def check_run(story: Scenario, design: Design, data: st.DataObject) -> Run:
    played = drawn_run(SimWire(), story, design, data)
    assert played.failure is None
    assert isinstance(played.records[-1], Rest)

    assert tuple(finding.invariant for finding in judge(played.records)) == INVARIANTS

    again = run(Inputs(story, design, replay(played.tape)))
    assert canonical(again.records) == canonical(played.records)
    return played


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenarios(), st.sampled_from(list(DESIGNS.values())), st.data())
def test_random_tapes_of_random_scenarios(story: Scenario, design: Design, data: st.DataObject) -> None:
    """``possible`` offers nothing that is then refused: no other InputError may come."""
    check_run(story, design, data)


RACE = """
host { run vm0/0 on cpu0; h0 = open cpu0 pinned branch any; branch 4; run t0 on cpu0; run vm0/0 on cpu0; close h0; }
vm0/0 { wrmsr DEBUGCTL, LBR; branch 4; r0 = rdmsr LBR_TOS; r1 = rdmsr LBR_FROM[r0]; }
"""


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(list(DESIGNS.values())), st.data())
def test_random_tapes_of_a_race(design: Design, data: st.DataObject) -> None:
    head = "machine { depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }"
    check_run(scenario(RACE, head=head), design, data)


BROKEN = scenario(
    """
host { run vm0/0 on cpu0; h0 = open cpu0 pinned branch any; run t0 on cpu0; run vm0/0 on cpu0; close h0; }
vm0/0 { wrmsr DEBUGCTL, LBR; branch 4; r0 = rdmsr LBR_TOS; wrmsr PMC0, 0xfffffff0; branch 4; r1 = rdmsr LBR_TOS; }
""",
    head="machine { cpus = 1; depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }",
)


def test_whatever_breaks_a_run_of_fenced_ends_and_keeps_what_it_claims() -> None:
    """Links, services and threads break at any moment."""
    for seed in range(80):
        played = run(Inputs(BROKEN, FENCED, Schedule(other=partial(Havoc, Random(seed)))))
        assert played.failure is None, f"seed {seed}"
        assert counted(played, Condition.ANY) == {}, f"seed {seed}"
        assert canonical(run(Inputs(BROKEN, FENCED, replay(played.tape))).records) == canonical(played.records)
