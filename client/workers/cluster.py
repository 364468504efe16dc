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
NO_WORKER = 30.0
"""Seconds in which a first worker has to come, or another one when the last has gone."""


class Cluster:
    together = 8
    """The scheduler, the client and the worker take some 15 ms of CPU for a call."""

    def __init__(self, address: str) -> None:
        """``address``: of the scheduler, ``tcp://host:8786``. Raises InputError if the extra is not installed or the
        address is wrong, SystemFailedError if no scheduler answers."""
        try:
            from distributed import Client
            from distributed.comm import get_address_host_port
        except ImportError:
            raise InputError("needs dask.distributed: install lbrlab[dask]", "--dask") from None
        self.address = address
        try:
            # A client that cannot read its address still tries to end itself, for 20 seconds.
            get_address_host_port(address, strict=True)
            self.client = Client(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise SystemFailedError(f"the Dask scheduler {address}", str(error) or "no answer") from None
        except ValueError as error:
            raise InputError(f"{error}; expected tcp://host:port", f"--dask {address}") from None
        self.executor = self.client.get_executor(pure=False)
        self._threads = 1
        """Of all workers; 1 as long as there is none."""
        self._asked = -math.inf
        """Time at which the scheduler was last asked for them."""
        self._wait_for_a_worker()
        self._there = time.monotonic()
        """Time at which a worker was there."""

    def _wait_for_a_worker(self) -> None:
        try:
            self.client.wait_for_workers(1, timeout=NO_WORKER)
        except TimeoutError:
            self.close()
            raise self._failed(f"no worker has come in {NO_WORKER:.0f} s: dask worker {self.address}") from None

    def _failed(self, reason: str) -> SystemFailedError:
        return SystemFailedError(f"the Dask scheduler {self.address}", reason)

    def _check(self) -> None:
        """Raise SystemFailedError if the connection is gone. The client has then tried to connect again for a while."""
        if self.client.status in ("closing", "closed"):
            raise self._failed("the connection is lost")

    def _workers(self) -> list[dict[str, Any]]:
        """To ask the scheduler takes as long as to hand it a call."""
        self._check()
        try:
            workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        except OSError as error:
            raise self._failed(str(error)) from None
        self._asked = time.monotonic()
        if workers:
            self._there = self._asked
        return list(workers)

    def ahead(self) -> int:
        """For each thread of all workers."""
        self._check()
        if time.monotonic() - self._asked > ASK_EVERY:
            self._threads = sum(int(worker["nthreads"]) for worker in self._workers()) or 1
        return AHEAD * self._threads

    def check(self) -> None:
        """The scheduler keeps calls for a worker that may come."""
        if not self._workers() and time.monotonic() - self._there > NO_WORKER:
            raise self._failed(f"all workers have gone, and none has come in {NO_WORKER:.0f} s")

    def submit(self, call: Callable[..., R], *given: Any) -> Future[R]:
        self._check()
        future: Future[R] = self.executor.submit(call, *given)
        return future

    def renew(self) -> None:
        """The cluster does that itself."""

    def close(self) -> None:
        lost = self.client.status in ("closing", "closed")
        if not lost:
            self.executor.shutdown(wait=False)
        self.client.close()
