"""Sending contract messages: whatever has piled up goes into one frame, with no timer and no waiting."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from contract.errors import PeerContractError
from contract.messages import Envelope

FRAME_LIMIT = 256
"""Messages in a frame, as ``contract.proto`` has it."""
BACKLOG_LIMIT = 4096
"""Messages that may wait for the writer. More pile up only where the peer does not read."""

WriteFrame = Callable[[int, list[Envelope]], Awaitable[None]]


class FrameWriter:
    """The only writer of one stream. ``put`` is called from anywhere in the event loop.

    The task ``run`` writes what waits. A reader whose messages were answered at once may ``flush`` instead: it spares
    the change of tasks, and a peer that does not read then stops its own reader only."""

    __slots__ = ("_busy", "_pending", "_told", "_wake", "_write")

    def __init__(self, write: WriteFrame) -> None:
        self._write = write
        self._pending: deque[tuple[int, Envelope]] = deque()
        self._wake = asyncio.Event()
        self._busy = False
        """A write is under way; it takes along what comes meanwhile."""
        self._told = False
        """``run`` is about to look for messages."""

    def put(self, run: int, envelopes: Iterable[Envelope]) -> None:
        """Raises PeerContractError when the peer has stopped reading."""
        self._pending.extend((run, envelope) for envelope in envelopes)
        if len(self._pending) > BACKLOG_LIMIT:
            raise PeerContractError(f"more than {BACKLOG_LIMIT} messages wait to be sent")
        if not self._told:
            self._told = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._told = False
        if self._pending and not self._busy:
            self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write all that waits, unless a write is under way."""
        if self._busy:
            return
        self._busy = True
        try:
            while self._pending:
                await self._write(*self._frame())
        finally:
            self._busy = False

    def _frame(self) -> tuple[int, list[Envelope]]:
        pending = self._pending
        run = pending[0][0]
        frame: list[Envelope] = []
        while pending and pending[0][0] == run and len(frame) < FRAME_LIMIT:
            frame.append(pending.popleft()[1])
        return run, frame
