"""A hostile client as a process: ``python -m tests.hostile.client ATTACK ADDRESS SERVICE RUN [OWNER]``, until its
standard input ends. Then it prints what the service answered, by status, as one line of JSON."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
import grpc.aio

from contract.messages import PROTOCOL_VERSION, AnyMessage, Envelope, Hello, RegisterVcpu
from contract.wire.codec import to_proto
from lbrlab.v1 import contract_pb2, drive_pb2, info_pb2, lease_pb2, machine_pb2, trace_pb2

SERVICE_METHODS = {
    "perfcore": ("ContractService/Attach", "MachineService/Run", "DriveService/Drive"),
    "kvm": ("DriveService/Drive",),
}
"""The streams of each service."""
CHANNEL = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
VCPU = "vm9/0"
"""The vCPU of a hostile KVM that takes part in the run."""
OWN = "Internal error from Core"
"""The text of grpc.aio for a stream that ended while the client wrote."""
STREAMS = 1000
CALLS_AT_ONCE = 100


class Client:
    """``told``: the statuses and, where a limit is named, the limits that the service answered with."""

    def __init__(self, address: str, service: str, run: int, owner: str) -> None:
        self.address = address
        self.service = service
        self.run = run
        self.owner = owner
        self.random = random.Random(1)
        self.told: Counter[str] = Counter()

    def channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self.address, options=CHANNEL)

    def note(self, code: grpc.StatusCode, details: str | None) -> None:
        if details != OWN:
            self.told[code.name] += 1
        if (details or "").startswith("limit "):
            self.told[(details or "").partition(":")[0]] += 1

    async def call(self, channel: grpc.aio.Channel, method: str, request: bytes) -> None:
        """One call, whose outcome is noted."""
        try:
            await channel.unary_unary(f"/lbrlab.v1.{method}")(request)
            self.told["OK"] += 1
        except grpc.aio.AioRpcError as error:
            self.note(error.code(), error.details())

    async def stream(self, channel: grpc.aio.Channel, method: str, frames: AsyncIterator[bytes], reads: bool) -> None:
        """One stream with these frames, whose end is noted."""
        call = channel.stream_stream(f"/lbrlab.v1.{method}")()
        reader = asyncio.create_task(_read_all(call)) if reads else None
        try:
            async for frame in frames:
                await call.write(frame)
            await call.done_writing()
            await call.code()
        except (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
            pass
        finally:
            if call.done():
                self.note(await call.code(), await call.details())
            call.cancel()
            if reader is not None:
                reader.cancel()

    def first_frame(self, name: str) -> bytes:
        frame = contract_pb2.AttachRequest(kvm=name, protocol=PROTOCOL_VERSION, instance=f"evil {os.getpid()}")
        return frame.SerializeToString()

    def frame(self, name: str, envelopes: int, first: int = 1) -> bytes:
        said = [
            to_proto(Envelope(name, True, 1, n, Hello(name)), contract_pb2.Envelope)
            for n in range(first, first + envelopes)
        ]
        return contract_pb2.AttachRequest(kvm=name, run=self.run, envelopes=said).SerializeToString()

    async def forever(self, work: Callable[[], Awaitable[None]], at_once: int) -> None:
        """Do it again and again, so many at a time."""

        async def again() -> None:
            while True:
                await work()

        await asyncio.gather(*(again() for _ in range(at_once)))


async def _read_all(call: Any) -> None:
    with suppress(grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
        while await call.read() is not grpc.aio.EOF:
            pass


async def _flood_frames(client: Client) -> None:
    """Full frames, as fast as the stream takes them."""
    frame = client.frame("flood", 256)

    async def frames() -> AsyncIterator[bytes]:
        yield client.first_frame("flood")
        while True:
            yield frame

    async with client.channel() as channel:
        await client.forever(lambda: client.stream(channel, "ContractService/Attach", frames(), True), 1)


async def _flood_calls(client: Client) -> None:
    """A hundred calls at a time that ask for nothing of value."""
    request = info_pb2.GetInfoRequest().SerializeToString()
    async with client.channel() as channel:
        await client.forever(lambda: client.call(channel, "InfoService/GetInfo", request), CALLS_AT_ONCE)


async def _big(client: Client) -> None:
    """Frames as large as the service takes, full of empty messages; and larger ones."""
    legal = contract_pb2.AttachRequest(kvm="big", envelopes=[contract_pb2.Envelope()] * 1_000_000).SerializeToString()
    method = "ContractService/Attach" if client.service == "perfcore" else "DriveService/Drive"

    async def one() -> None:
        async with client.channel() as channel:
            for frame in (legal, legal * 8):
                await client.stream(channel, method, _each([client.first_frame("big"), frame]), True)

    await client.forever(one, 4)


async def _trickle(client: Client) -> None:
    """Many streams that send a byte or a small frame now and then."""
    frames = [client.first_frame("trickle"), b"", client.frame("trickle", 1)]

    async def slowly() -> AsyncIterator[bytes]:
        while True:
            for frame in frames:
                yield frame
                await asyncio.sleep(0.05)

    async with client.channel() as channel:
        work = [
            client.forever(lambda method=method: client.stream(channel, method, slowly(), True), 100)  # type: ignore[misc]
            for method in SERVICE_METHODS[client.service]
        ]
        await asyncio.gather(*work)


async def _streams(client: Client) -> None:
    """A thousand streams on twenty connections, which say nothing."""

    async def silent() -> AsyncIterator[bytes]:
        await asyncio.sleep(3600)
        yield b""

    channels = [client.channel() for _ in range(20)]
    method = SERVICE_METHODS[client.service][0]
    work = [
        client.forever(lambda channel=channel: client.stream(channel, method, silent(), True), STREAMS // len(channels))  # type: ignore[misc]
        for channel in channels
    ]
    await asyncio.gather(*work)


async def _connections(client: Client) -> None:
    """Five hundred connections that say nothing, or rubbish."""
    host, _, port = client.address.rpartition(":")

    async def connect() -> None:
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            client.told["no connection"] += 1
            await asyncio.sleep(0.1)
            return
        if client.random.random() < 0.5:
            writer.write(client.random.randbytes(64))
        with suppress(OSError):
            while await reader.read(1024):
                pass
        client.told["closed"] += 1
        writer.close()

    await client.forever(connect, 500)


async def _garbage(client: Client) -> None:
    """Random bytes in every stream, and in calls of every kind."""
    async with client.channel() as channel:

        async def streams() -> None:
            method = client.random.choice(SERVICE_METHODS[client.service])
            sent = [client.random.randbytes(client.random.randrange(200)) for _ in range(3)]
            await client.stream(channel, method, _each(sent), True)

        async def calls() -> None:
            method = client.random.choice(("InfoService/GetInfo", "TraceService/GetTrace", "LeaseService/Acquire"))
            await client.call(channel, method, client.random.randbytes(client.random.randrange(200)))

        await asyncio.gather(client.forever(streams, 16), client.forever(calls, 16))


async def _replay(client: Client) -> None:
    """The same valid first frame, commands and requests again and again, under the names of others."""
    stamp = trace_pb2.Stamp(run=client.run, owner="evil")
    asked = machine_pb2.RunRequest(stamp=stamp, n=1, token="0" * 32, read_msr={"vcpu": "vm0/0", "msr": 0x1D9})
    command = drive_pb2.DriveRequest(method="Snapshot")
    frames = {
        "ContractService/Attach": [client.first_frame("kvm0"), client.frame("kvm0", 3)],
        "MachineService/Run": [asked.SerializeToString()] * 50,
        "DriveService/Drive": [command.SerializeToString()] * 50,
    }
    async with client.channel() as channel:

        async def one() -> None:
            method = client.random.choice(SERVICE_METHODS[client.service])
            await client.stream(channel, method, _each(frames[method]), True)

        await client.forever(one, 16)


async def _guess(client: Client) -> None:
    """Runs, owners, tokens and names at random."""
    async with client.channel() as channel:

        async def one() -> None:
            guessed = trace_pb2.Stamp(run=client.random.randrange(5), owner=client.random.randbytes(16).hex())
            token = client.random.randbytes(16).hex()
            name = client.random.choice(("kvm0", "kvm1", "evil"))
            prolong = lease_pb2.ProlongRequest(stamp=guessed, kvm=name, token=token)
            take = lease_pb2.AcquireRequest(owner=guessed.owner)
            give = lease_pb2.ReleaseRequest(owner=guessed.owner)
            trace = trace_pb2.GetTraceRequest(run=guessed.run + 1000)
            for method, request in (
                ("LeaseService/Prolong", prolong),
                ("LeaseService/Acquire", take),
                ("LeaseService/Release", give),
                ("TraceService/GetTrace", trace),
            ):
                await client.call(channel, method, request.SerializeToString())

        await client.forever(one, 32)


async def _member(client: Client, reads: bool) -> None:
    """A KVM that the driver has let in, and that acknowledges nothing."""
    async with client.channel() as channel:
        call = channel.stream_stream("/lbrlab.v1.ContractService/Attach")()
        await call.write(client.first_frame("evil"))
        first = contract_pb2.AttachResponse.FromString(await call.read())
        stamp = trace_pb2.Stamp(run=client.run, owner=client.owner)
        prolong = lease_pb2.ProlongRequest(stamp=stamp, kvm="evil", token=first.token)
        await client.call(channel, "LeaseService/Prolong", prolong.SerializeToString())
        bodies: tuple[AnyMessage, ...] = Hello("evil"), RegisterVcpu(VCPU, VCPU)
        said = [Envelope("evil", True, 1, n, body, order=n) for n, body in enumerate(bodies, 1)]
        frame = contract_pb2.AttachRequest(
            kvm="evil", run=client.run, envelopes=[to_proto(e, contract_pb2.Envelope) for e in said]
        )
        await call.write(frame.SerializeToString())
        print("here", flush=True)
        if reads:
            await _read_all(call)
            client.note(await call.code(), await call.details())
        await asyncio.sleep(3600)


async def _each(frames: list[bytes]) -> AsyncIterator[bytes]:
    for frame in frames:
        yield frame


ATTACKS: dict[str, Callable[[Client], Awaitable[None]]] = {
    "flood-frames": _flood_frames,
    "flood-calls": _flood_calls,
    "big": _big,
    "trickle": _trickle,
    "streams": _streams,
    "connections": _connections,
    "garbage": _garbage,
    "replay": _replay,
    "guess": _guess,
    "never-acknowledges": lambda client: _member(client, True),
    "never-reads": lambda client: _member(client, False),
}
ON_KVM = ("flood-calls", "big", "trickle", "streams", "connections", "garbage", "replay")
"""The attacks that a KVM service can meet: it takes no sessions."""
MEMBERS = ("never-acknowledges", "never-reads")
"""The attacks by a KVM of the run."""


async def attack(kind: str, address: str, service: str, run: int, owner: str = "") -> None:
    client = Client(address, service, run, owner)
    loop = asyncio.get_running_loop()
    ended = loop.run_in_executor(None, sys.stdin.read)
    work = asyncio.ensure_future(ATTACKS[kind](client))
    await asyncio.wait((ended, work), return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        work.result()
    print(json.dumps(client.told), flush=True)
    os._exit(0)


def main() -> None:
    _, kind, address, service, run, *owner = sys.argv
    asyncio.run(attack(kind, address, service, int(run), *owner))


if __name__ == "__main__":
    main()
