"""Sending contract messages: all waiting messages go into one frame, without a timer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from contract.errors import PeerContractError
from contract.messages import Envelope
from contract.wire.limits import DEFAULT, exceeded

FRAME_LIMIT = 256
"""The most messages in a frame, as in ``contract.proto``."""
WriteFrame = Callable[[int, list[Envelope]], Awaitable[None]]


class FrameWriter:
    """The only writer of one stream. ``put`` can be called from anywhere in the event loop.

    The task ``run`` writes the waiting messages. A reader whose messages were answered at once may call ``flush``
    instead: this saves a task switch, and a peer that does not read then stops only its own reader."""

    __slots__ = ("_busy", "_most", "_pending", "_told", "_wake", "_write")

    def __init__(self, write: WriteFrame, most: int = DEFAULT.backlog) -> None:
        self._write = write
        self._most = most
        """The most messages that may wait for the writer. More pile up only if the peer does not read."""
        self._pending: deque[tuple[int, Envelope]] = deque()
        self._wake = asyncio.Event()
        self._busy = False
        """A write is under way. It also takes messages that arrive in the meantime."""
        self._told = False
        """``run`` has been woken and will look for messages."""

    def put(self, run: int, envelopes: Iterable[Envelope]) -> None:
        """Add a message. Raises PeerContractError if the peer has stopped reading."""
        self._pending.extend((run, envelope) for envelope in envelopes)
        if len(self._pending) > self._most:
            raise PeerContractError(exceeded("backlog", self._most, "a peer that does not read"))
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
        """Write all waiting messages, unless a write is under way."""
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
