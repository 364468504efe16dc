"""The interface of all pools, and the pool that has no process of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

R = TypeVar("R")
AHEAD = 2
"""Calls in work or waiting, for each process."""


class Pool(Protocol):
    """Calls and results are pickled, so a call is a function of a module."""

    together: int
    """The number of pieces of work, each of some 0.1 s of CPU, that are best carried out by one call."""

    def ahead(self) -> int:
        """The number of calls that should be in work or waiting, so that no process is idle."""
        ...

    def submit(self, call: Callable[..., R], *given: Any) -> Future[R]: ...

    def check(self) -> None:
        """Raise SystemFailedError if the calls that were begun can have no end. It is asked while none ends."""
        ...

    def renew(self) -> None:
        """Replace the processes that have died."""
        ...

    def close(self) -> None:
        """End it. Calls that have not begun are cancelled."""
        ...


class InThisProcess:
    """Carries out each call at once, where it is submitted."""

    together = 1

    def ahead(self) -> int:
        return 1

    def submit(self, call: Callable[..., R], *given: Any) -> Future[R]:
        future: Future[R] = Future()
        try:
            future.set_result(call(*given))
        except Exception as error:
            future.set_exception(error)
        return future

    def check(self) -> None:
        pass

    def renew(self) -> None:
        pass

    def close(self) -> None:
        pass
