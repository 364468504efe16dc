"""The state machines of the document are the tables that the code uses, and are drawn whole."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import astuple

from client.document.machines import Arrow, StateMachine, machines
from kvm_svc.hypervisor import claim
from kvm_svc.hypervisor.claim import GuestClaim
from perfcore_svc.perf import event
from perfcore_svc.perf.event import State
from tests.cases import cases

EVENT, CLAIM, SESSION = machines()
both = cases("machine", [EVENT, CLAIM, SESSION], ids=lambda m: m.name)

TWICE = StateMachine(
    "x",
    "",
    "a-b",
    [Arrow("a-b", "c", "one"), Arrow("c", "a-b", "back"), Arrow("a-b", "c", "two"), Arrow("c", "c", "on")],
)


def states(machine: StateMachine) -> set[str]:
    return {machine.start} | {state for arrow in machine.arrows for state in (arrow.old, arrow.new)}


# The tables ----------------------------------------------------------------------------------------------


def test_an_events_arrows_are_its_transitions() -> None:
    found = {(State[a.old], State[a.new]): a.trigger for a in EVENT.arrows}
    assert found == event.TRANSITIONS
    assert len(EVENT.arrows) == len(event.TRANSITIONS)


def test_a_claims_arrows_are_its_transitions() -> None:
    found = {(claim.ClaimPhase(a.old), claim.ClaimInput(a.trigger)): claim.ClaimPhase(a.new) for a in CLAIM.arrows}
    assert found == claim.TRANSITIONS
    assert len(CLAIM.arrows) == len(claim.TRANSITIONS)


def test_every_state_is_there() -> None:
    assert states(EVENT) == {state.name for state in State}
    assert states(CLAIM) == {str(phase) for phase in claim.ClaimPhase}


def test_each_begins_where_the_code_does() -> None:
    assert CLAIM.start == GuestClaim().phase
    assert event.TRANSITIONS.keys() >= {(State[EVENT.start], State.ACTIVE)}


def test_a_transition_more_is_an_arrow_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(event.TRANSITIONS, (State.ACTIVE, State.ERROR), "a bug")
    assert Arrow("ACTIVE", "ERROR", "a bug") in machines()[0].arrows


def test_what_is_said_of_error_is_so() -> None:
    assert "only an enable ends ERROR" in EVENT.about
    assert {a.trigger for a in EVENT.arrows if a.old == "ERROR"} == {"enabled", "closed"}


# Drawn ---------------------------------------------------------------------------------------------------


def drawn(machine: StateMachine) -> list[tuple[str, str, str]]:
    """The arrows of the diagram."""
    head, start, *lines = machine.mermaid().splitlines()
    assert head == "stateDiagram-v2"
    assert start == f"    [*] --> {machine.start.replace('-', '_')}"
    found = []
    for line in lines:
        match = re.fullmatch(r"    (\w+) --> (\w+): (.+)", line)
        assert match is not None
        found.append((match[1], match[2], match[3]))
    return found


@both
def test_every_arrow_is_drawn_once(machine: StateMachine) -> None:
    pairs = [(old, new) for old, new, _ in drawn(machine)]
    assert len(pairs) == len(set(pairs))
    reasons = {(old, new, by) for old, new, text in drawn(machine) for by in text.split(" / ")}
    assert reasons == {(a.old.replace("-", "_"), a.new.replace("-", "_"), a.trigger) for a in machine.arrows}


@both
def test_every_state_is_drawn(machine: StateMachine) -> None:
    assert {state for arrow in drawn(machine) for state in arrow[:2]} == {s.replace("-", "_") for s in states(machine)}


def test_arrows_between_the_same_two_states_are_one() -> None:
    assert drawn(TWICE) == [("a_b", "c", "one / two"), ("c", "a_b", "back"), ("c", "c", "on")]


def test_no_name_in_a_diagram_has_a_dash() -> None:
    """Mermaid would take it for a part of an arrow."""
    assert "-" not in TWICE.mermaid().replace("-->", "").replace("stateDiagram-v2", "")


# In columns ----------------------------------------------------------------------------------------------


@both
def test_the_text_has_each_arrow_and_one_line_for_two_states(machine: StateMachine) -> None:
    parts = [[part.strip() for part in re.split(r" +--> | {2,}", line)] for line, _ in machine.lines()]
    assert len({(old, new) for old, new, _ in parts}) == len(parts)
    told = [Arrow(old, new, by) for old, new, reasons in parts for by in reasons.split(" / ")]
    assert sorted(map(astuple, told)) == sorted(map(astuple, machine.arrows))


@both
def test_the_text_is_in_columns_without_blanks_at_its_ends(machine: StateMachine) -> None:
    lines = [line for line, _ in machine.lines()]
    assert len({line.index("-->") for line in lines}) == 1
    reasons = {by for line, hang in machine.lines() for by in line[hang:].split(" / ")}
    assert reasons == {arrow.trigger for arrow in machine.arrows}
    assert [line for line in lines if line != line.rstrip()] == []
