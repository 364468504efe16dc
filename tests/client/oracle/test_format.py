"""Recorded cases as a file: what is read, and what a bad line is told."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from client.oracle.cases import load_cases
from client.oracle.compare import examine, kernel_for
from contract.errors import InputError
from tests.client.oracle.lines import CASE, MS, OTHER, REMOVED, changed, write


def refused(path: Path, *more: Path) -> str:
    with pytest.raises(InputError) as error:
        load_cases([path, *more])
    return str(error.value)


def test_a_plain_file(tmp_path: Path) -> None:
    (case,) = load_cases([write(tmp_path / "cases.jsonl", CASE)])
    assert (case.id, case.name, case.condition, case.soft) == ("three-on-two", "three-on-two", "6.12", False)
    assert examine(case).disagreements == []


def test_an_xz_file_is_the_same(tmp_path: Path) -> None:
    plain = write(tmp_path / "cases.jsonl", CASE, OTHER)
    packed = tmp_path / "cases.jsonl.xz"
    packed.write_bytes(lzma.compress(plain.read_bytes()))
    assert load_cases([packed]) == load_cases([plain])


def test_blank_lines_and_fields_nobody_knows_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text("\n" + json.dumps(changed(CASE, note="new", observed__final={})) + "\n\n")
    assert len(load_cases([path])) == 1


def test_an_empty_file_has_no_cases(tmp_path: Path) -> None:
    assert load_cases([write(tmp_path / "none.jsonl")]) == []


# Bad lines -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"counters": "six"}, "counters: expected a whole number"),
        ({"counters": REMOVED}, "the field 'counters' is missing"),
        ({"events__1__pinned": 1}, "events: entry 2: pinned"),
        ({"events__0__id": REMOVED}, "events: entry 1: the field 'id' is missing"),
        ({"phases__0__ops": {}}, "phases: entry 1: ops"),
        ({"observed__phases__1__snapshot_ms": [1]}, "observed: phases: entry 2: snapshot_ms"),
        ({"observed__tick_phase_ms": None}, "observed: tick_phase_ms: expected a number, found null"),
        ({"phases__1__ops__0__event": "z"}, "three-on-two: operation on an event 'z'"),
        ({"phases__1__ops__0__op": "zap"}, "three-on-two: unknown operation 'zap', expected open, close"),
        ({"phases__1": REMOVED}, "three-on-two: 1 phases, 2 observed"),
        ({"observed__phases__0__op_done_ms": [0.1]}, "three-on-two: 3 operations, 1 done"),
    ],
)
def test_a_bad_line_is_named_with_its_place(tmp_path: Path, values: dict[str, Any], told: str) -> None:
    path = write(tmp_path / "cases.jsonl", CASE, changed(CASE, **values))
    message = refused(path)
    assert message.startswith(f"{path}:2: ")
    assert told in message


@pytest.mark.parametrize(
    "values",
    [{"mux_interval_ms": 0}, {"mux_interval_ms": 0.5}, {"schedule": [["t0", 0]]}, {"schedule": []}],
)
def test_what_could_not_be_replayed_is_named_too(tmp_path: Path, values: dict[str, Any]) -> None:
    """Ticks less than a millisecond apart; a schedule that never gets on."""
    path = write(tmp_path / "cases.jsonl", CASE, changed(CASE, **values))
    assert refused(path).startswith(f"{path}:2: three-on-two: ")


@pytest.mark.parametrize("text", ["nonsense", "[]", '"condition"', "{", '{"condition": 1}'])
def test_what_is_no_case_at_all(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "cases.jsonl", CASE)
    path.write_text(path.read_text() + "\n" + text + "\n")
    assert refused(path).startswith(f"{path}:3: is not a recorded case: ")


def test_a_file_cut_off_in_a_line(tmp_path: Path) -> None:
    path = write(tmp_path / "cases.jsonl", CASE, CASE)
    path.write_bytes(path.read_bytes()[:-300])
    assert refused(path).startswith(f"{path}:2: is not a recorded case: ")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_bytes(json.dumps(CASE).encode().replace(b"three-on-two", b"\xff\xfe"))
    assert refused(path).startswith(f"{path}:1: ")


@pytest.mark.parametrize("cut", [0, 10, -20])
def test_an_xz_file_cut_off_or_none_at_all(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cases.jsonl.xz"
    whole = lzma.compress(json.dumps(CASE).encode())
    path.write_bytes(whole[:cut] if cut else b"this is not xz")
    assert refused(path).startswith(f"{path}: not an xz file: ")


def test_there_is_no_such_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "none") == f"{tmp_path / 'none'}: cannot read: No such file or directory"
    assert refused(tmp_path) == f"{tmp_path}: cannot read: Is a directory"


# Other conditions ------------------------------------------------------------------------------------------


def test_a_line_of_another_condition_takes_the_case_from_the_main_record(tmp_path: Path) -> None:
    main, other = load_cases([write(tmp_path / "o", OTHER), write(tmp_path / "c", CASE)])
    assert (other.name, other.condition) == ("three-on-two on 6.1", "6.1")
    assert (other.events, other.phases) == (main.events, main.phases)
    assert other.observed.tick_phase_ms == 1.5
    shares = other.observed.phases[0].events
    assert (shares["a"].ratio, shares["c"].all) == (0.66, [0.67, 0.68])
    result = examine(other)
    assert (result.kernel, result.disagreements) == ("v5.12", [])


def test_it_needs_the_case_itself(tmp_path: Path) -> None:
    alone = write(tmp_path / "o", changed(OTHER, id="other"))
    assert refused(alone, write(tmp_path / "c", CASE)) == f"{alone}:1: the case 'other' itself is in none of the files"


@pytest.mark.parametrize(
    ("brief", "ratio", "error"),
    [(0.5, 0.5, False), (1, 1.0, False), ("off", None, False), ("E", None, True), (None, None, False)],
)
def test_shares_in_short(tmp_path: Path, brief: Any, ratio: float | None, error: bool) -> None:
    line = changed(OTHER, observed__phases__0__events__a=brief)
    _, other = load_cases([write(tmp_path / "c", CASE, line)])
    share = other.observed.phases[0].events["a"]
    assert (share.ratio, share.error) == (ratio, error)


def test_it_has_times_and_a_tick_of_its_own_where_noted(tmp_path: Path) -> None:
    line = changed(OTHER, observed__tick_phase_ms=3.0, observed__phases__0__op_done_ms=[0.2, 0.3, 0.4])
    _, other = load_cases([write(tmp_path / "c", CASE, line)])
    assert other.observed.tick_phase_ms == 3.0
    assert other.observed.phases[0].op_done_ms == [0.2, 0.3, 0.4]
    assert other.observed.phases[1].op_done_ms == [MS + 0.1]


def test_operations_come_before_its_snapshot_though_their_times_are_the_main_records(tmp_path: Path) -> None:
    """The snapshot of a phase follows its operations, and there it can have been a little sooner."""
    case = changed(CASE, phases__1__ops__0__op="disable", observed__phases__1__events__c={"ratio": None})
    seen = {"op_errno": 0, "snapshot_ms": [MS + 0.05, 2 * MS], "events": {"a": 1.0, "b": 1.0, "c": "off"}}
    _, other = load_cases([write(tmp_path / "c", case, changed(OTHER, observed__phases__1=seen))])
    assert examine(other).disagreements == []


@pytest.mark.parametrize("count", [1, 3])
def test_it_has_as_many_phases_as_the_case(tmp_path: Path, count: int) -> None:
    phases = (OTHER["observed"]["phases"] * 2)[:count]
    path = write(tmp_path / "c", CASE, changed(OTHER, observed__phases=phases))
    assert refused(path).startswith(f"{path}:2: three-on-two")


def test_it_has_the_operations_of_the_case(tmp_path: Path) -> None:
    path = write(tmp_path / "c", CASE, changed(OTHER, observed__phases__0__op_done_ms=[0.1]))
    assert refused(path) == f"{path}:2: three-on-two: 3 operations, 1 done"


@pytest.mark.parametrize(
    ("condition", "kernel"),
    [("6.12", "v6.16"), ("7.3", "v6.16"), ("6.1", "v5.12"), ("6.1-up", "v5.12"), ("6.12-up", "v6.16"), ("9", "v6.16")],
)
def test_the_rule_set_for_a_condition(tmp_path: Path, condition: str, kernel: str) -> None:
    _, other = load_cases([write(tmp_path / "c", CASE, changed(OTHER, condition=condition))])
    assert kernel_for(other) == kernel
