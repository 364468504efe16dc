"""The invariants that each design keeps and breaks. A run in which the lost message was never sent says nothing."""

from __future__ import annotations

from client.document.standing import LOST, Standings, standings
from client.litmus.fault_rules import parse_fault
from client.matrix.cell import Cell
from client.matrix.pool import run_row
from client.matrix.summary import worst
from tests.designs import DESIGNS, FENCED, MERGED, REVOKE_GP, V7
from tests.library import library_scenario

CHOSEN = [V7, MERGED, REVOKE_GP, FENCED]
NAMES = [design.name for design in CHOSEN]
STORIES = [library_scenario(name) for name in ("central-story", "guest-alone")]


def cells(*faults: str) -> list[Cell]:
    return [cell for story in STORIES for cell in run_row(story, CHOSEN, None, tuple(map(parse_fault, faults)))]


def stand() -> Standings:
    return standings(NAMES, cells(), cells(LOST))


def test_delivered_is_the_worst_of_all_runs() -> None:
    found = stand()
    assert found.delivered == worst(cells(), NAMES)
    assert found.delivered["host-served"]["v7"].scenarios == ["central-story"]


def test_scenarios_are_counted_once() -> None:
    assert stand().scenarios == 2


def test_lossy_counts_what_met_the_loss_and_nothing_else() -> None:
    """v7 and merged send no Revoke, and guest-alone has none under any design."""
    met = [cell for cell in cells(LOST) if not cell.unmet]
    assert {(cell.scenario, cell.design) for cell in met} == {
        ("central-story", "revoke-gp"),
        ("central-story", "fenced"),
    }
    lossy = stand().lossy
    assert {(by["v7"].verdict, by["merged"].verdict) for by in lossy.values()} == {("not exercised", "not exercised")}
    assert {name for by in lossy.values() for worst in by.values() for name in worst.scenarios} == {"central-story"}


def test_a_loss_breaks_what_it_did_not_before() -> None:
    found = stand()
    broken = {name for name, by in found.lossy.items() if by["revoke-gp"].verdict == "violated"}
    assert broken >= {"one-owner", "agreement", "revoke-completes"}
    delivered = {name: by["revoke-gp"].verdict for name, by in found.delivered.items()}
    assert {name for name, verdict in delivered.items() if verdict != "held"} == {
        "user-clean", "capability-kept", "stream-kept", "grants-kept"
    }  # fmt: skip
    assert "violated" not in delivered.values()
    assert "violated" not in {by["fenced"].verdict for by in found.lossy.values()}


def test_every_design_that_is_named_has_its_column() -> None:
    found = standings(list(DESIGNS), cells(), cells(LOST))
    assert {tuple(by) for by in (*found.delivered.values(), *found.lossy.values())} == {tuple(DESIGNS)}
    assert found.delivered["one-owner"]["v8"].scenarios == []
