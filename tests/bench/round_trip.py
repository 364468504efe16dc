"""A contract round trip (CreateEvent to EventCreated, through KVM's and the host's own stream code) against a bare
``grpc.aio`` echo of the same bytes, in turns on one server process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import grpc
import grpc.aio

from contract.messages import CreateEvent, Envelope, Hello
from contract.wire import options
from contract.wire.codec import from_proto, to_proto
from contract.wire.stream import FrameWriter
from lbrlab.v1 import contract_pb2
from tests.bench.figures import Figure, median, spread
from tests.bench.live_host import ECHO

ROUNDS = 15
TRIPS = 200
SESSION = "kvm0"


class Contract:
    """KVM's end: the frame writer in a task of its own, one reader."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.call = channel.stream_stream("/lbrlab.v1.ContractService/Attach", None, None)()
        self.writer = FrameWriter(self._write)
        self.sent = 0

    async def _write(self, run: int, envelopes: list[Envelope]) -> None:
        messages = [to_proto(e, contract_pb2.Envelope) for e in envelopes]
        frame = contract_pb2.AttachRequest(kvm=SESSION, run=run, envelopes=messages)
        await self.call.write(frame.SerializeToString())

    async def begin(self) -> None:
        await self.call.write(contract_pb2.AttachRequest(kvm=SESSION, protocol=1).SerializeToString())
        await self.call.read()
        self.task = asyncio.create_task(self.writer.run())
        await self.exchange(Hello(SESSION))

    async def exchange(self, body: Hello | CreateEvent) -> Envelope:
        self.sent += 1
        self.writer.put(1, [Envelope(SESSION, True, 1, self.sent, self.sent, body)])
        frame = contract_pb2.AttachResponse.FromString(await self.call.read())
        return from_proto(frame.envelopes[0], Envelope)

    def end(self) -> None:
        self.task.cancel()
        self.call.cancel()


async def _measure(port: int) -> tuple[list[float], list[float]]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options.CHANNEL) as channel:
        contract = Contract(channel)
        await contract.begin()
        echo = channel.stream_stream(ECHO, None, None)()
        body = CreateEvent("vm0/0", 1)
        frame = contract_pb2.AttachRequest(
            kvm=SESSION, run=1, envelopes=[to_proto(Envelope(SESSION, True, 1, 1, 1, body), contract_pb2.Envelope)]
        ).SerializeToString()
        bare: list[float] = []
        ours: list[float] = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for _ in range(TRIPS):
                await echo.write(frame)
                await echo.read()
            bare.append((time.perf_counter() - start) / TRIPS)
            start = time.perf_counter()
            for _ in range(TRIPS):
                await contract.exchange(body)
            ours.append((time.perf_counter() - start) / TRIPS)
        contract.end()
        echo.cancel()
    return bare, ours


def figures() -> list[Figure]:
    command = [sys.executable, "-m", "tests.bench.live_host"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        bare, ours = asyncio.run(_measure(int(host.stdout.readline())))
        assert host.stdin is not None
        host.stdin.close()
    ratios = [o / b for o, b in zip(ours, bare, strict=True)]
    return [
        Figure("bare grpc.aio echo", median(bare) * 1e6, "us", "", spread(bare, "us", 1e6)),
        Figure("contract round trip", median(ours) * 1e6, "us", "", spread(ours, "us", 1e6)),
        Figure("contract / bare echo", median(ratios), "x", "1.3 or less", spread(ratios, "x")),
    ]
