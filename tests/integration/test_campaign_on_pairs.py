"""A campaign that plays on running services finds what it finds on the simulated wire."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from client.drive.pair import Pair
from contract.errors import ExitCode
from tests.cases import cases
from tests.client.cli.commands import lbrlab, unbroken
from tests.designs import FENCED
from tests.integration.story import set_up

ASKED = ("campaign", "--designs", "revoke-gp", "--scenarios", "central-story", "--runs", "30")
KINDS = "drop,duplicate,reorder,delay,corrupt,hold,cut,stall,clock,end"


def told(*options: str) -> dict[str, Any]:
    """The document without what each campaign has of its own."""
    result = lbrlab(*ASKED, *options, "--json")
    document: dict[str, Any] = json.loads(result.stdout)
    for name in ("folder", "rate", "seconds", "cpu"):
        del document[name]
    for finding in document["findings"]:
        finding["run"] = Path(finding["run"]).name
    return document


def test_the_same_is_found(pair: Pair, in_tmp: Path) -> None:
    simulated = told("--no-stories", "--workers", "1", "--faults", KINDS, "-o", "sim")

    on_pair = told("--pair", f"{pair.perfcore.address},{pair.kvm.address}", "-o", "pair")

    assert on_pair == simulated
    assert on_pair["findings"]


@cases(
    ("given", "why"),
    [
        (["--pair", "unix:p"], "expected PERFCORE,KVM"),
        (["--pair", "unix:p,unix:p"], "given twice"),
        (["--pair", "unix:p,unix:k", "--pair", "unix:p,unix:l"], "unix:p is given twice"),
        (["--pair", "10.0.0.1:1,unix:k"], "--insecure"),
        (["--pair", "unix:p,unix:k", "--scenarios", "mech-two-kvms-one-cpu"], "fits the given services"),
    ],
)
def test_pairs_that_make_no_sense_are_refused(given: list[str], why: str, in_tmp: Path) -> None:
    result = unbroken("campaign", *given)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert why in result.stderr


def test_a_pair_that_is_not_there_ends_the_campaign(in_tmp: Path) -> None:
    result = unbroken(*ASKED, "--pair", f"unix:{in_tmp}/p,unix:{in_tmp}/k")
    assert result.exit_code == ExitCode.SYSTEM_FAILED
    assert "perfcore: " in result.stderr


def test_a_busy_pair_is_waited_for_or_taken_over(pair: Pair, in_tmp: Path) -> None:
    set_up(pair.wire, FENCED)
    asked = (*ASKED[:-1], "1", "--pair", f"{pair.perfcore.address},{pair.kvm.address}")
    busy = lbrlab(*asked)
    assert (busy.exit_code, "--take-over ends" in " ".join(busy.stderr.split())) == (3, True)
    assert "1 run, " in lbrlab(*asked, "--take-over").stdout


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path
