"""The lease with which one driver at a time has a service; see lease.proto."""

from __future__ import annotations

import asyncio
import time

import grpc

from contract.wire.log import log
from contract.wire.status import CallError

DRIVER_LEASE = 5.0
"""Seconds of a driver's silence after which another driver may have the service."""


class Lease:
    """``owner``: the token of the last driver, "" after it gave the lease back. ``seconds``: the duration of the
    lease."""

    def __init__(self, seconds: float = DRIVER_LEASE) -> None:
        self.seconds = seconds
        self.owner = ""
        self.holder = ""
        self._since = 0.0
        self._until = 0.0
        self._queue = asyncio.Lock()
        self._freed = asyncio.Event()

    def take(self, owner: str, holder: str = "", *, take_over: bool = False) -> None:
        """Take the lease, or renew it. Raises CallError if another driver holds it."""
        now = time.monotonic()
        if owner != self.owner:
            if self.owner and now < self._until and not take_over:
                held = f"held by {self.holder} for {now - self._since:.0f} s"
                ends = f"its lease ends in {self._until - now:.1f} s unless it is renewed"
                raise CallError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"busy, {held}; {ends}")
            before = {"instead_of": self.holder} if self.owner else {}
            self.owner, self.holder, self._since = owner, holder or "a driver", now
            log().info("lease-taken", holder=self.holder, **before)
        self._until = now + self.seconds

    async def acquire(self, owner: str, holder: str, wait: float, *, take_over: bool) -> None:
        """As ``take``, but wait up to ``wait`` seconds for the other driver."""
        end = time.monotonic() + wait
        try:
            async with asyncio.timeout(wait), self._queue:
                while wait and self.owner not in ("", owner) and not take_over:
                    left = min(self._until, end) - time.monotonic()
                    if left <= 0:
                        break
                    self._freed.clear()
                    try:
                        await asyncio.wait_for(self._freed.wait(), left)
                    except TimeoutError:
                        continue
                self.take(owner, holder, take_over=take_over)
                return
        except TimeoutError:
            pass
        self.take(owner, holder, take_over=take_over)

    def renew(self) -> None:
        """Renew the lease: the driver has been heard."""
        self._until = time.monotonic() + self.seconds

    def release(self, owner: str) -> None:
        if owner == self.owner:
            log().info("lease-released", holder=self.holder)
            self.owner = ""
            self._freed.set()
