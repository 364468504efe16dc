"""``lbrlab oracle``: exit codes, what is printed, the document; and what counts as a disagreement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from client.cli.app import app
from tests.client.oracle.lines import CASE, OTHER, changed, write


def oracle(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["oracle", *map(str, arguments)])
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    return write(tmp_path / "cases.jsonl", CASE)

    return write(tmp_path / "wrong.jsonl", CASE, changed(CASE, id="liar", observed__phases__0__events__b__ratio=0.3))


def test_all_agree(cases: Path) -> None:
    result = oracle(cases)
    assert result.exit_code == 0
    told = "1 cases, 2 phases, 5 states and shares: 1 of 1 stable cases agree; 0 of 0 unstable or sensitive ones do"
    assert " ".join(result.stdout.split()) == told


def test_verbose_names_those_that_agree(cases: Path) -> None:
    assert "three-on-two: 2 phases agree under v6.16\n" in oracle("-v", cases).stdout


def test_a_stable_case_that_disagrees_ends_in_1(tmp_path: Path) -> None:
    line = changed(CASE, id="liar")
    line["observed"]["phases"][0]["events"]["b"] = {"ratio": 0.3, "first": 0.3}
    result = oracle(write(tmp_path / "c", CASE, line))
    assert result.exit_code == 1
    assert "liar (DISAGREES), phase 0: b share: observed 0.3000, model 0.6" in result.stdout
    assert "1 of 2 stable cases agree" in result.stdout


@pytest.mark.parametrize("why", ["unstable", "sensitive"])
def test_a_soft_case_that_disagrees_is_told_and_ends_in_0(tmp_path: Path, why: str) -> None:
    line = changed(CASE, **{why: True, "observed__phases__0__events__b": {"ratio": 0.3}})
    result = oracle(write(tmp_path / "c", line))
    assert result.exit_code == 0
    assert "three-on-two (unstable or sensitive), phase 0: b share" in result.stdout
    assert "0 of 0 stable cases agree; 0 of 1 unstable or sensitive ones do" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"observed__phases__0__events__a": {"error": True}}, "a state: observed ERROR, model 0.6"),
        ({"observed__phases__0__events__a": {"ratio": None}}, "a clock: observed off, model 0.6"),
        ({"observed__phases__1__events__c": {"ratio": 1.0}}, "c open: observed True, model False"),
        ({"observed__phases__1__events": {"a": {"ratio": 1.0}}}, "b open: observed False, model True"),
        ({"observed__phases__1__op_errno": [22]}, "phase 1: errno: observed [22], model [0]"),
    ],
)
def test_what_can_disagree(tmp_path: Path, values: dict[str, Any], told: str) -> None:
    result = oracle(write(tmp_path / "c", changed(CASE, **values)))
    assert result.exit_code == 1
    assert told in result.stdout


@pytest.mark.parametrize(("spread", "every", "agrees"), [(0.0, [], 1), (0.05, [], 0), (0.0, [0.4, 0.67], 0)])
def test_noise_is_what_boots_differ_by(tmp_path: Path, spread: float, every: list[float], agrees: int) -> None:
    """1.5 ticks in 60 ms are 0.1; the share is 0.67."""
    share = {"ratio": 0.53, "first": 0.53, "spread": spread, "all": every}
    assert oracle(write(tmp_path / "c", changed(CASE, observed__phases__0__events__a=share))).exit_code == agrees


def test_another_rule_set_can_be_asked_for(cases: Path, tmp_path: Path) -> None:
    assert "under v5.3" in oracle("-v", "--kernel", "v5.3", cases).stdout
    other = write(tmp_path / "o", OTHER)
    assert "three-on-two on 6.1: 2 phases agree under v5.12" in oracle("-v", cases, other).stdout


@pytest.mark.parametrize("kernel", [None, "v5.3"])
def test_the_document(cases: Path, tmp_path: Path, kernel: str | None) -> None:
    more = ["--kernel", kernel] if kernel else []
    result = oracle("--json", *more, cases, write(tmp_path / "o", OTHER))
    told = json.loads(result.stdout)
    assert result.exit_code == told["exit_code"] == 0
    assert told["totals"] == {
        "cases": 2,
        "phases": 4,
        "shares": 10,
        "hard": 2,
        "hard_disagreeing": 0,
        "soft": 0,
        "soft_disagreeing": 0,
    }
    assert [(c["case"], c["kernel"], c["disagreements"]) for c in told["cases"]] == [
        ("three-on-two", kernel or "v6.16", []),
        ("three-on-two on 6.1", kernel or "v5.12", []),
    ]


def test_the_document_of_a_disagreement(tmp_path: Path) -> None:
    path = write(tmp_path / "c", changed(CASE, observed__phases__0__events__a={"error": True}))
    told = json.loads(oracle("--json", path).stdout)
    assert told["exit_code"] == 1
    assert told["totals"]["hard_disagreeing"] == 1
    (found,) = told["cases"][0]["disagreements"]
    assert {k: found[k] for k in ("phase", "event", "quantity", "observed")} == {
        "phase": 0,
        "event": "a",
        "quantity": "state",
        "observed": "ERROR",
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--kernel", "v4.0"], "--kernel: unknown kernel 'v4.0', expected one of v5.3, v5.12, v6.16"),
        (["none.jsonl"], "cannot read"),
    ],
)
def test_bad_input_ends_in_2(cases: Path, arguments: list[str], told: str) -> None:
    result = oracle(*arguments, cases)
    assert result.exit_code == 2
    assert told in " ".join(result.output.split())


def test_no_cases_and_a_bad_line_end_in_2(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty")
    assert oracle(empty).exit_code == 2
    assert "expected a recorded case on each line, found none" in " ".join(oracle(empty).output.split())
    bad = write(tmp_path / "bad", changed(CASE, counters="six"))
    result = oracle("--json", bad)
    assert result.exit_code == 2
    assert f"{bad}:1: is not a recorded case" in json.loads(result.stdout)["error"]


@pytest.mark.parametrize(
    "values",
    [
        {"counters": 33},
        {"counters": 0},
        {"events__1__id": "a"},
        {"events__0__task": "nobody"},
        {"events__0__group": "b"},
        {"phases__1__ops__0__op": "enable"},
        {"phases__0__ops__1__event": "a"},
        {"schedule": [["nobody", 10]]},
        {"observed__phases__0__op_errno": [9]},
        {"duration_ms": -1},
        {"tasks": []},
        {"tasks": ["a", "a"]},
    ],
)
def test_whatever_a_line_holds_the_command_ends_in_0_1_or_2(tmp_path: Path, values: dict[str, Any]) -> None:
    path = write(tmp_path / "c", changed(CASE, **values))
    result = CliRunner().invoke(app, ["oracle", str(path)])
    assert result.exit_code in (0, 1, 2), result.output
