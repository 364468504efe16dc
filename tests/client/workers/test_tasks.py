"""Each call gives its result once, whatever happens to its process."""

from __future__ import annotations

import os
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from client.workers import tasks as tasks_module
from client.workers.pool import InThisProcess
from client.workers.processes import Processes
from client.workers.tasks import DEATHS_LIMIT, Tasks, WorkerDiedError
from contract.errors import SystemFailedError
from tests.cases import cases


def doubled(number: int, mark: str = "") -> int:
    """Kills its process the first time, if there is a mark."""
    if mark and not Path(mark).exists():
        Path(mark).touch()
        os._exit(1)
    return 2 * number


class Mortal:
    """A pool whose process dies with the calls of these numbers."""

    together = 1

    def __init__(self, *deadly: int) -> None:
        self.deadly, self.begun, self.renewed = deadly, 0, 0
        self.waiting: list[Future[Any]] = []

    def ahead(self) -> int:
        return 1

    def submit(self, call: Any, *given: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.begun += 1
        if self.begun in self.deadly:
            future.set_exception(BrokenProcessPool("died"))
        else:
            future.set_result(call(*given))
        return future

    def check(self) -> None:
        pass

    def renew(self) -> None:
        self.renewed += 1

    def close(self) -> None:
        pass


def all_of(tasks: Tasks[int]) -> list[tuple[int, int]]:
    found = []
    while (got := tasks.take()) is not None:
        found.append(got)
    return sorted(found)


@cases("deadly", [(1,), (2,), (3,), (1, 2, 3), (3, 4, 5)])
def test_a_call_whose_process_died_is_begun_again(deadly: tuple[int, ...]) -> None:
    pool = Mortal(*deadly)
    tasks: Tasks[int] = Tasks(pool)
    for n in range(3):
        tasks.add(n, doubled, n)
    assert all_of(tasks) == [(0, 0), (1, 2), (2, 4)]
    assert pool.renewed


def test_a_call_that_always_kills_its_process_ends_all() -> None:
    tasks: Tasks[int] = Tasks(Mortal(*range(1, DEATHS_LIMIT + 2)))
    tasks.add(0, doubled, 0)
    with pytest.raises(WorkerDiedError):
        tasks.take()


class Deserted(InThisProcess):
    """A pool that nobody works for. ``checked``: how often it was asked before it knows."""

    checked = 0

    def submit(self, call: Any, *given: Any) -> Future[Any]:
        return Future()

    def check(self) -> None:
        self.checked += 1
        if self.checked == 3:
            raise SystemFailedError("the pool", "nobody is left")


def test_a_pool_that_can_have_no_result_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "LOOK_EVERY", 0.001)
    pool = Deserted()
    tasks: Tasks[int] = Tasks(pool)
    tasks.add(0, doubled, 0)
    with pytest.raises(SystemFailedError, match="nobody is left"):
        tasks.take()
    assert pool.checked == 3


def test_an_error_of_a_call_is_raised_where_its_result_is_taken() -> None:
    tasks: Tasks[int] = Tasks(InThisProcess())
    tasks.add(0, int, "x")
    with pytest.raises(ValueError):
        tasks.take()
    assert tasks.take() is None


def test_a_real_process_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    pool = Processes(1)
    tasks: Tasks[int] = Tasks(pool)
    try:
        for n in range(4):
            tasks.add(n, doubled, n, str(tmp_path / "mark") if n == 1 else "")
        assert all_of(tasks) == [(n, 2 * n) for n in range(4)]
    finally:
        pool.close()
