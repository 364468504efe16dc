"""Commands on running services that are given by address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from client.drive.pair import Pair
from tests.client.cli.commands import document, lbrlab


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def given(pair: Pair) -> tuple[str, ...]:
    return "--perfcore", pair.perfcore.address, "--kvm", pair.kvm.address, "--wait", "30"


def without_runs(told: dict[str, Any], *lists: str) -> dict[str, Any]:
    for name in lists:
        for part in told[name]:
            part["run"] = ""
            for check in part.get("checks", ()):
                check["run"] = ""
    return told


def test_a_matrix_on_given_services_is_that_on_sim(given: tuple[str, ...]) -> None:
    asked = ("matrix", "--designs", "v7,fenced", "--scenarios", "central-story,exits", "--json")
    real, sim = lbrlab(*asked, *given), lbrlab(*asked)
    assert real.exit_code == sim.exit_code == 1
    assert Path("lbrlab-runs/matrix-grpc/central-story-v7.json").is_file()
    assert without_runs(document(real), "cells") == without_runs(document(sim), "cells")


def test_a_scenario_that_needs_more_services_cannot_be_run(given: tuple[str, ...]) -> None:
    asked = ("matrix", "--designs", "fenced", "--scenarios", "exits,mech-two-kvms-one-cpu", "--json")
    cells = document(lbrlab(*asked, *given))["cells"]
    assert [cell["verdict"] for cell in cells] == ["held", "impossible"]
    assert "1 address given, expected 2 (kvm0, kvm1)" in cells[1]["reason"]


def test_claims_on_given_services_are_those_on_sim(given: tuple[str, ...]) -> None:
    real, sim = (
        without_runs(document(lbrlab("claims", "C16", "C18", "--json", *more)), "claims") for more in (given, ())
    )
    assert real == sim


def test_the_demo_on_given_services(given: tuple[str, ...]) -> None:
    told = document(lbrlab("demo", "--json", *given))
    assert "runs" in told, told
    assert {run["wire"] for run in told["runs"]} == {"grpc"}
    assert told["exit_code"] == 1
