"""The writer: what piles up goes out together, in order, by one writer."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from contract.errors import PeerContractError
from contract.messages import Drain, Envelope
from contract.wire.stream import FRAME_LIMIT, FrameWriter


def message(n: int) -> Envelope:
    return Envelope("kvm0", True, 1, n, Drain())


class Sink:
    """Writes wait at ``gate``; ``writing`` counts those under way."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, list[int]]] = []
        self.gate = asyncio.Event()
        self.writing = 0

    async def write(self, run: int, envelopes: list[Envelope]) -> None:
        self.writing += 1
        assert self.writing == 1
        self.frames.append((run, [e.seq for e in envelopes]))
        await self.gate.wait()
        self.writing -= 1


async def settle(writer: FrameWriter, sink: Sink, messages: int) -> None:
    async with asyncio.timeout(5):
        while sum(len(seqs) for _, seqs in sink.frames) < messages:
            await asyncio.sleep(0)


async def write(puts: list[tuple[int, list[int]]]) -> list[tuple[int, list[int]]]:
    """The frames of these puts, all of them made while the first frame is being written."""
    sink = Sink()
    writer = FrameWriter(sink.write)
    task = asyncio.create_task(writer.run())
    writer.put(puts[0][0], map(message, puts[0][1]))
    await settle(writer, sink, 1)
    for run, seqs in puts[1:]:
        writer.put(run, map(message, seqs))
    sink.gate.set()
    await settle(writer, sink, sum(len(seqs) for _, seqs in puts))
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return sink.frames


async def test_what_piles_up_goes_out_in_one_frame() -> None:
    assert await write([(1, [1]), (1, [2, 3]), (1, [4])]) == [(1, [1]), (1, [2, 3, 4])]


async def test_a_frame_belongs_to_one_run() -> None:
    assert await write([(1, [1]), (1, [2]), (2, [1, 2])]) == [(1, [1]), (1, [2]), (2, [1, 2])]


async def test_a_frame_has_a_limit() -> None:
    many = list(range(2, 2 * FRAME_LIMIT + 3))
    frames = await write([(1, [1]), (1, many)])

    assert [len(seqs) for _, seqs in frames] == [1, FRAME_LIMIT, FRAME_LIMIT, 1]
    assert [n for _, seqs in frames for n in seqs] == [1, *many]


async def test_a_peer_that_does_not_read_is_noticed() -> None:
    writer = FrameWriter(Sink().write, 100)
    writer.put(1, map(message, range(100)))
    with pytest.raises(PeerContractError, match=r"^limit backlog: a peer that does not read has 100 already"):
        writer.put(1, [message(1)])
