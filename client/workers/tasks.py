"""Calls with keys, of which each gives its result once, whatever happens to the process that carries it out."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from client.workers.pool import Pool

K = TypeVar("K", bound=Hashable)

DEATHS_LIMIT = 3
"""How often a call may be begun again because its process died."""
LOOK_EVERY = 1.0
"""Seconds without a result after which the pool is asked whether there can be one."""


class WorkerDiedError(Exception):
    """The process of one call died again and again."""


@dataclass(slots=True)
class _Task(Generic[K]):
    key: K
    call: Callable[..., Any]
    given: tuple[Any, ...]
    deaths: int = 0


class Tasks(Generic[K]):
    """``add`` begins a call; ``take`` waits for the next result. A call must give the same result each time, and change
    nothing that counts: it is repeated if its process dies."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.running: dict[Future[Any], _Task[K]] = {}

    def __len__(self) -> int:
        return len(self.running)

    def add(self, key: K, call: Callable[..., Any], *given: Any) -> None:
        self._begin(_Task(key, call, given))

    def _begin(self, task: _Task[K]) -> None:
        try:
            self.running[self.pool.submit(task.call, *task.given)] = task
        except BrokenProcessPool:
            self._again()
            self.running[self.pool.submit(task.call, *task.given)] = task

    def take(self) -> tuple[K, Any] | None:
        """Wait for the next result, and give it with its key; None if no call is under way. Raises the exception of a
        call, WorkerDiedError, and SystemFailedError if the pool can have no result."""
        while self.running:
            done, _ = wait(self.running, LOOK_EVERY, return_when=FIRST_COMPLETED)
            if not done:
                self.pool.check()
                continue
            future = next(iter(done))
            task = self.running.pop(future)
            try:
                return task.key, future.result()
            except (BrokenProcessPool, CancelledError) as error:
                task.deaths += 1
                if task.deaths > DEATHS_LIMIT:
                    raise WorkerDiedError(f"a worker process has died: {error}") from None
                self._again()
                self._begin(task)
        return None

    def _again(self) -> None:
        """Begin the calls of a dead pool again in a new one. Results that are there stay."""
        self.pool.renew()
        for future, task in list(self.running.items()):
            if not future.done() or future.cancelled() or isinstance(future.exception(), BrokenProcessPool):
                del self.running[future]
                self.running[self.pool.submit(task.call, *task.given)] = task
