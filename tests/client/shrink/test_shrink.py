"""Shrinking keeps the violation, and nothing that is left can be taken away alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from random import Random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from client import api
from client.litmus import Scenario, format_scenario, parse, validate
from client.litmus.ast import Repeat
from client.run.failure import form_of
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.decisions import Decision, is_fault
from client.schedule.samplers import Uniform
from client.schedule.schedule import Schedule, Tape, replay
from client.shrink import edits
from client.shrink.budget import Budget
from client.shrink.shrink import Shrinker
from client.shrink.shrunk import conclude, file_of, shrink
from client.shrink.target import Target, first_violations, target_of
from contract.design import Design
from contract.errors import InputError
from contract.trace import Delivery, canonical
from tests.cases import cases
from tests.client.check.runs import scenario
from tests.client.drive.test_random_tapes import RACE
from tests.designs import DESIGNS
from tests.schedules import Drawn

RACING = scenario(RACE, head="machine { depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }")
STEPS = 12
"""The most steps that a shrunk run of the library should have."""

SAMPLE = [
    ("central-story", "revoke-gp", ["drop Revoke 1"]),
    ("central-story-in-full", "silent", []),
    ("c23-creation-fails", "merged", []),
    ("mech-four-vms-three-kvms", "silent", []),
    ("guest-debugctl-bits", "silent", []),
    ("mech-migrate-without-lbr", "revoke-zero", []),
    ("c14-first-come-first-served", "merged-2023", []),
]


def smaller(shrunk: Run) -> Iterator[tuple[Scenario, list[Decision]]]:
    """The run without one fault, statement, thread, VM, task, KVM, host, CPU. Not all of these are valid."""
    story, tape = shrunk.scenario, shrunk.tape
    for number in range(len(tape)):
        if is_fault(tape[number]):
            yield story, [d for i, d in enumerate(tape) if is_fault(d) and i != number]
    faults = [decision for decision in tape if is_fault(decision)]
    for b, block in enumerate(story.blocks):
        others = story.blocks[:b], story.blocks[b + 1 :]
        yield replace(story, blocks=[*others[0], *others[1]]), faults
        for s in range(len(block.steps)):
            less = replace(block, steps=[*block.steps[:s], *block.steps[s + 1 :]])
            yield replace(story, blocks=[*others[0], less, *others[1]]), faults
    for part in ("vms", "tasks", "kvms", "hosts"):
        items = getattr(story, part)
        for i in range(len(items)):
            yield replace(story, **{part: [*items[:i], *items[i + 1 :]]}), faults
    if story.machine.cpus > 1:
        yield replace(story, machine=replace(story.machine, cpus=story.machine.cpus - 1)), faults


def quickly(first: Run) -> tuple[Shrinker, Run]:
    """Shrunk, without the search for a schedule that holds."""
    shrinker = Shrinker(first, target_of(first))
    return shrinker, file_of(shrinker.shrink())


def check_minimal(shrunk: Run, target: Target) -> None:
    tried = 0
    for story, tape in smaller(shrunk):
        try:
            validate(story)
            played = run(Inputs(story, shrunk.design, Schedule(tape=Tape(tape), lenient=True)))
        except InputError:
            continue
        tried += 1
        assert played.failure is not None or not target.kept_by(played)
    assert tried


@cases(("story", "design", "faults"), SAMPLE)
def test_a_break_of_the_library_becomes_minimal(story: str, design: str, faults: list[str]) -> None:
    first = api.run(story, design, faults=faults)
    shrinker, shrunk = quickly(first)

    assert set(first.broken()) <= set(shrunk.broken())
    told, kept = first_violations(first), first_violations(shrunk)
    assert {name: form_of(kept[name]) for name in told} == {name: form_of(text) for name, text in told.items()}
    assert shrinker.best.steps <= STEPS
    assert len(shrinker.best.faults) == len(faults)
    check_minimal(shrunk, shrinker.target)
    again = run(Inputs(parse(format_scenario(shrunk.scenario)), shrunk.design, replay(shrunk.tape)))
    assert canonical(again.records) == canonical(shrunk.records)


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(list(DESIGNS.values())), st.integers(0, 1 << 32))
def test_a_shrunk_run_violates_the_same(design: Design, seed: int) -> None:
    rng = Random(seed)
    first = run(Inputs(RACING, design, Schedule(other=lambda: Drawn(lambda count: rng.randrange(count)))))
    assume(first.broken())
    shrinker, shrunk = quickly(first)
    assert set(first.broken()) <= set(shrunk.broken())
    assert len(shrinker.best.faults) <= sum(map(is_fault, first.tape))


def race(seed: int, design: str) -> Run:
    rng = Random(seed)
    return run(Inputs(RACING, DESIGNS[design], Schedule(other=lambda: Drawn(lambda count: rng.randrange(count)))))


def test_a_pure_race_is_shrunk_to_its_order() -> None:
    """The default order of the shrunk scenario breaks nothing, and a schedule near it shows that."""
    first = race(2, "merged")
    shrunk = shrink(first, "debugctl-restored")
    assert shrunk.faults == {}
    assert len(shrunk.after.unusual) == 1
    default = run(Inputs(shrunk.run.scenario, shrunk.run.design))
    assert default.verdict_of("debugctl-restored") != "violated"
    assert shrunk.nearest is not None
    assert "comes" in shrunk.nearest.change
    assert shrunk.nearest.case.run.verdict_of("debugctl-restored") != "violated"


DELAYED = """
host { run vm0/0 on cpu0; LOOP { e = state vm0/0; } h = open cpu0 pinned branch any; }
vm0/0 { wrmsr DEBUGCTL, LBR; branch 1; r = rdmsr LBR_TOS; }
"""


@cases("loop", ["repeat 8", "for i in 0 .. 8", "for i in 0 .. lbr_depth"])
def test_a_loop_that_only_lets_others_go_ahead_is_taken_out_with_its_steps(loop: str) -> None:
    """With the steps of the loop in the tape, the host opens its event too early for the violation."""
    story = scenario(DELAYED.replace("LOOP", loop), head="machine { depth = 8; }\nvm vm0 { lbr = on; }")
    first = run(Inputs(story, DESIGNS["merged"], Schedule(other=lambda: Uniform(Random(31)))))
    small = Shrinker(first, target_of(first, "debugctl-restored")).shrink()
    assert [step.stmt.text() for step in small.scenario.blocks[0].steps] == [
        "run vm0/0 on cpu0",
        "h = open cpu0 pinned branch any",
    ]
    assert small.steps <= 6


def test_only_the_necessary_fault_is_left() -> None:
    first = api.run(
        "central-story", "revoke-gp", faults=["duplicate SchedIn 1", "drop Revoke 1", "duplicate Welcome 1"]
    )
    shrunk = shrink(first)
    (fault,) = shrunk.faults
    assert fault.startswith("drop host>kvm0 4 Revoke")
    assert shrunk.faults[fault] == []


def test_a_delay_is_an_order_and_leaves_no_name_behind() -> None:
    """The shrunk run has no rule, so nothing in it may name one."""
    shrunk = shrink(api.run("central-story", "revoke-gp", faults=["delay Revoke by 5"]))
    assert shrunk.faults == {}
    assert not [decision for decision in shrunk.run.tape if getattr(decision, "fault", "")]
    assert not [record for record in shrunk.run.of(Delivery) if record.fault]


def test_many_faults_are_taken_away_together() -> None:
    doubled = "duplicate SchedIn,SchedOut,Received,CreateEvent,EventCreated,ReleaseEvent"
    first = api.run("central-story-in-full", "revoke-gp", faults=[doubled, "drop Revoke 1"])
    shrinker = Shrinker(first, target_of(first, "one-owner"))
    many, before = len(shrinker.best.faults), shrinker.player.runs
    shrinker._faults()
    assert len(shrinker.best.faults) == 1
    assert shrinker.player.runs - before < many


def test_the_nearest_schedule_of_a_fault_is_that_without_it() -> None:
    shrunk = shrink(api.run("central-story", "revoke-gp", faults=["drop Revoke 1"]))
    assert shrunk.nearest is not None
    assert shrunk.nearest.change.startswith("without 'drop host>kvm0 4 Revoke")
    seq, one, other = shrunk.nearest.difference.seq, shrunk.nearest.difference.one, shrunk.nearest.difference.other
    assert (getattr(one, "fate", ""), getattr(other, "fate", "")) == ("drop", "take")
    assert canonical(shrunk.after.run.records[: seq - 1]) == canonical(shrunk.nearest.case.run.records[: seq - 1])


def test_a_break_on_every_schedule_has_no_near_one_that_holds() -> None:
    shrunk = shrink(api.run("c23-creation-fails", "merged"))
    assert shrunk.nearest is None
    assert shrunk.schedules > 0


def test_a_long_run_is_concluded_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run that is played here takes more than a budget has."""
    found = api.run("central-story", "revoke-gp", faults=["duplicate SchedIn 1", "drop Revoke 1"])
    shrinker = Shrinker(found, target_of(found), budget=Budget(decisions=1))
    shrinker.shrink()
    monkeypatch.setattr("client.shrink.shrunk.Budget", partial(Budget, decisions=1))
    told = conclude(shrinker, shrinker.best)
    assert not told.complete
    assert (len(told.faults), told.schedules, told.nearest) == (2, 1, None)


