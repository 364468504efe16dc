"""A walk by hand: its tape replays to its records, and undo leads back to the very same state."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client import api
from client.litmus.fault import FaultRule
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.decisions import Decision, Deliver, Step, format_tape, parse_tape
from client.schedule.schedule import Schedule, replay
from client.walk.documents import walk_document
from client.walk.walk import SPACING, Walk
from client.walk.words import words
from contract.design import Design
from contract.errors import InputError, PeerContractError, SystemFailedError
from contract.messages import PROTOCOL_VERSION
from contract.trace import canonical
from tests.cases import cases
from tests.client.check.runs import scenario
from tests.client.drive.test_random_tapes import RACE
from tests.designs import DESIGNS, FENCED, REVOKE_GP

STORY = api.load("central-story")
RACING = scenario(RACE, head="machine { depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }")
THREE = """
host { run vm0/0 on cpu0; run vm1/0 on cpu1; advance 1ms; advance 1ms; advance 1ms; }
vm0/0 { branch 1; branch 1; branch 1; }
vm1/0 { branch 1; branch 1; branch 1; }
"""
RULES = [(), ("drop Revoke 1",), ("delay EventCreated by 3", "duplicate Ack 1"), ("cut kvm0 at Revoke 1 by 2",)]
MOVE = st.sampled_from(["first", "first", "first", "any", "any", "undo", "three"])


def rules(*texts: str) -> list[FaultRule]:
    return [parse_fault(text, "test") for text in texts]


def state(walk: Walk) -> object:
    """All that can be seen of a walk."""
    return canonical(walk.run.records), walk.at.player.state.key(), msgspec.to_builtins(walk_document(walk))


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(list(DESIGNS.values())), st.sampled_from(RULES), st.lists(MOVE, max_size=30), st.data())
def test_the_tape_of_a_walk_replays_to_its_records(
    design: object, texts: tuple[str, ...], moves: list[str], data: st.DataObject
) -> None:
    walk = Walk(RACING, design, rules(*texts))  # type: ignore[arg-type]
    for move in moves:
        choices = walk.choices
        if move == "undo" and walk.moves:
            walk.undo(data.draw(st.integers(1, len(walk.moves))))
        elif move == "three":
            walk.go_on(3)
        elif choices:
            walk.take([choices[0 if move != "any" else data.draw(st.integers(0, len(choices) - 1))]])
    walk.finish()
    walked = walk.run
    again = run(Inputs(RACING, walked.design, replay(parse_tape(format_tape(walk.tape)))))
    assert again.failure is None
    assert canonical(again.records) == canonical(walked.records)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(RULES), st.integers(0, 3 * SPACING), st.data())
def test_undo_leads_back_to_the_same_state(texts: tuple[str, ...], ahead: int, data: st.DataObject) -> None:
    walk = Walk(STORY, REVOKE_GP, rules(*texts))
    walk.go_on(ahead)
    before = state(walk)
    moves = len(walk.moves)
    for _ in range(data.draw(st.integers(1, 20))):
        if not (choices := walk.choices):
            break
        walk.take([choices[data.draw(st.integers(0, len(choices) - 1))]])
    if data.draw(st.booleans()):
        walk.finish()
    if len(walk.moves) > moves:
        walk.undo(len(walk.moves) - moves)
    assert state(walk) == before


@cases("texts", RULES)
def test_the_first_decision_is_that_of_the_default_schedule(texts: tuple[str, ...]) -> None:
    walk = Walk(STORY, REVOKE_GP, rules(*texts))
    while walk.go_on(1):
        pass
    walk.finish()
    assert walk.choices == []
    usual = run(Inputs(STORY, REVOKE_GP, Schedule(tuple(rules(*texts)))))
    assert (walk.tape, canonical(walk.run.records)) == (usual.tape, canonical(usual.records))
    assert walk.run.verdict == usual.verdict


def test_a_rule_stays_where_another_decision_is_taken_first() -> None:
    walk = Walk(STORY, REVOKE_GP, rules("drop Revoke 1"))
    while "drop" not in str(walk.usual[0]):
        assert walk.go_on(1)
    lost = walk.usual[0]
    walk.take([next(choice for choice in walk.choices[1:] if not isinstance(choice, Deliver))])
    assert walk.usual[0] == lost
    walk.undo(1)
    assert walk.usual[0] == lost
    walk.finish()
    assert walk.run.unmet == []


def test_a_rule_counts_a_message_that_is_taken_by_hand() -> None:
    """Hello is the first message of its way. The second one is not taken for it."""
    walk = Walk(STORY, FENCED, rules("drop kvm0>host 1"))
    assert str(walk.usual[0]) == "drop kvm0>host 1 Hello f1.1"
    assert [str(each) for each in walk.choices if "drop kvm0>host 1" in str(each)] == [str(walk.usual[0])]
    walk.take([decision("take kvm0>host 1 Hello")])
    walk.finish()
    assert [str(each) for each in walk.tape if "drop" in str(each)] == []


def test_a_move_that_does_nothing_is_no_move() -> None:
    walk = Walk(STORY, REVOKE_GP)
    walk.go_on(1000)
    assert walk.go_on(1) == 0
    assert len(walk.moves) == 1


def test_threads_go_on_in_turn_after_a_step_by_hand() -> None:
    """There are three threads: with two, the order after a usual step is the same."""
    walk = Walk(scenario(THREE, head="machine { cpus = 2; }\nvm vm0 { lbr = on; }\nvm vm1 { lbr = on; }"), FENCED)
    while len(steps := [choice for choice in walk.choices if isinstance(choice, Step)]) < 3:
        assert walk.go_on(1)
    for taken, following in ((0, 1), (1, 2), (2, 0)):
        moves = len(walk.moves)
        walk.take([steps[taken]])
        while not isinstance(walk.usual[0], Step):
            assert walk.go_on(1)
        assert walk.usual[0] == steps[following]
        walk.undo(len(walk.moves) - moves)


def test_each_decision_has_words_of_its_own() -> None:
    walk = Walk(STORY, REVOKE_GP, rules("drop Revoke 1"))
    player = walk.at.player
    hello = f"kvm0>host #1 Hello protocol={PROTOCOL_VERSION}"
    told = {str(choice): words(choice, player) for choice in walk.choices}
    assert told["take kvm0>host 1 Hello"] == f"{hello} arrives"
    assert told["step host+vm0/0"] == "host: run vm0/0 on cpu0"
    for line, said in (
        ("drop kvm0>host 1 Hello f1.1", f"{hello} is lost (fault f1.1)"),
        ("corrupt kvm0>host 1 Hello.protocol", f"{hello} arrives damaged, another protocol"),
        ("hold kvm0>host 1 Hello", f"{hello} waits, with all behind it"),
        ("time 4000000", "virtual time advances to 4ms"),
        ("crash kvm0", "the process of kvm0 ends"), ("restart kvm0", "kvm0 begins a new life"),
        ("end thread vm0/0", "the thread of vCPU vm0/0 ends"), ("end vm vm0", "all threads of VM vm0 end"),
        ("cut host>kvm0", "the link host>kvm0 is cut"), ("mend kvm0", "the link kvm0 is whole again"),
        ("stall perfcore", "perfcore stalls"), ("continue perfcore", "perfcore continues"),
        ("shutdown kvm0", "kvm0 is told to stop"),
        ("clock kvm0 1250000", "the clock of kvm0 goes 1.25 times as fast as the host's"),
    ):  # fmt: skip
        assert words(decision(line), player) == said
    fenced = Walk(STORY, FENCED)
    told = {str(choice): words(choice, fenced.at.player) for choice in fenced.choices}
    assert told["timer kvm0>host resend"] == "kvm0: timer resend runs out at 10ms"


def decision(line: str) -> Decision:
    return parse_tape(f"lbrlab-tape 1\n{line}\n")[0]


@cases("line", ["crash kvm0", "cut kvm0", "stall perfcore", "end vm vm0", "hold kvm0>host 1 Hello", "time 5000000"])
def test_faults_are_taken_by_hand(line: str) -> None:
    walk = Walk(STORY, FENCED)
    walk.take([decision(line)])
    assert str(walk.tape[0]) == line
    walk.finish()
    again = run(Inputs(STORY, FENCED, replay(walk.tape)))
    assert canonical(again.records) == canonical(walk.run.records)


def test_every_fate_of_a_message_is_offered() -> None:
    walk = Walk(STORY, FENCED)
    offered = [str(choice) for choice in walk.choices]
    assert offered[:5] == [f"{fate} kvm0>host 1 Hello" for fate in ("take", "drop", "duplicate", "hold", "corrupt")]
    assert offered[5].startswith("overtake kvm0>host 2 ")
    walk.take([walk.choices[3]])
    assert [str(choice) for choice in walk.choices if "Hello" in str(choice)] == ["release kvm0>host 1 Hello"]
    told = walk_document(walk)
    assert {choice.message for choice in told.choices if "Hello" in choice.decision} == {
        f"kvm0>host #1 Hello protocol={PROTOCOL_VERSION}"
    }
    assert all(choice.text.startswith(f"{choice.message} " if choice.message else "") for choice in told.choices)
    assert [choice.message for choice in told.choices if choice.decision.startswith("step")] == [""]


def test_where_a_rule_lets_a_message_arrive_every_fate_is_possible() -> None:
    """The list has the decision of the rule instead of the plain one."""
    walk = Walk(STORY, REVOKE_GP, rules("delay EventCreated by 3"))
    while str(walk.usual[0]) != "take host>kvm0 3 EventCreated f1.1":
        assert walk.go_on(1)
    offered = [choice for choice in walk.choices if "EventCreated" in str(choice)]
    assert len(offered) == 5
    for choice in [*offered, decision("take host>kvm0 3 EventCreated")]:
        walk.take([choice])
        assert walk.tape[-1] == choice
        walk.undo(1)


@cases(
    ("design", "texts"),
    [(REVOKE_GP, ()), (REVOKE_GP, ("delay EventCreated by 3",)), (REVOKE_GP, ("drop Available 1",)), (FENCED, ())],
)
def test_what_is_held_by_hand_waits_until_nothing_else_can_happen(design: Design, texts: tuple[str, ...]) -> None:
    """Of fenced, a KVM waits for a timer by then."""
    walk = Walk(STORY, design, rules(*texts))
    while not any("Revoke" in str(choice) for choice in walk.choices):
        assert walk.go_on(1)
    walk.take([next(choice for choice in walk.choices if str(choice).startswith("hold ") and "Revoke" in str(choice))])
    held, now = len(walk.tape), walk.at.player.flight.now
    while "release" not in str(walk.usual[0]):
        assert walk.go_on(1)
    assert len(walk.tape) > held + 2
    assert walk.at.player.flight.now == now
    assert walk.at.player.ready() == []
    walk.finish()
    again = run(Inputs(STORY, design, replay(walk.tape)))
    assert canonical(again.records) == canonical(walk.run.records)
    assert walk.run.unmet == [], "rules of faults still meet what they would have met"


def test_what_is_not_possible_changes_nothing() -> None:
    walk = Walk(STORY, FENCED)
    walk.go_on(3)
    before = state(walk)
    wrong: tuple[tuple[Callable[[], None], str], ...] = (
        (lambda: walk.take([decision("step t9")]), "'step t9' is not possible here; possible: 'take"),
        (lambda: walk.take([walk.choices[0], decision("mend kvm0")]), "'mend kvm0' is not possible"),
        (lambda: walk.undo(2), "there are 1 moves"),
    )
    for act, told in wrong:
        with pytest.raises(InputError, match=told):
            act()
        assert state(walk) == before
    walk.undo(1)
    with pytest.raises(InputError, match="nothing to undo"):
        walk.undo(1)
    walk.finish()
    with pytest.raises(InputError, match="the run is over"):
        walk.take([decision("step host+vm0/0")])


@cases(
    ("error", "seen"),
    [(PeerContractError("no"), SystemFailedError), (InputError("no"), InputError)],
    ids=["peer", "input"],
)
def test_a_move_that_fails_halfway_changes_nothing(
    error: Exception, seen: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = Walk(STORY, FENCED)
    walk.go_on(4)
    before = state(walk)
    player = type(walk.at.player)
    carry_out = player.carry_out

    def fails(self: object, given: Decision) -> None:
        carry_out(self, given)  # type: ignore[arg-type]
        if len(self.tape) == 7:  # type: ignore[attr-defined]
            raise error

    monkeypatch.setattr(player, "carry_out", fails)
    with pytest.raises(seen, match="no"):
        walk.finish()
    assert state(walk) == before


def test_an_interrupted_move_keeps_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(STORY, FENCED)
    player = type(walk.at.player)
    carry_out = player.carry_out

    def interrupted(self: object, given: Decision) -> None:
        if len(self.tape) == 7:  # type: ignore[attr-defined]
            self.tape.append(given)  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        carry_out(self, given)  # type: ignore[arg-type]

    monkeypatch.setattr(player, "carry_out", interrupted)
    with pytest.raises(KeyboardInterrupt):
        walk.finish()
    monkeypatch.undo()
    assert (len(walk.tape), len(walk.moves)) == (7, 1)
    walk.finish()
    assert walk.run.tape == run(Inputs(STORY, FENCED)).tape


def test_the_document_says_what_can_and_what_cannot_happen() -> None:
    walk = Walk(RACING, REVOKE_GP)
    walk.go_on(1)
    walk.go_on(2)
    told = walk_document(walk)
    assert (told.decisions, told.records, told.over, told.usual) == (3, walk.records, False, True)
    assert [choice.number for choice in told.choices] == [*range(1, len(told.choices) + 1)]
    assert told.choices[0].decision == str(walk.usual[0])
    assert [change.seq for change in told.changes] == [*range(walk.moves[-1][1] + 1, walk.records + 1)]
    sides = {fact.side for fact in told.facts}
    assert sides == {"host", "kvm", "wire", "belief"}
    assert (
        told.blocked == {name: why for name in walk.at.player.threads if (why := walk.at.player.obstacle(name))} != {}
    )
    changed = {fact.name for fact in told.facts if fact.value != fact.before}
    walk.undo(1)
    earlier = {fact.name: fact.value for fact in walk_document(walk).facts}
    assert changed == {fact.name for fact in told.facts if earlier.get(fact.name, "") != fact.value}
