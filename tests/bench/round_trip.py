"""The contract stream, through KVM's and the host's own stream code, against ``grpc.aio`` echoes of the same frames.

A round trip is EnableEvent to EventCreated of an event that is there: the host's answer without a new event. The
echoes: one of bytes, one that parses each frame and builds the answer's. Alone: one message at a time. Coalesced:
64 in flight. All processes share one core, where the machine allows that, in turns on one server process.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from contract.messages import (
    PROTOCOL_VERSION,
    AnyMessage,
    CreateEvent,
    EnableEvent,
    Envelope,
    EventCreated,
    Hello,
    RegisterVcpu,
)
from contract.wire import options
from contract.wire.codec import content_maker, from_proto
from contract.wire.stream import FrameWriter
from lbrlab.v1 import contract_pb2, lease_pb2, lease_pb2_grpc, trace_pb2
from tests.bench.figures import Figure, median, spread
from tests.bench.live_host import ECHO, OWNER, REBUILT, VCPU

ROUNDS = 11
TRIPS = 200
IN_FLIGHT = 64
BURSTS = 30
SESSION = "kvm0"

Trips = Callable[[int, int], Awaitable[None]]
"""So many bursts of so many messages, each answered before the next burst."""


class Contract:
    """KVM's end: its frame writer, one reader."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.call = channel.stream_stream("/lbrlab.v1.ContractService/Attach", None, None)()
        self.prolong = lease_pb2_grpc.LeaseServiceStub(channel).Prolong
        self.writer = FrameWriter(self._write)
        self.content = content_maker(Envelope, contract_pb2.Envelope)
        self.sent = 0
        self.event = 0

    async def _write(self, run: int, envelopes: list[Envelope]) -> None:
        messages = list(map(self.content, envelopes))
        frame = contract_pb2.AttachRequest(kvm=SESSION, run=run, envelopes=messages)
        await self.call.write(frame.SerializeToString())

    async def begin(self) -> None:
        await self.call.write(contract_pb2.AttachRequest(kvm=SESSION, protocol=PROTOCOL_VERSION).SerializeToString())
        first = contract_pb2.AttachResponse.FromString(await self.call.read())
        stamp = trace_pb2.Stamp(run=1, owner=OWNER)
        await self.prolong(lease_pb2.ProlongRequest(stamp=stamp, kvm=SESSION, token=first.token))
        await self.exchange([Hello(SESSION)])
        await self.send([RegisterVcpu(VCPU, VCPU)])
        (answer,) = await self.exchange([CreateEvent(VCPU, 1)])
        assert isinstance(answer.body, EventCreated), answer
        assert answer.body.event, answer
        self.event = answer.body.event

    async def send(self, bodies: list[AnyMessage]) -> None:
        first = self.sent + 1
        self.sent += len(bodies)
        self.writer.put(1, [Envelope(SESSION, True, 1, n, body) for n, body in enumerate(bodies, first)])
        await self.writer.flush()

    async def exchange(self, bodies: list[AnyMessage]) -> list[Envelope]:
        await self.send(bodies)
        answers: list[Envelope] = []
        while len(answers) < len(bodies):
            frame = contract_pb2.AttachResponse.FromString(await self.call.read())
            answers += [from_proto(envelope, Envelope) for envelope in frame.envelopes]
        return answers

    async def trips(self, bursts: int, size: int) -> None:
        body = EnableEvent(VCPU, 1, self.event)
        for _ in range(bursts):
            await self.exchange([body] * size)


def _echo(call: Any, frame: bytes) -> Trips:
    async def trips(bursts: int, _: int) -> None:
        for _ in range(bursts):
            await call.write(frame)
            await call.read()

    return trips


def _rebuilt(call: Any) -> Trips:
    """The client builds and parses as KVM's end does, without a core behind."""
    content = content_maker(Envelope, contract_pb2.Envelope)

    async def trips(bursts: int, size: int) -> None:
        for _ in range(bursts):
            envelopes = [Envelope(SESSION, True, 1, n, CreateEvent(VCPU, 1)) for n in range(1, size + 1)]
            frame = contract_pb2.AttachRequest(kvm=SESSION, run=1, envelopes=list(map(content, envelopes)))
            await call.write(frame.SerializeToString())
            answer = contract_pb2.AttachResponse.FromString(await call.read())
            for envelope in answer.envelopes:
                from_proto(envelope, Envelope)

    return trips


def _frame(size: int) -> bytes:
    content = content_maker(Envelope, contract_pb2.Envelope)
    envelopes = [content(Envelope(SESSION, True, 1, n, EnableEvent(VCPU, 1, 1))) for n in range(1, size + 1)]
    return contract_pb2.AttachRequest(kvm=SESSION, run=1, envelopes=envelopes).SerializeToString()


async def _measure(port: int) -> dict[str, list[float]]:
    """Seconds a message, by name, round by round."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options.CHANNEL) as channel:
        contract = Contract(channel)
        await contract.begin()
        echo = channel.stream_stream(ECHO, None, None)()
        rebuilt = channel.stream_stream(REBUILT, None, None)()
        alone = {"bytes": _echo(echo, _frame(1)), "protobuf": _rebuilt(rebuilt), "contract": contract.trips}
        many = {"bytes": _echo(echo, _frame(IN_FLIGHT)), "protobuf": _rebuilt(rebuilt), "contract": contract.trips}
        found: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for kind, ways, bursts, size in (("alone", alone, TRIPS, 1), ("coalesced", many, BURSTS, IN_FLIGHT)):
                for name, trips in ways.items():
                    start = time.perf_counter()
                    await trips(bursts, size)
                    taken = (time.perf_counter() - start) / bursts / size
                    found.setdefault(f"{kind}, {name}", []).append(taken)
        for call in (contract.call, echo, rebuilt):
            call.cancel()
    return found


def _share_a_core() -> None:
    """This process and the one that it starts. Where the machine cannot, they run free, and figures scatter more."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def figures() -> list[Figure]:
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    _share_a_core()
    command = [sys.executable, "-m", "tests.bench.live_host"]
    try:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as host:
            assert host.stdout is not None
            found = asyncio.run(_measure(int(host.stdout.readline())))
            assert host.stdin is not None
            host.stdin.close()
    finally:
        if before is not None:
            os.sched_setaffinity(0, before)
    made = [Figure(name, median(taken) * 1e6, "us", "", spread(taken, "us", 1e6)) for name, taken in found.items()]
    return [
        *made,
        _ratio(found, "contract hop / bytes echo", "alone, contract", "alone, bytes", "1.3 or less"),
        _ratio(found, "contract hop / protobuf echo", "alone, contract", "alone, protobuf", ""),
        _ratio(found, "coalesced, bytes / contract", "coalesced, bytes", "coalesced, contract", "0.35 or more"),
        _ratio(found, "coalesced, protobuf / contract", "coalesced, protobuf", "coalesced, contract", "0.9 or more"),
    ]


def _ratio(found: dict[str, list[float]], name: str, over: str, under: str, aim: str) -> Figure:
    ratios = [a / b for a, b in zip(found[over], found[under], strict=True)]
    return Figure(name, median(ratios), "x", aim, spread(ratios, "x"))