def test_one_invariant_takes_fewer_statements_than_all() -> None:
    first = api.run("central-story", "v8")
    one = Shrinker(first, target_of(first, "host-served"))
    assert one.shrink().run.verdict_of("host-served") == "violated"
    assert one.best.size < quickly(first)[0].best.size


CONDITION = """
host { run vm0/0 on cpu0; h0 = open cpu0 pinned branch any; branch 8; branch 9; }
vm0/0 { wrmsr DEBUGCTL, LBR; r0 = rdmsr LBR_TOS; branch 3; }
forall (host:h0.state = ERROR)
"""


def test_a_final_condition_that_fails_is_kept() -> None:
    first = run(Inputs(scenario(CONDITION), DESIGNS["fenced"]))
    assert first.broken() == []
    shrunk = shrink(first)
    assert shrunk.run.scenario.final == first.scenario.final
    assert shrunk.run.verdict.verdict == "violated"
    assert [step.stmt.text() for step in shrunk.run.scenario.steps()] == ["h0 = open cpu0 pinned branch any"]
    assert shrunk.run.scenario.vms == []


def test_what_cannot_be_shrunk_is_refused() -> None:
    good = api.run("central-story", "fenced")
    with pytest.raises(InputError, match="the run violates nothing"):
        target_of(good)
    with pytest.raises(InputError, match="does not violate one-owner: it is held"):
        target_of(good, "one-owner")
    with pytest.raises(InputError, match="did you mean"):
        target_of(good, "one-ownr")
    assert Target(("one-owner",)).kept_by(good) is False


