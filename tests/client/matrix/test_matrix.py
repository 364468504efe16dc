"""Cells, rows on several processes, and what they say together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from client.check.judge import MONITORS
from client.litmus import Scenario, parse
from client.litmus.fault_rules import parse_fault
from client.matrix.cell import Cell, run_cell
from client.matrix.pool import PartialError, Row, run_row, run_tasks
from client.matrix.summary import overall, worst
from client.run.file import load_run
from client.workers.pool import InThisProcess
from contract.design import Design
from contract.errors import RefusedError, SystemFailedError
from contract.trace import Rest
from tests.cases import cases
from tests.client.check.runs import trace, verdicts
from tests.designs import DESIGNS, FENCED, KVM_SWITCH, MERGED, REVOKE_GP, V7, V8
from tests.library import library_scenario

R = TypeVar("R")
STORY = library_scenario("central-story")
ALONE = library_scenario("guest-alone")
HOST_ONLY = library_scenario("pinned-error")


# A cell ------------------------------------------------------------------------------------------------------


@cases("design", [V7, V8, MERGED, FENCED], ids=lambda d: d.name)
def test_a_cell_says_what_a_run_says(design: Design) -> None:
    cell = run_cell(STORY, design, None)
    records = trace(STORY, design)
    assert cell.invariants == verdicts(records)
    assert cell.broken == [name for name, finding in cell.invariants.items() if finding == "violated"]
    assert (cell.verdict == "violated") == bool(cell.broken)
    assert cell.run is None


def test_the_operations_are_those_of_all_hosts() -> None:
    story = library_scenario("mech-migrate-with-lbr")
    rest = next(r for r in reversed(trace(story, MERGED)) if isinstance(r, Rest))
    first, second = (host.operations for host in rest.hosts)
    assert first["vmentry"]
    assert second["vmentry"]
    assert run_cell(story, MERGED, None).operations == {
        name: first.get(name, 0) + second.get(name, 0) for name in {*first, *second}
    }


def test_a_cells_run_file_is_its_run(tmp_path: Path) -> None:
    cell = run_cell(STORY, REVOKE_GP, tmp_path / "run.json", (parse_fault("drop:Revoke:1"),))
    assert cell.run == str(tmp_path / "run.json")
    run = load_run(tmp_path / "run.json")
    assert ([str(fault) for fault in run.faults], run.unmet) == (["drop Revoke 1"], [])
    assert verdicts(run.records) == cell.invariants


def test_a_fault_that_met_nothing_decides_nothing() -> None:
    cell = run_cell(HOST_ONLY, REVOKE_GP, None, (parse_fault("drop:Revoke:1"),))
    assert (cell.verdict, cell.broken, cell.unmet) == ("undecided", [], ["drop Revoke 1"])


def test_a_condition_that_fails_breaks_no_invariant() -> None:
    story = parse("LBR x host { e = open cpu0 pinned branch any; } forall (host:e.state = ERROR)")
    cell = run_cell(story, MERGED, None)
    assert (cell.verdict, cell.broken) == ("violated", [])


# Rows --------------------------------------------------------------------------------------------------------


def test_a_row_has_a_cell_for_each_design_and_a_file_for_each_cell(tmp_path: Path) -> None:
    row = run_row(STORY, [V7, FENCED], tmp_path, ())
    assert [(cell.scenario, cell.design) for cell in row] == [("central-story", "v7"), ("central-story", "fenced")]
    assert [Path(str(cell.run)).name for cell in row] == ["central-story-v7.json", "central-story-fenced.json"]


def impossible(*_: object) -> None:
    raise RefusedError("such a machine cannot be")


def failing(*_: object) -> None:
    raise SystemFailedError("sim", "broken")


@cases(("raised", "verdict"), [(impossible, "impossible"), (failing, "failed")])
def test_one_that_cannot_be_run_leaves_the_others_alone(
    raised: object, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from client.matrix import pool

    ran = pool.run_cell

    def run(story: Scenario, design: Design, *rest: object) -> object:
        return raised() if design is V8 else ran(story, design, *rest)  # type: ignore[operator,arg-type]

    monkeypatch.setattr(pool, "run_cell", run)
    row = run_row(ALONE, [V7, V8, FENCED], None, ())
    assert [cell.verdict for cell in row] == ["held", verdict, "held"]


def test_several_processes_say_the_same_as_one_in_the_order_of_the_scenarios() -> None:
    stories, designs = [STORY, ALONE, HOST_ONLY], [V7, MERGED]
    heard: list[Row] = []
    several = run_tasks([(story, ()) for story in stories], designs, None, workers=2, done=heard.append)
    assert several == run_tasks([(story, ()) for story in stories], designs, None, workers=1)
    assert [row[0].scenario for row in several] == [story.name for story in stories]
    assert sorted(row[0].scenario for row in heard) == sorted(story.name for story in stories)


@cases("workers", [1, 2])
def test_interrupted_it_gives_what_is_there(workers: int) -> None:
    def interrupt(_: Row) -> None:
        raise KeyboardInterrupt

    with pytest.raises(PartialError) as partial:
        run_tasks([(STORY, ()), (ALONE, ()), (HOST_ONLY, ())], [MERGED], None, workers=workers, done=interrupt)
    assert len(partial.value.rows) == 1
    assert all(isinstance(cell, Cell) for row in partial.value.rows for cell in row)


def test_it_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    run_tasks([(ALONE, ()), (HOST_ONLY, ())], [MERGED], None, workers=2)
    assert threading.active_count() <= before + 1


# Together ----------------------------------------------------------------------------------------------------


def cell(scenario: str, design: str, verdict: str = "held", **invariants: str) -> Cell:
    return Cell(
        scenario, design, verdict, "", [], [], {k.replace("_", "-"): v for k, v in invariants.items()}, {}, None
    )


def test_the_worst_of_an_invariant_names_where() -> None:
    cells = [
        cell("a", "v7", one_owner="held"),
        cell("b", "v7", one_owner="violated"),
        cell("c", "v7", one_owner="violated", no_leak="held"),
        cell("d", "v7", one_owner="not exercised"),
        cell("a", "fenced", one_owner="held"),
    ]
    found = worst(cells, ["v7", "fenced"])
    assert (found["one-owner"]["v7"].verdict, found["one-owner"]["v7"].scenarios) == ("violated", ["b", "c"])
    assert (found["one-owner"]["fenced"].verdict, found["one-owner"]["fenced"].scenarios) == ("held", ["a"])
    assert (found["no-leak"]["v7"].verdict, found["no-leak"]["fenced"].verdict) == ("held", "not exercised")
    assert list(found) == [invariant.name for invariant in MONITORS]


@cases(
    ("verdicts", "together"),
    [
        (["held", "held"], "held"),
        (["held", "undecided"], "undecided"),
        (["undecided", "violated", "impossible"], "violated"),
        (["violated", "failed"], "failed"),
        (["held", "impossible"], "impossible"),
        ([], "undecided"),
    ],
)
def test_the_worst_cell_decides(verdicts: list[str], together: str) -> None:
    assert overall([cell(str(i), "v7", verdict) for i, verdict in enumerate(verdicts)]) == together


def test_every_design_is_in_the_table() -> None:
    row = run_row(ALONE, list(DESIGNS.values()), None, ())
    assert [c.design for c in row] == list(DESIGNS)
    assert {c.design for c in row if c.verdict != "held"} == {"first-draft"}, "its event takes a counter"
    other = run_row(replace(STORY, final=None), [KVM_SWITCH], None, ())
    assert other[0].broken


class LosesItsScheduler(InThisProcess):
    """A pool that fails behind its first call."""

    calls = 0

    def submit(self, call: Callable[..., R], *given: Any) -> Future[R]:
        self.calls += 1
        if self.calls > 1:
            raise SystemFailedError("the Dask scheduler", "the connection is lost")
        return super().submit(call, *given)


def test_a_pool_that_fails_leaves_the_finished_rows() -> None:
    with pytest.raises(PartialError, match="the connection is lost") as caught:
        run_tasks([(STORY, ()), (ALONE, ())], [MERGED], None, pool=LosesItsScheduler())
    assert [[cell.scenario for cell in row] for row in caught.value.rows] == [["central-story"]]
