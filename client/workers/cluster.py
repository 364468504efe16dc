"""A pool of the workers of a Dask cluster. They need the same lbrlab, and the designs of other packages that it uses.

The scheduler gives the calls of a worker that died to another one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from client.workers.pool import AHEAD
from contract.errors import InputError, SystemFailedError

R = TypeVar("R")
PATIENCE = "10s"
"""How long the scheduler may take to answer."""
ASK_EVERY = 1.0
"""Seconds between two questions for the number of workers."""


class Cluster:
    together = 8
    """The scheduler, the client and the worker take some 15 ms of CPU for a call."""

    def __init__(self, address: str) -> None:
        """``address``: of the scheduler, ``tcp://host:8786``. Raises InputError if the extra is not installed or the
        address is wrong, SystemFailedError if no scheduler answers."""
        try:
            from distributed import Client
        except ImportError:
            raise InputError("needs dask.distributed: install lbrlab[dask]", "--dask") from None
        try:
            self.client = Client(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise SystemFailedError(f"the Dask scheduler {address}", str(error) or "no answer") from None
        except ValueError as error:
            raise InputError(str(error), f"--dask {address}") from None
        self.executor = self.client.get_executor(pure=False)
        self._threads = 1
        """Of all workers; 1 as long as there is none."""
        self._asked = -math.inf
        """Time at which the scheduler was last asked for them."""

    def ahead(self) -> int:
        """For each thread of all workers. To ask the scheduler takes as long as to hand it a call."""
        if time.monotonic() - self._asked > ASK_EVERY:
            workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
            self._threads = sum(int(worker["nthreads"]) for worker in workers) or 1
            self._asked = time.monotonic()
        return AHEAD * self._threads

    def submit(self, call: Callable[..., R], *given: Any) -> Future[R]:
        future: Future[R] = self.executor.submit(call, *given)
        return future

    def renew(self) -> None:
        """The cluster does that itself."""

    def close(self) -> None:
        self.executor.shutdown(wait=False)
        self.client.close()