def test_a_run_whose_replay_does_not_violate_it_is_refused() -> None:
    first = api.run("central-story", "v8")
    other = api.run("central-story", "fenced")
    other.records = first.records
    with pytest.raises(InputError, match="its replay does not violate"):
        shrink(other)


# Edits -------------------------------------------------------------------------------------------------------

TWO = "machine { cpus = 3; }\ntask t0;\nvm vm0 { vcpus = 2; lbr = on; }\nvm vm1 { lbr = on; }"
WHOLE = """
host { run t0 on cpu2; h0 = open cpu1 pinned branch any; repeat 4 { branch 1 on cpu1; } s = sample h0; }
vm0/1 { r = rdmsr LBR_TOS; if r = #GP { cpuid; } else { hlt; } }
vm1/0 { for i in 2 .. 5 { branch 2; break; } }
"""


def texts(story: Scenario) -> list[str]:
    return [f"{step.actor}: {step.stmt.text()}" for block in story.blocks for step in block.steps]


def test_a_repair_takes_along_what_is_not_valid() -> None:
    story = scenario(WHOLE, head=TWO)
    mended = edits.repaired(edits.without(story, {(0, 1)}))
    assert mended is not None
    assert texts(mended)[:2] == ["host: run t0 on cpu2", "host: repeat 4 { ... }"]
    assert not any("sample" in text for text in texts(mended))
    bare = edits.repaired(replace(story, vms=[]))
    assert bare is not None
    assert [block.name for block in bare.blocks] == ["host"]


def test_a_range_becomes_shorter_from_both_ends() -> None:
    story = scenario("vm0/0 { for i in 2 .. 6 { branch 2; } }", head="vm vm0 { lbr = on; }")
    found = {text for edited in edits.simpler(story) for text in texts(edited)}
    ranges = {(2, 4), (4, 6), (2, 5), (3, 6)}
    assert {f"vm0/0: for i in {first} .. {end} {{ ... }}" for first, end in ranges} <= found


