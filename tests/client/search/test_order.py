"""The order in which results come, which differs from pool to pool, changes nothing that is told."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from client.search.robustness import robustness
from client.workers.pool import InThisProcess
from tests.client.search.plans import SCENARIOS
from tests.designs import REVOKE_GP


class FourAhead(InThisProcess):
    def ahead(self) -> int:
        return 4


def told(order: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, dict[str, bytes]]:
    """The cells, and the files of all witnesses. ``order`` 0: the oldest result comes first, -1: the newest."""

    def wait(running: Iterable[Future[Any]], *_: object, **__: object) -> tuple[set[Future[Any]], set[Future[Any]]]:
        return {list(running)[order]}, set()

    monkeypatch.setattr("client.workers.tasks.wait", wait)
    found = robustness([REVOKE_GP], SCENARIOS, ["drop", "delay"], 15, 0, folder, FourAhead())
    cells = {
        kind: (cell.runs, cell.violated, cell.invariant, cell.text, cell.faults)
        for kind, by_design in found.kinds.items()
        for cell in by_design.values()
    }
    files = {path.name: path.read_bytes() for path in folder.rglob("*.json") if path.name != "campaign.json"}
    return cells, files


def test_the_witness_of_a_cell_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (oldest, files), (newest, other_files) = (told(order, tmp_path / str(order), monkeypatch) for order in (0, -1))
    assert newest == oldest
    assert any(text for *_, text, _ in oldest.values())
    assert other_files == files
