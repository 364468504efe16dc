"""KVM's link to the perf core: the contract stream and the machine stream, which begin and end together.

The link is dialled until it is up and dialled again when it is lost, at once and then after pauses that double up to a
limit. Each pause is shortened by chance, so that the KVMs of a host that comes back do not dial it all at once.
``generation`` counts how often the link came up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import uniform
from secrets import token_hex
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from contract.errors import PeerContractError, RefusedError
from contract.machine import AnyReply, AnyRequest
from contract.messages import Envelope
from contract.wire.codec import content_maker, descriptor_of, type_fields, union_fields
from contract.wire.codec import from_proto as struct_from_proto
from contract.wire.limits import DEFAULT
from contract.wire.log import log
from contract.wire.options import reconnecting
from contract.wire.settings.table import REDIAL_LIMIT
from contract.wire.status import CallError, parse, unexpected
from contract.wire.stream import FrameWriter
from contract.wire.tls import Identity, handshake_fault, speaks_tls
from lbrlab.v1 import contract_pb2, info_pb2, lease_pb2, machine_pb2, trace_pb2

_REQUESTS = union_fields(AnyRequest, machine_pb2.RunRequest)
_ENVELOPE = content_maker(Envelope, contract_pb2.Envelope)
_REPLIES = {
    type_fields(descriptor_of(machine_pb2.RunResponse))[struct.__name__].name: struct for struct in AnyReply.__args__
}
_CODES = {code.value[0]: code for code in grpc.StatusCode}
REFUSALS = grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.PERMISSION_DENIED
AGAIN = "EAGAIN"
REDIAL = 0.05
"""Seconds between two attempts where the perf core turns the link down at once, after the first."""
STEADY = 1.0
"""Seconds after which a link is steady, and the next pause a short one: a host may drop each link at once."""
LONG = 5.0
"""Seconds without a link after which the log says so."""
REASONS = 8
"""Reasons of refusals that are logged until the link is up."""

Receive = Callable[[contract_pb2.AttachResponse], None]
Clocks = Callable[[], tuple[int, int]]
Lost = Callable[[str], None]


class LinkLostError(CallError):
    """The link was lost during a request to the perf core, which may or may not have received it."""

    def __init__(self, why: str) -> None:
        super().__init__(grpc.StatusCode.UNAVAILABLE, f"perfcore: {why}")


@contextmanager
def loss_is_no_cancellation() -> Iterator[None]:
    """A channel that closes cancels its calls. For the code that awaits such a call this is a lost link, not its own
    cancellation."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise LinkLostError("link lost: its channel is closed") from None


def pauses(limit: float) -> Iterator[float]:
    """Seconds to wait before each further attempt."""
    longest = min(REDIAL, limit)
    while True:
        yield uniform(longest / 2, longest)
        longest = min(2 * longest, limit)


