"""Lenient replay: a tape that fits is replayed as it is, and any other tape gives a run that has a tape of its own."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from client import api
from client.drive.sim import SimWire
from client.litmus import Scenario
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.decisions import Decision, Deliver, format_tape, is_fault, parse_tape
from client.schedule.lenient import WatchedReplay
from client.schedule.schedule import Schedule, Tape, replay
from contract.design import Design
from contract.errors import InputError
from contract.network import Fate
from contract.trace import canonical
from tests.client.check.runs import scenario
from tests.client.cli.commands import document, lbrlab
from tests.client.drive.test_random_tapes import RACE
from tests.designs import DESIGNS, FENCED, REVOKE_GP
from tests.schedules import Drawn

STORY = api.load("central-story")
RACING = scenario(RACE, head="machine { depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }")
LOST = "drop host>kvm0 4 Revoke"


def lenient(decisions: list[Decision], story: Scenario = STORY, design: Design = REVOKE_GP) -> Run:
    return run(Inputs(story, design, Schedule(tape=Tape(decisions), lenient=True)))


def decisions(*lines: str) -> list[Decision]:
    return parse_tape("\n".join(["lbrlab-tape 1", *lines]))


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(list(DESIGNS.values())), st.data())
def test_a_tape_that_fits_is_replayed_as_strictly(design: Design, data: st.DataObject) -> None:
    drawn = Schedule(other=lambda: Drawn(lambda count: data.draw(st.integers(0, count - 1))))
    try:
        first = run(Inputs(RACING, design, drawn, SimWire()))
    except InputError:
        reject()
    strict, again = run(Inputs(RACING, design, replay(first.tape))), lenient(first.tape, RACING, design)
    assert again.tape == strict.tape == first.tape
    assert canonical(again.records) == canonical(strict.records)


def test_the_empty_tape_is_the_default_schedule() -> None:
    assert lenient([]).tape == run(Inputs(STORY, REVOKE_GP)).tape


def test_the_default_goes_on_where_a_tape_ends() -> None:
    whole = lenient([], RACING).tape
    for length in range(len(whole)):
        assert lenient(whole[:length], RACING).tape == whole


def test_a_fault_alone_waits_for_its_message() -> None:
    asked = api.run(STORY, REVOKE_GP, faults=["drop Revoke 1"])
    assert lenient(decisions(f"{LOST} f1.1")).tape == asked.tape


def test_the_number_of_a_message_does_not_count() -> None:
    assert lenient(decisions("drop host>kvm0 77 Revoke")).tape == lenient(decisions(LOST)).tape


def test_the_kind_of_a_message_counts_where_that_is_asked() -> None:
    """Otherwise the tape takes Welcome, which is the oldest message of that way."""
    tape = decisions("take kvm0>host 1 Hello", "take host>kvm0 1 Received")
    first, other = (
        run(Inputs(STORY, REVOKE_GP, Schedule(other=partial(WatchedReplay, tape, kinds=kinds)))).tape
        for kinds in (False, True)
    )
    assert str(first[1]) == "take host>kvm0 1 Welcome"
    assert other == lenient([]).tape


def test_a_corrupted_message_is_found_by_its_kind() -> None:
    lost = lenient(decisions("corrupt host>kvm0 77 Revoke"))
    assert [str(decision) for decision in lost.tape if is_fault(decision)] == ["corrupt host>kvm0 4 Revoke"]
    changed = lenient(decisions("corrupt host>kvm0 77 Revoke.grant"))
    assert [str(decision) for decision in changed.tape if is_fault(decision)] == ["corrupt host>kvm0 4 Revoke.grant"]


def test_a_fault_whose_message_never_comes_keeps_no_other_from_its_turn() -> None:
    assert lenient(decisions("drop host>kvm0 1 Drain", LOST)).tape == lenient(decisions(LOST)).tape


def test_what_is_not_possible_is_skipped() -> None:
    assert lenient(decisions("step nobody", "timer kvm0>host resend")).tape == lenient([]).tape


def test_take_takes_the_oldest_message_whatever_its_kind() -> None:
    """The default would take kvm0's Hello, the first message of all, before everything else."""
    story = api.load("mech-two-kvms-one-cpu")
    first = lenient(decisions("take kvm1>host 9 Revoke"), story).tape[0]
    assert str(first) == "take kvm1>host 1 Hello"


def test_an_edited_tape_gives_a_run_with_a_strict_tape() -> None:
    whole = run(Inputs(STORY, FENCED)).tape
    for at in range(0, len(whole), 3):
        edited = lenient([*whole[:at], *whole[at + 1 :]], design=FENCED)
        again = run(Inputs(STORY, FENCED, replay(edited.tape)))
        assert canonical(again.records) == canonical(edited.records)


def test_watched_replay_tells_what_the_default_would_not_do() -> None:
    watched = WatchedReplay(decisions(LOST))
    played = run(Inputs(STORY, REVOKE_GP, Schedule(other=lambda: watched)))
    ((number, usual),) = watched.unusual
    assert str(played.tape[number]) == LOST
    assert str(usual) == LOST.replace("drop", "take")


def test_a_fault_is_what_is_not_only_an_order() -> None:
    faults = [is_fault(Deliver(fate, "kvm0", True, 1, "Hello")) for fate in Fate]
    assert faults == [fate not in (Fate.TAKE, Fate.RELEASE) for fate in Fate]
    assert not any(map(is_fault, decisions("step host", "timer kvm0>host resend")))


def test_the_command_and_python_replay_leniently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("edited.tape").write_text(format_tape(decisions(LOST)))
    told = document(lbrlab("run", "central-story", "-d", "revoke-gp", "--tape", "edited.tape", "--lenient", "--json"))
    assert (
        told["violations"]
        == document(lbrlab("run", "central-story", "-d", "revoke-gp", "--fault", "drop Revoke 1", "--json"))[
            "violations"
        ]
    )
    strict = lbrlab("tape", told["run"]).stdout
    assert strict == format_tape(api.run(STORY, REVOKE_GP, tape="edited.tape", lenient=True).tape)
    assert lbrlab("run", told["run"], "--lenient", "-o", "again.json").exit_code == 1
    assert lbrlab("tape", "again.json").stdout == strict


def test_lenient_needs_a_tape() -> None:
    result = lbrlab("run", "central-story", "--lenient")
    assert (result.exit_code, "--lenient: expected a tape to begin with" in result.stderr) == (2, True)
