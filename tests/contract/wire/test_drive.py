"""The stream of commands at the service: it ends with its driver, or with the service."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from contract.wire.control import serve_commands
from lbrlab.v1 import drive_pb2
from tests.contract.wire.echo import Echo, configured


class Stream:
    """A driver that has sent these requests; after them it is silent, or has ended the stream."""

    def __init__(self, *requests: Any) -> None:
        self.requests = list(requests)
        self.written: list[drive_pb2.DriveResponse] = []
        self.open = asyncio.Event()

    def peer(self) -> str:
        return "unix:"

    async def read(self) -> Any:
        if not self.requests:
            await self.open.wait()
        return self.requests.pop(0)

    async def write(self, response: drive_pb2.DriveResponse) -> None:
        self.written.append(response)


async def running(stream: Stream) -> tuple[Echo, asyncio.Task[None]]:
    shell = await configured()
    context: Any = stream
    task = asyncio.create_task(serve_commands(shell, context, {}))
    for _ in range(5):
        await asyncio.sleep(0)
    return shell, task


async def test_an_idle_stream_ends_when_the_service_is_about_to_end() -> None:
    stream = Stream(drive_pb2.DriveRequest(method="Explode").SerializeToString())
    shell, task = await running(stream)
    assert (shell.drivers, len(stream.written), task.done()) == (1, 1, False)
    shell.closing.set()
    async with asyncio.timeout(1):
        await task
    assert shell.drivers == 0


async def test_it_ends_with_its_driver() -> None:
    shell, task = await running(Stream(grpc.aio.EOF))
    assert (shell.drivers, task.done()) == (0, True)
