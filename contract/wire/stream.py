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
    """The only writer of one stream: ``put`` from anywhere in the event loop, ``run`` in one task."""

    __slots__ = ("_pending", "_wake", "_write")

    def __init__(self, write: WriteFrame) -> None:
        self._write = write
        self._pending: deque[tuple[int, Envelope]] = deque()
        self._wake = asyncio.Event()

    def put(self, run: int, envelopes: Iterable[Envelope]) -> None:
        """Raises PeerContractError when the peer has stopped reading."""
        self._pending.extend((run, envelope) for envelope in envelopes)
        if len(self._pending) > BACKLOG_LIMIT:
            raise PeerContractError(f"more than {BACKLOG_LIMIT} messages wait to be sent")
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                await self._write(*self._frame())

    def _frame(self) -> tuple[int, list[Envelope]]:
        pending = self._pending
        run = pending[0][0]
        frame: list[Envelope] = []
        while pending and pending[0][0] == run and len(frame) < FRAME_LIMIT:
            frame.append(pending.popleft()[1])
        return run, frame
