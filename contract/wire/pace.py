"""Work of no value waits: what is refused, what nobody needs in a hurry, frames that are thrown away.

Each peer has a lane for such work. A piece of it takes some time of the lane, and the next one waits until the lane is
free, apart from a burst. So a peer that floods a service takes a small part of its event loop, and a peer that asks now
and then waits for nothing. Commands of the driver and messages of its KVMs never wait here.
"""

from __future__ import annotations

import asyncio
import time

import grpc.aio

from contract.wire.source import source_of

BURST = 0.1
"""Seconds that a lane may be ahead."""
PIECE = 0.01
"""Seconds of a lane that a piece of work takes at least."""
SHARE = 4
"""A piece takes so many times as long as its work took: a lane has a fifth of the event loop at most."""
FORGET = 1024
"""Lanes that are kept. Free ones beyond that are forgotten."""


class PeerLanes:
    """``free``: when the lane of each peer is free, on the monotonic clock."""

    def __init__(self) -> None:
        self.free: dict[str, float] = {}

    def delay(self, source: str, spent: float, now: float) -> float:
        """The seconds that a piece waits whose work takes, or took, ``spent`` seconds."""
        if len(self.free) > FORGET:
            self.free = {name: free for name, free in self.free.items() if free > now}
        free = max(self.free.get(source, 0.0), now)
        self.free[source] = free + max(PIECE, SHARE * spent)
        return max(0.0, free - now - BURST)


_lanes = PeerLanes()


async def pace(context: grpc.aio.ServicerContext, spent: float = 0.0) -> None:
    """Wait for the lane of the caller. ``spent``: seconds that its work took."""
    if delay := _lanes.delay(source_of(context), spent, time.monotonic()):
        await asyncio.sleep(delay)
