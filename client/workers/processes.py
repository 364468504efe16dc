"""A pool of processes on this machine. They fork from a server that has imported what the first call needs, never from
this process: it can have threads, and those of gRPC do not survive a fork."""

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
    together = 1

    def __init__(self, workers: int = 0) -> None:
        """``workers``: 0 is one for each core."""
        self.workers = workers or os.cpu_count() or 1
        self.executor: ProcessPoolExecutor | None = None

    def ahead(self) -> int:
        return AHEAD * self.workers

    def submit(self, call: Callable[..., R], *given: Any) -> Future[R]:
        if self.executor is None:
            context = get_context("forkserver")
            # The server starts once in the life of this process; a later list changes nothing.
            context.set_forkserver_preload([call.__module__])
            self.executor = ProcessPoolExecutor(self.workers, context, _ignore_interrupts)
        return self.executor.submit(call, *given)

    def check(self) -> None:
        """A process that has died ends its calls."""

    def renew(self) -> None:
        self._shut_down(wait=False)

    def close(self) -> None:
        # Wait for the running calls; else the pool ends before it has cancelled the others.
        self._shut_down(wait=True)

    def _shut_down(self, wait: bool) -> None:
        executor, self.executor = self.executor, None
        if executor is not None:
            executor.shutdown(wait=wait, cancel_futures=True)


def _ignore_interrupts() -> None:
    """Workers ignore SIGINT; the parent handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
