"""A pool of processes on this machine. They are spawned, never forked."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

from client.workers.pool import AHEAD

R = TypeVar("R")


class Processes:
    def __init__(self, workers: int = 0) -> None:
        """``workers``: 0 is one for each core."""
        self.workers = workers or os.cpu_count() or 1
        self.executor = self._executor()

    def ahead(self) -> int:
        return AHEAD * self.workers

    def submit(self, call: Callable[..., R], *given: Any) -> Future[R]:
        return self.executor.submit(call, *given)

    def renew(self) -> None:
        self.executor.shutdown(wait=False, cancel_futures=True)
        self.executor = self._executor()

    def close(self) -> None:
        # Wait for the running calls; else the pool ends before it has cancelled the others.
        self.executor.shutdown(wait=True, cancel_futures=True)

    def _executor(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.workers, get_context("spawn"), _ignore_interrupts)


def _ignore_interrupts() -> None:
    """Workers ignore SIGINT; the parent handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
