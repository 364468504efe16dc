"""Every benchmark still runs: one tiny repetition of each, of which no time is judged."""

from __future__ import annotations

import importlib
import json
from math import isfinite
from typing import Any

import pytest

from client.claims import CLAIMS
from client.litmus import library_path
from tests.bench.__main__ import BENCHMARKS, main
from tests.bench.stopping import watched
from tests.cases import cases
from tests.designs import DESIGNS

SMALL: dict[str, dict[str, Any]] = {
    "simulation": {
        "ROUNDS": 1,
        "RUNS": 1,
        "CLONES": 1,
        "STARTS": 1,
        "AIMS": {"merged": "1"},
        "DESIGNS": {name: DESIGNS[name] for name in ("merged", "revoke-gp")},
    },
    "library": {
        "ROUNDS": 1,
        "STORIES": 1,
        "library": lambda: [library_path("guest-alone")],
        "DESIGNS": {"v7": DESIGNS["v7"]},
        "CLAIMS": CLAIMS[:1],
    },
    "round_trip": {"ROUNDS": 1, "TRIPS": 1, "BURSTS": 1, "IN_FLIGHT": 2},
    "pair": {"STARTS": 1, "RUNS": 1},
    "scheduler": {"ROUNDS": 1, "SIZES": (2, 3), "EVENTS": 1, "SWITCHES": 2, "CASES": 1},
    "crashes": {"POINTS": 2, "SEED": 19},
    "stopping": {"ROUNDS": 1, "STREAMS": 1, "SERVICES": ("kvm",), "LOADS": {"streams": watched}},
    "tls": {"ROUNDS": 1, "TRIPS": 150},
}
"""Benchmark to the constants that make it small."""


def test_each_benchmark_has_a_small_form() -> None:
    assert tuple(SMALL) == BENCHMARKS


@cases("name", BENCHMARKS)
def test_a_benchmark_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"tests.bench.{name}")
    with pytest.MonkeyPatch.context() as patch:
        for constant, value in SMALL[name].items():
            patch.setattr(module, constant, value)
        main([name, "--json"])
    figures = json.loads(capsys.readouterr().out)
    assert len({figure["name"] for figure in figures}) == len(figures) > 0
    assert all(isfinite(figure["value"]) for figure in figures), figures