def test_a_range_up_to_the_depth_becomes_shorter() -> None:
    head = "machine { depth = 8; }\nvm vm0 { lbr = on; }"
    story = scenario("vm0/0 { for i in 0 .. lbr_depth { branch 2; } }", head=head)
    found = {text for edited in edits.simpler(story) for text in texts(edited)}
    assert {"vm0/0: for i in 0 .. 4 { ... }", "vm0/0: for i in 0 .. 7 { ... }"} <= found


def test_the_read_of_a_whole_lbr_becomes_the_read_of_one_register() -> None:
    story = scenario("vm0/0 { e = rdmsr LBR_STACK; }", head="vm vm0 { lbr = on; }")
    found = [text for edited in edits.simpler(story) for text in texts(edited)]
    assert {"vm0/0: e = rdmsr LBR_FROM[0]", "vm0/0: e = rdmsr LBR_TOS"} <= set(found)


def test_a_short_loop_becomes_the_statements_of_its_turns_without_one() -> None:
    body = "repeat 2 { cpuid; hlt; } for i in 3 .. 5 { branch 1; } repeat 5 { cpuid; }"
    found = list(map(texts, edits.simpler(scenario(f"vm0/0 {{ {body} }}", head="vm vm0 { lbr = on; }"))))
    begun = [[text.removeprefix("vm0/0: ") for text in story] for story in found]
    assert ["cpuid", "hlt", "cpuid", "for i in 3 .. 5 { ... }", "repeat 5 { ... }"] in begun
    assert ["hlt", "cpuid", "hlt", "for i in 3 .. 5 { ... }", "repeat 5 { ... }"] in begun
    assert ["repeat 2 { ... }", "i = 3", "i = 4", "branch 1", "repeat 5 { ... }"] in begun
    assert not any(story.count("cpuid") > 2 for story in begun)


ONE_PER_TURN = """
host { run vm0/0 on cpu0; h = open cpu0 pinned branch any_call; close h; }
vm0/0 { repeat 2 { r = rdmsr LBR_TOS; wrmsr DEBUGCTL, LBR; branch 1; } }
"""


def test_turns_of_which_each_needs_another_statement_are_taken_apart() -> None:
    """The second turn shows no-loss by its read, which comes before the branch that is lost in the first."""
    story = scenario(ONE_PER_TURN, head="machine { depth = 8; }\nvm vm0 { lbr = on; }")
    samplers = (Uniform(Random(seed)) for seed in range(200))
    runs = (run(Inputs(story, DESIGNS["merged"], Schedule(other=partial(next, samplers)))) for _ in range(200))
    first = next(each for each in runs if "no-loss" in each.broken())
    shrinker = Shrinker(first, target_of(first, "no-loss"))
    assert not any(isinstance(step.stmt, Repeat) for step in shrinker.shrink().scenario.steps())


def test_branches_become_fewer() -> None:
    story = scenario("host { branch 9; }\nvm0/0 { branch 4; }", head="vm vm0 { lbr = on; }")
    found = [text for edited in edits.simpler(story) for text in texts(edited)]
    host, guest = ("host: branch 1", "host: branch 4", "host: branch 8"), ("branch 1", "branch 2", "branch 3")
    assert {*(f"{text} on cpu0" for text in host), *(f"vm0/0: {text}" for text in guest)} <= set(found)


def test_edits_number_anew() -> None:
    found = [edits.repaired(story) for story in edits.simpler(scenario(WHOLE, head=TWO))]
    every = [texts(story) for story in found if story is not None]
    assert any("host: run t0 on cpu1" in story for story in every)
    assert any("host: h0 = open cpu0 pinned branch any" in story for story in every)
    assert any("vm0/0: r = rdmsr LBR_TOS" in story for story in every)
    assert any("vm1/0: i = 2" in story and "vm1/0: branch 2" in story for story in every)
    assert any("vm0/1: hlt" in story for story in every)
    assert any("host: repeat 1 { ... }" in story for story in every)
    assert any(story is not None and story.tasks == [] for story in found)


def test_every_edit_is_valid_and_none_is_the_same() -> None:
    story = scenario(WHOLE, head=TWO)
    for edited in edits.simpler(story):
        mended = edits.repaired(edited)
        if mended is not None:
            validate(mended)
            assert mended != story