class Link:
    """``receive`` gets the frames of the host, ``lost`` is told why when a link that was up ends. ``clocks`` gives the
    clock and the time that go with a frame."""

    def __init__(
        self,
        perfcore: str,
        kvm: str,
        protocol: int,
        receive: Receive,
        lost: Lost,
        clocks: Clocks,
        identity: Identity | None = None,
        redial_limit: float = REDIAL_LIMIT,
        backlog: int = DEFAULT.backlog,
    ) -> None:
        self.redial_limit = redial_limit
        self.perfcore = perfcore
        self._backlog = backlog
        self.identity = identity
        self.kvm = kvm
        self.protocol = protocol
        self.generation = 0
        self.instance = token_hex(16)
        self._refusals: set[str] = set()
        self._since = 0.0
        """When the link came up last."""
        self.state = info_pb2.LINK_STATE_DIALLING
        self.detail = "no gRPC server has answered yet"
        self.up = asyncio.Event()
        self.changed: Callable[[], None] = lambda: None
        """Called when the link comes up or goes down."""
        self._receive = receive
        self._lost = lost
        self._clocks = clocks
        self._machine: Any = None
        self._prolong: Any = None
        self._broken = asyncio.Event()
        self._writer: FrameWriter | None = None
        self._absence: asyncio.Task[None] | None = None
        self._token = ""
        """The secret of this attachment."""

    def send(self, run: int, envelopes: list[Envelope]) -> None:
        """Messages for the host. They are lost if the link is down, and the link ends if the host does not read."""
        if self._writer is not None:
            try:
                self._writer.put(run, envelopes)
            except PeerContractError as error:
                self._down(str(error))
                self._break()

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        log().info("dialling", session=self.kvm, peer=self.perfcore)
        self._await_link()
        waits = pauses(self.redial_limit)
        while True:
            try:
                async with await self._dial() as channel:
                    await self._connect(channel)
                why = "its streams ended"
            except grpc.aio.AioRpcError as error:
                why = error.details() or error.code().name
                if error.code() in REFUSALS:
                    self._refused(why)
                    await asyncio.sleep(next(waits))
                    continue
            except (CallError, grpc.aio.BaseError, asyncio.InvalidStateError) as error:
                why = str(error)
            except Exception as error:
                why = unexpected(error, "link").message
            if not self._down(why):
                self._tell_refusal(why)
            elif time.monotonic() - self._since > STEADY:
                waits = pauses(self.redial_limit)
            await asyncio.sleep(next(waits))

    async def _dial(self) -> grpc.aio.Channel:
        """A channel to the perf core. Raises CallError where TLS fails: grpc would dial again and report nothing."""
        settings = reconnecting(self.redial_limit)
        if self.identity is None:
            return grpc.aio.insecure_channel(self.perfcore, options=settings)
        if fault := await asyncio.to_thread(handshake_fault, self.perfcore, self.identity):
            raise unavailable(fault)
        return grpc.aio.secure_channel(self.perfcore, self.identity.channel_credentials(), options=settings)

    async def _connect(self, channel: grpc.aio.Channel) -> None:
        contract = _open(channel, contract_pb2, "ContractService", "Attach")
        machine = _open(channel, machine_pb2, "MachineService", "Run")
        tasks: list[asyncio.Task[Any]] = []
        try:
            await contract.write(
                contract_pb2.AttachRequest(kvm=self.kvm, protocol=self.protocol, instance=self.instance)
            )
            first = await _read(contract, contract_pb2.AttachResponse)
            if (
                first is None
                or first.envelopes
                or first.run
                or (first.kvm, first.protocol) != (self.kvm, self.protocol)
            ):
                raise CallError(grpc.StatusCode.FAILED_PRECONDITION, f"its first frame is not one for {self.kvm}")
            writer = FrameWriter(lambda run, envelopes: self._write(contract, run, envelopes), self._backlog)
            self._writer, self._machine, self._broken = writer, machine, asyncio.Event()
            self._token = first.token
            self._prolong = channel.unary_unary(
                f"/{lease_pb2.DESCRIPTOR.services_by_name['LeaseService'].full_name}/Prolong", _serialized
            )
            self.generation += 1
            self._since = time.monotonic()
            self.state, self.detail = info_pb2.LINK_STATE_UP, ""
            self.up.set()
            self._refusals.clear()
            log().info("link-up", session=self.kvm, peer=self.perfcore, times=self.generation)
            self.changed()
            work = self._read_frames(contract, writer), writer.run(), self._broken.wait()
            tasks = [asyncio.create_task(coroutine) for coroutine in work]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self.up.clear()
            self._writer = self._machine = self._prolong = None
            contract.cancel()
            machine.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _refused(self, why: str) -> None:
        """Keep the reason until the perf core gives another one."""
        self._down(why)
        self.state = info_pb2.LINK_STATE_REFUSED
        self._tell_refusal(why)

    def _tell_refusal(self, why: str) -> None:
        """Log each reason once until the link is up: two of them may alternate for as long as it is not."""
        if why not in self._refusals and len(self._refusals) < REASONS:
            self._refusals.add(why)
            log().warning("link-refused", session=self.kvm, peer=self.perfcore, reason=why)

    def _await_link(self) -> None:
        asyncio.get_running_loop().call_later(LONG, self._note_absence, self.generation)

    def _note_absence(self, generation: int) -> None:
        """One line if the link has not come up since. gRPC itself dials and reports nothing."""
        if generation == self.generation and not self._refusals:
            self._absence = asyncio.get_running_loop().create_task(self._tell_absence())

    async def _tell_absence(self) -> None:
        plain = self.identity is None and not self.perfcore.startswith("unix:")
        needs_tls = plain and await asyncio.to_thread(speaks_tls, self.perfcore)
        reason = "it speaks TLS: expected --tls DIR" if needs_tls else "no gRPC server answers"
        log().warning("no-link", session=self.kvm, peer=self.perfcore, seconds=LONG, reason=reason)

    def _down(self, why: str) -> bool:
        """True if the link was up."""
        was_up = self.state == info_pb2.LINK_STATE_UP
        self.up.clear()
        self.state, self.detail = info_pb2.LINK_STATE_DIALLING, why
        self.changed()
        if was_up:
            self._lost(why)
            self._await_link()
        return was_up

    def _break(self) -> None:
        """Give the link up, so that it is dialled again."""
        self.up.clear()
        self._broken.set()

    async def _write(self, contract: Any, run: int, envelopes: list[Envelope]) -> None:
        messages = list(map(_ENVELOPE, envelopes))
        clock, now = self._clocks()
        frame = contract_pb2.AttachRequest(kvm=self.kvm, run=run, envelopes=messages, clock=clock, now_ns=now)
        await contract.write(frame)

    async def _read_frames(self, contract: Any, writer: FrameWriter) -> None:
        while (frame := await _read(contract, contract_pb2.AttachResponse)) is not None:
            self._receive(frame)
            await writer.flush()

    async def prolong(self, stamp: trace_pb2.Stamp, timeout: float) -> None:
        """Make sure that the perf core has this run for this driver. Raises CallError with its answer, or
        LinkLostError."""
        prolong = self._prolong
        if prolong is None:
            raise LinkLostError(f"link lost: {self.detail}")
        try:
            with loss_is_no_cancellation():
                await prolong(lease_pb2.ProlongRequest(stamp=stamp, kvm=self.kvm, token=self._token), timeout=timeout)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.ABORTED:
                raise CallError(grpc.StatusCode.ABORTED, error.details() or "") from None
            if prolong is self._prolong:
                self._break()
            raise LinkLostError(f"cannot tell whose run it is: {error.code().name}: {error.details()}") from None

    async def ask(self, stamp: trace_pb2.Stamp, n: int, request: AnyRequest, timeout: float) -> tuple[AnyReply, Any]:
        """The silicon's reply to request ``n``, and the response that brought it.

        Raises LinkLostError; CallError UNAVAILABLE when no answer comes within ``timeout`` seconds, which ends the
        link; or the failure that the perf core answered with.
        """
        member, encode = _REQUESTS[type(request)]
        response = await self._exchange(stamp, n, {member: encode(request)}, timeout)
        return self._reply(response), response

    async def begin_step(self, stamp: trace_pb2.Stamp, n: int, vcpu: str, cpu: int, timeout: float) -> Any:
        """Begin a step of a vCPU in a free run: the stamp of the perf core, or None if the step cannot begin now.
        Raises as ``ask``."""
        response = await self._exchange(stamp, n, {"begin_step": {"vcpu": vcpu, "cpu": cpu}}, timeout)
        if response.WhichOneof("reply") == "step_begun":
            return response.stamp
        try:
            self._reply(response)
        except RefusedError as refused:
            if refused.errno != AGAIN:
                raise
        return None

    async def end_step(self, stamp: trace_pb2.Stamp, n: int) -> None:
        """The step is over. Raises LinkLostError."""
        machine = self._machine
        if machine is None:
            raise LinkLostError(f"link lost: {self.detail}")
        try:
            with loss_is_no_cancellation():
                await machine.write(machine_pb2.RunRequest(stamp=stamp, n=n, token=self._token, end_step={}))
        except (grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError) as error:
            raise LinkLostError(f"link lost: {error}") from None

    async def _exchange(self, stamp: trace_pb2.Stamp, n: int, asked: dict[str, Any], timeout: float) -> Any:
        """The response to a request; ``asked`` is its member."""
        machine = self._machine
        if machine is None:
            raise LinkLostError(f"link lost: {self.detail}")
        answered = False
        try:
            # A read that times out ends the stream. Here it has to: a late answer would be taken for another's.
            async with asyncio.timeout(timeout):
                with loss_is_no_cancellation():
                    await machine.write(machine_pb2.RunRequest(stamp=stamp, n=n, token=self._token, **asked))
                    response = await _read(machine, machine_pb2.RunResponse)
            answered = response is not None
        except TimeoutError:
            raise unavailable(f"no answer to a machine request within {timeout:g} s") from None
        except grpc.aio.AioRpcError as error:
            raise LinkLostError(f"link lost: {error.details()}") from None
        except (grpc.aio.BaseError, asyncio.InvalidStateError) as error:
            raise LinkLostError(f"link lost: {error}") from None
        finally:
            if not answered and machine is self._machine:
                self._break()
        if not answered:
            raise LinkLostError("link lost: the machine stream ended")
        return response

    def _reply(self, response: Any) -> AnyReply:
        member = response.WhichOneof("reply")
        if member == "failure":
            failure = response.failure
            code = _CODES.get(failure.code, grpc.StatusCode.INTERNAL)
            if failure.errno:
                raise RefusedError(failure.message, failure.errno)
            raise CallError(code, failure.message)
        if member not in _REPLIES:
            raise CallError(grpc.StatusCode.INTERNAL, "perfcore: a machine response without a reply")
        reply: AnyReply = struct_from_proto(getattr(response, member), _REPLIES[member])
        return reply


def _open(channel: grpc.aio.Channel, module: Any, service: str, method: str) -> Any:
    name = module.DESCRIPTOR.services_by_name[service].full_name
    return channel.stream_stream(f"/{name}/{method}", _serialized, None)(wait_for_ready=True)


def unavailable(why: str) -> CallError:
    return CallError(grpc.StatusCode.UNAVAILABLE, f"perfcore: {why}")


async def _read(call: Any, message: type[Any]) -> Any:
    raw = await call.read()
    return None if raw is grpc.aio.EOF else parse(message, raw)


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
