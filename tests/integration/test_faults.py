"""Each kind of fault on two real processes: the trace is that of the simulated wire, and so is that of its tape."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from client.designs import DESIGNS
from client.drive.pair import Pair
from client.drive.play import layout_of
from client.drive.wire import SINGLE, Wire
from client.litmus.fault_kinds import FAULT_KINDS
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.faults import SHOWN
from client.schedule.schedule import Schedule, Tape
from contract.trace import canonical
from tests.library import library_scenario
from tests.stories.faulted import play, scenario_of

STORY = library_scenario("central-story")
RULES = {
    "drop": "drop Revoke 1",
    "duplicate": "duplicate >host",
    "reorder": "reorder EventCreated,Revoke,SchedIn p=0.7",
    "delay": "delay host> by 2ms",
    "corrupt": "corrupt p=0.2 seed=3",
    "corrupt a field": "corrupt host> field grant p=0.5 seed=3",
    "hold": "hold host> from 2 by 3",
    "cut": "cut at SchedIn,CreateEvent by 3",
    "cut one way": "cut kvm0>host at EventCreated by 400ms",
    "stall": "stall kvm0 at SchedIn by 4ms",
    "stall the host": "stall perfcore at record 20 by 4ms",
    "clock": "clock kvm0 rate 1.25",
    "end": "end thread vm0/0 at Revoke 1",
}
"""Each of them changes something under both designs. ``test_killed_services`` kills services."""


@pytest.fixture(scope="module")
def pair() -> Iterator[Wire]:
    with Pair() as services:
        yield services.wire


def test_no_kind_is_left_out() -> None:
    assert {rule.split()[0] for rule in RULES.values()} | {"crash", "shutdown"} == set(FAULT_KINDS)


@pytest.mark.parametrize("design", ["revoke-gp", "fenced"])
@pytest.mark.parametrize("kind", RULES)
def test_both_wires_give_the_same_trace(pair: Wire, kind: str, design: str) -> None:
    schedule = Schedule((parse_fault(RULES[kind]),))
    simulated = run(Inputs(STORY, DESIGNS[design], schedule))
    assert simulated.applied == [True]
    assert any(r.fault for r in simulated.records if isinstance(r, SHOWN))

    real = run(Inputs(STORY, DESIGNS[design], schedule, pair)).finished()
    assert canonical(real.records) == canonical(simulated.records)
    again = run(Inputs(STORY, DESIGNS[design], Schedule(tape=Tape(simulated.tape)), pair)).finished()
    assert canonical(again.records) == canonical(simulated.records)


def test_random_faults_of_all_kinds_give_the_same_trace_too(pair: Wire) -> None:
    """``tests.stories.faulted`` draws rules, crashes and ends of threads. Two of the designs repair nothing."""
    played = 0
    for seed in range(20_000, 20_040):
        if played == 6:
            break
        story = scenario_of(seed)
        if layout_of(story) != SINGLE:
            continue
        played += 1
        design = DESIGNS[("fenced", "revoke-ack", "merged")[played % 3]]
        simulated = play(design, seed)
        real = run(Inputs(story, design, Schedule(tape=Tape(simulated.tape)), pair)).finished()
        assert canonical(real.records) == canonical(simulated.records), seed
    assert played == 6
