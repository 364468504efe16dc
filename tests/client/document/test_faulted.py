"""Which design keeps which invariant under which kind of fault."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from msgspec.structs import replace

from client import api
from client.document.faulted import (
    SCENARIOS,
    FaultTable,
    fault_table,
    fault_tasks,
    has_text,
    kept_rows,
    kind_letters,
    kind_rows,
    rules_of_kind,
)
from client.litmus import library_path
from client.litmus.fault_kinds import FAULT_KINDS
from client.litmus.fault_rules import parse_fault
from client.matrix.cell import impossible_cell
from client.matrix.faulted import NO_FAULT
from client.matrix.pool import run_row
from contract.errors import SystemFailedError
from contract.invariants import INVARIANTS
from tests.designs import FENCED, MERGED, REVOKE_GP

CHOSEN = [MERGED, REVOKE_GP, FENCED]
NAMES = [design.name for design in CHOSEN]
STORY = "central-story-in-full"


@cache
def found() -> FaultTable:
    tasks = fault_tasks(FAULT_KINDS, [STORY], 1)
    return fault_table(
        NAMES, tasks, enumerate(run_row(scenario, CHOSEN, None, faults) for _, (scenario, faults) in tasks)
    )


def test_every_kind_has_a_row_and_rules_that_draw() -> None:
    assert list(found().kinds) == [NO_FAULT, *FAULT_KINDS]
    assert list(kind_letters(found())) == list(FAULT_KINDS)
    for name, kind in FAULT_KINDS.items():
        rules = rules_of_kind(kind, 3)
        assert found().rules[name] == [str(rule) for rule in rules_of_kind(kind, 1)]
        assert {rule.kind for rule in rules} == {name}
        assert rules == (parse_fault(kind.example),) or all(rule.chance < 1 for rule in rules)
        assert len(set(rules)) == len(rules)
        assert all(map(has_text, rules))
    assert {rule.chance < 1 for rule in rules_of_kind(FAULT_KINDS["hold"])} == {True}
    assert not has_text(replace(parse_fault("drop"), amount=3))


def test_its_scenarios_are_in_the_library_and_break_nothing_under_fenced() -> None:
    for name in SCENARIOS:
        assert library_path(name).is_file()
        assert api.run(name, FENCED).broken() == []


def test_a_cell_counts_the_runs_that_api_gives() -> None:
    for kind in ("drop", "hold"):
        runs = [api.run(STORY, REVOKE_GP, faults=[rule]) for rule in rules_of_kind(FAULT_KINDS[kind], 1)]
        met = [run for run in runs if not run.unmet]
        cell = found().kinds[kind]["revoke-gp"]
        assert (cell.runs, cell.violated) == (len(met), sum(bool(run.broken()) for run in met))
        assert cell.broken == {
            n: sum(n in run.broken() for run in met) for n in INVARIANTS if any(n in r.broken() for r in met)
        }


def test_fenced_keeps_what_the_others_break() -> None:
    table = found()
    for name in FAULT_KINDS:
        assert table.kinds[name]["fenced"].runs
        assert table.kinds[name]["fenced"].violated == 0
    assert "delay" in table.verdict("one-owner", "revoke-gp").split()
    assert table.verdict("one-owner", "fenced") == "held"
    assert table.verdict("host-served", "merged") == "violated"
    assert table.verdict("user-clean", "fenced") == "not exercised"


def test_rows_are_the_table_in_letters() -> None:
    table = found()
    assert [row[0] for row in kind_rows(table, NAMES)] == [
        f"  {NO_FAULT}",
        *(f"{b} {a}" for a, b in kind_letters(table).items()),
    ]
    kept = {name: dict(zip(NAMES, cells, strict=True)) for name, *cells in kept_rows(table, NAMES)}
    assert kept["host-served"]["merged"] == "X"
    assert kind_letters(table)["delay"] in kept["one-owner"]["revoke-gp"]
    assert (kept["one-owner"]["fenced"], kept["user-clean"]["fenced"]) == ("+", ".")


def test_a_run_that_no_fault_met_does_not_count() -> None:
    never = replace(FAULT_KINDS["drop"], example="drop kvm9>host")
    scenario, _ = fault_tasks({}, [STORY])[0][1]
    tasks = [("drop", (scenario, (parse_fault(never.example),)))]
    table = fault_table(NAMES, tasks, [(0, run_row(scenario, CHOSEN, None, tasks[0][1][1]))])
    assert {cell.runs for cell in table.kinds["drop"].values()} == {0}
    assert kind_rows(table, NAMES)[0][1:] == [".", ".", "."]


def test_a_run_that_fails_counts() -> None:
    """It says nothing about an invariant, so it is no violation of one."""
    scenario, _ = fault_tasks({}, [STORY])[0][1]
    tasks = [("drop", (scenario, (parse_fault("drop Revoke"),)))]
    row = [
        impossible_cell(scenario, FENCED, SystemFailedError("sim", "a core raised")),
        run_row(scenario, [REVOKE_GP], None, ())[0],
    ]
    cells = fault_table(NAMES, tasks, [(0, row)]).kinds["drop"]
    assert (cells["fenced"].share, cells["fenced"].broken) == ("1/1", {"failed": 1})
    assert "--fault 'drop Revoke'" in cells["fenced"].commands["failed"]
    assert cells["revoke-gp"].runs == 1


def test_the_page_of_faults_shows_what_is_computed() -> None:
    """Of two designs under one kind; ``lbrlab contract`` computes the rest."""
    page = (Path(__file__).parents[3] / "docs" / "faults.md").read_text(encoding="utf-8")
    head, _, *lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
    shown = {kind: dict(zip(head[1:], cells, strict=True)) for kind, *cells in lines}
    kinds = {name: FAULT_KINDS[name] for name in ("cut",)}
    tasks = fault_tasks(kinds)
    rows = [run_row(scenario, [REVOKE_GP, FENCED], None, faults) for _, (scenario, faults) in tasks]
    table = fault_table(["revoke-gp", "fenced"], tasks, enumerate(rows))
    for name, *cells in kind_rows(table, ["revoke-gp", "fenced"]):
        kind = name.split()[-1]
        assert [shown[kind]["revoke-gp"], shown[kind]["fenced"]] == cells
    assert set(shown) == {NO_FAULT, *FAULT_KINDS}
