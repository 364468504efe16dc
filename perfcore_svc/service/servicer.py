"""The perf core's end of the streams: sessions of KVMs, and the machine stream of each.

A KVM's stream belongs to the current run after the first frame of that run. When such a stream ends, the session has
lost its link (R21). The first frame to a KVM has a token. A machine request with this token is that KVM's, and may name
only its vCPUs and their threads (R7, R20).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from secrets import compare_digest, token_hex
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor

from contract.control import (
    Advance,
    AnyPerfCommand,
    ConfigurePerf,
    DrainSession,
    EndSession,
    FireHostTimer,
    LoseLink,
)
from contract.errors import PeerContractError, RefusedError
from contract.machine import AnyReply, AnyRequest
from contract.messages import PROTOCOL_VERSION, Envelope
from contract.results import AnyResult, Done
from contract.session import Session, SessionPhase
from contract.trace import SessionChange
from contract.wire import spans
from contract.wire.access import peer_of
from contract.wire.codec import content_maker, from_proto, union_fields, union_from_proto
from contract.wire.control import DRIVE, INFO, LIVE, TRACE, common_handlers, control_handlers, handlers
from contract.wire.lease import DRIVER_LEASE, Lease
from contract.wire.limits import DEFAULT, Limits, check_count, exceeded
from contract.wire.log import log
from contract.wire.methods import command_types
from contract.wire.pace import pace
from contract.wire.records import RecordBlock
from contract.wire.shell import ServiceRun, Shell
from contract.wire.source import source_of
from contract.wire.status import CallError, parse, shortened, stream_stream, unary
from contract.wire.stream import FrameWriter
from lbrlab.v1 import contract_pb2, lease_pb2, machine_pb2, perf_control_pb2, trace_pb2
from perfcore_svc.core import HostCore

CONTROL = perf_control_pb2.DESCRIPTOR.services_by_name["PerfControlService"]
CONTRACT = contract_pb2.DESCRIPTOR.services_by_name["ContractService"]
MACHINE = machine_pb2.DESCRIPTOR.services_by_name["MachineService"]
LEASES = lease_pb2.DESCRIPTOR.services_by_name["LeaseService"]
SERVICES: Sequence[ServiceDescriptor] = (CONTROL, DRIVE, LIVE, CONTRACT, MACHINE, LEASES, INFO, TRACE)
FREE = "RunTask", "Open", "Enable", "Disable", "Close", "Read", "Sample", "Retire"
"""The commands of a free run."""
STEP_LIMIT = 3.0
"""Seconds in which a KVM has to end a step of a free run."""
_REPLIES = union_fields(AnyReply, machine_pb2.RunResponse)
PARDON = 5.0
"""Seconds in which a KVM whose epoch is over (R26) has to begin a new one. Then its stream ends."""
_ENVELOPE = content_maker(Envelope, contract_pb2.Envelope)


class Attachment:
    """The stream of one KVM. ``invited``: the run whose driver's token it has shown: those of other runs are not heard.
    ``run``: the last run that it took part in. ``token``: the secret by which its machine requests are known.
    ``epoch``: the newest that it has named. ``refusal``: why its stream ends, if the perf core ends it."""

    def __init__(self, shell: PerfcoreShell, kvm: str, instance: str, context: grpc.aio.ServicerContext) -> None:
        self.kvm = kvm
        self.instance = instance
        self.token = token_hex(16)
        self.peer = context.peer()
        self.source = source_of(context)
        self.invited: ServiceRun[HostCore] | None = None
        self.run: ServiceRun[HostCore] | None = None
        self.epoch = 0
        self.refusal: CallError | None = None
        self.over = asyncio.Event()
        self._shell = shell
        self._context = context
        self.writer = FrameWriter(self._write, shell.limits.backlog)

    async def _write(self, run: int, envelopes: list[Envelope]) -> None:
        messages = list(map(_ENVELOPE, envelopes))
        clock, now = self._shell.run.clocks()
        frame = contract_pb2.AttachResponse(kvm=self.kvm, run=run, envelopes=messages, clock=clock, now_ns=now)
        await self._context.write(frame)

    def receive(self, frame: contract_pb2.AttachRequest) -> bool:
        """Whether the frame counts. Raises CallError for what is not this KVM's own."""
        if frame.kvm != self.kvm or any(e.session != self.kvm or not e.to_host for e in frame.envelopes):
            raise CallError(grpc.StatusCode.INVALID_ARGUMENT, f"a frame of {self.kvm} carries what is not its own")
        run = self._shell.run
        if frame.run == run.number and self.invited is run:
            self.run = run
            run.parted.discard(self.kvm)
            run.hear(frame.clock, frame.now_ns)
            self.epoch = max([self.epoch, *(e.epoch for e in frame.envelopes)])
            run.receive(from_proto(e, Envelope) for e in frame.envelopes)
            return True
        return False


class PerfcoreShell(Shell[HostCore]):
    service = "perfcore"
    is_host = True
    pardon = PARDON

    def __init__(self, protocol: int = PROTOCOL_VERSION, lease: float = DRIVER_LEASE, limits: Limits = DEFAULT) -> None:
        super().__init__(protocol, limits)
        self.lease = Lease(lease)
        self.attached: dict[str, Attachment] = {}
        self._answered = machine_pb2.RunRequest(), machine_pb2.RunResponse()
        """The newest machine request, and the response to it."""
        self._step: KvmStep | None = None
        """The step of a KVM that is under way in a free run."""
        self._steps: dict[str, KvmStep] = {}
        """The newest step of each KVM. Its end can come before its begin is carried out: over another link."""

    async def prepare(self, stamp: trace_pb2.Stamp) -> int:
        """The number of the new run. The perf core gives out the numbers; one that has just begun can continue with the
        run of a driver."""
        if stamp.run and self.run.number:
            raise CallError(grpc.StatusCode.INVALID_ARGUMENT, "stamp.run: expected 0, the answer has the number")
        self.lease.take(stamp.owner)
        return stamp.run or self.run.number + 1

    def current(self, stamp: trace_pb2.Stamp) -> ServiceRun[HostCore]:
        run = super().current(stamp)
        if stamp.owner == self.lease.owner:
            self.lease.renew()
        return run

    async def acquire(self, request: lease_pb2.AcquireRequest) -> lease_pb2.AcquireResponse:
        wait = request.wait_ms / 1000
        await self.lease.acquire(request.owner, request.holder, wait, take_over=request.take_over)
        if self.run.number and self.run.owner != request.owner:
            why = f"perfcore: {self.lease.holder} has taken it, the lease of this run has ended"
            self.run.fail(CallError(grpc.StatusCode.ABORTED, why))
        return lease_pb2.AcquireResponse()

    async def prolong(self, request: lease_pb2.ProlongRequest) -> lease_pb2.ProlongResponse:
        run = self.current(request.stamp)
        run.check()
        self._attachment(request.token, request.kvm).invited = run
        if request.kvm not in run.core.endpoint.sessions:
            run.cut.discard(request.kvm)  # The KVM begins the run on its current link.
        return lease_pb2.ProlongResponse()

    async def release(self, request: lease_pb2.ReleaseRequest) -> lease_pb2.ReleaseResponse:
        self.lease.release(request.owner)
        return lease_pb2.ReleaseResponse()

    async def carry_out(self, run: ServiceRun[HostCore], command: AnyPerfCommand, block: RecordBlock) -> AnyResult:
        if isinstance(command, ConfigurePerf):
            check_count("tasks", self.limits.tasks, len(command.tasks))
            check_count("vcpus", self.limits.vcpus, len(command.vcpus))
            run.core = HostCore.configured(command, self.protocol)
            run.core.perf.most_events, run.core.endpoint.unsent = self.limits.events, self.limits.unsent
            return Done()
        return self.done(run, run.core.command(command, run.log.now))

    def send(self, run: ServiceRun[HostCore], envelopes: list[Envelope]) -> None:
        for session, batch in groupby(envelopes, attrgetter("session")):
            attachment = self.attached.get(session)
            # Messages to a KVM that has not resumed on its new stream are lost with the old stream.
            if attachment is not None and attachment.run is run:
                try:
                    attachment.writer.put(run.number, list(batch))
                except PeerContractError as error:
                    self._lost(attachment, str(error))

    def overrun(self, run: ServiceRun[HostCore], ended: SessionChange) -> None:
        super().overrun(run, ended)
        if (attachment := self.attached.get(ended.session)) is not None and attachment.run is run:
            loop = asyncio.get_running_loop()
            loop.call_later(self.pardon, self._dismiss, attachment, run, ended)

    def _dismiss(self, attachment: Attachment, run: ServiceRun[HostCore], ended: SessionChange) -> None:
        """End the stream of a KVM that has not begun a new epoch, though it had time to."""
        if self.run is run and attachment.run is run and attachment.epoch <= ended.epoch:
            why = f"{ended.reason}, since {attachment.kvm} acknowledges nothing (--max-unsent)"
            attachment.refusal = CallError(grpc.StatusCode.RESOURCE_EXHAUSTED, why)
            self._lost(attachment, why)

    def note_links(self, run: ServiceRun[HostCore], command: Any) -> None:
        """A KVM that is gone has no stream. Its next life attaches with a new one."""
        if isinstance(command, LoseLink | EndSession):
            self.part(run, command.session)
        if isinstance(command, EndSession) and (attachment := self.attached.get(command.session)):
            self._lost(attachment, "the KVM is gone")

    def drain(self, run: ServiceRun[HostCore]) -> bool:
        sessions = run.core.endpoint.sessions
        for name in sessions:
            with suppress(RefusedError):  # It drains already, or cannot.
                self.done(run, run.core.command(DrainSession(name, "the perf core stops"), run.log.now))
        return all(session.phase is SessionPhase.ENDED for session in sessions.values())

    def sessions(self, run: ServiceRun[HostCore]) -> list[Session]:
        return list(run.core.endpoint.sessions.values())

    @property
    def peers(self) -> int:
        return len(self.attached)

    def may_arrive(self, session: str) -> bool:
        return session in self.attached

    async def keep(self, run: ServiceRun[HostCore]) -> None:
        """The driver is still there."""
        if run.owner == self.lease.owner:
            self.lease.renew()

    def passing(self, run: ServiceRun[HostCore], now: int) -> Iterator[Advance]:
        while run.log.now < now:
            yield Advance(now - run.log.now)

    def firing(self, session: str, timer: str) -> FireHostTimer:
        return FireHostTimer(session, timer)

    async def close(self) -> None:
        await super().close()
        for attachment in self.attached.values():
            attachment.over.set()

    # The contract stream ---------------------------------------------------------------------------------

    async def attach(self, context: grpc.aio.ServicerContext) -> None:
        first = await _read(context, contract_pb2.AttachRequest)
        if first is None:
            return
        self._check_first(first, context)
        attachment = Attachment(self, first.kvm, first.instance, context)
        if before := self.attached.get(first.kvm):
            self._lost(before, "displaced: the same KVM has a new stream")
        self.attached[first.kvm] = attachment
        # Before the writer runs: one writer at a time.
        await context.write(contract_pb2.AttachResponse(kvm=first.kvm, protocol=self.protocol, token=attachment.token))
        log().info("attached", session=first.kvm)
        tasks = [
            asyncio.create_task(self._read_frames(attachment, context)),
            asyncio.create_task(attachment.writer.run()),
            asyncio.create_task(attachment.over.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if attachment.refusal is not None:
                raise attachment.refusal
            if self.closing.is_set():
                raise CallError(grpc.StatusCode.UNAVAILABLE, "perfcore: is stopping")
        finally:
            self._lost(attachment, "its contract stream ended")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _check_first(self, first: contract_pb2.AttachRequest, context: grpc.aio.ServicerContext) -> None:
        """Raises CallError if this stream is refused."""
        if first.envelopes or first.run:
            raise CallError(grpc.StatusCode.INVALID_ARGUMENT, "the first frame carries messages or a run")
        code, why = grpc.StatusCode.OK, ""
        peer, before = peer_of(context), self.attached.get(first.kvm)
        if peer.role and peer.name != first.kvm:
            code = grpc.StatusCode.PERMISSION_DENIED
            why = f"this certificate is that of {peer.name or 'no KVM'}, not of {first.kvm}"
        elif first.protocol != self.protocol:
            code = grpc.StatusCode.FAILED_PRECONDITION
            why = f"protocol {first.protocol}, this host speaks {self.protocol}"
        elif before is not None and (not first.instance or first.instance != before.instance):
            code = grpc.StatusCode.ALREADY_EXISTS
            why = f"another KVM service named {first.kvm} is attached, from {before.peer}; give this one another --name"
        elif before is None and (why := self._too_many(source_of(context))):
            code = grpc.StatusCode.RESOURCE_EXHAUSTED
        if why:
            log().warning("kvm-refused", session=first.kvm, reason=why)
            raise CallError(code, why)

    def _too_many(self, source: str) -> str:
        """Why one more attachment of this peer is refused, "" if it is not."""
        limits = self.limits
        if sum(attachment.source == source for attachment in self.attached.values()) >= limits.peer_sessions:
            return exceeded("peer-sessions", limits.peer_sessions, source)
        return exceeded("sessions", limits.sessions, "this service") if len(self.attached) >= limits.sessions else ""

    async def _read_frames(self, attachment: Attachment, context: grpc.aio.ServicerContext) -> None:
        while (raw := await _raw(context)) is not None:
            start = time.perf_counter()
            if attachment.receive(parse(contract_pb2.AttachRequest, raw)):
                await attachment.writer.flush()
            else:
                await pace(context, time.perf_counter() - start)

    def _lost(self, attachment: Attachment, why: str) -> None:
        if not attachment.over.is_set():
            if attachment.invited is self.run:
                self.run.lose(attachment.kvm, self.is_host)
            log().warning("link-lost", session=attachment.kvm, peer=attachment.peer, reason=why)
        attachment.over.set()
        if self.attached.get(attachment.kvm) is attachment:
            del self.attached[attachment.kvm]

    # The machine stream ----------------------------------------------------------------------------------

    async def machine(self, context: grpc.aio.ServicerContext) -> None:
        while (request := await _read(context, machine_pb2.RunRequest)) is not None:
            match request.WhichOneof("request"):
                case "begin_step":
                    response = await self._begin_step(request)
                case "end_step":
                    self._end_step(request)
                    continue
                case _:
                    response = await self._served(request)
            await context.write(response)

    async def _served(self, request: machine_pb2.RunRequest) -> machine_pb2.RunResponse:
        if self._step is not None and self._is_of(request, self._step):
            return self._answer_once(request)  # Its step holds the lock.
        async with self.lock:
            return self._answer_once(request)

    # Steps of a free run ---------------------------------------------------------------------------------

    async def _hold(self, step: KvmStep) -> None:
        """Nothing else happens here before the end of the step. A link that is lost meanwhile does not end it."""
        async with self.lock:
            self._step = step
            step.begun.set()
            try:
                async with asyncio.timeout(STEP_LIMIT):
                    await step.over.wait()
            except TimeoutError:
                why = f"perfcore: {step.kvm} has not ended its step within {STEP_LIMIT:g} s"
                self.run.fail(CallError(grpc.StatusCode.UNAVAILABLE, why))
            finally:
                self._step = None

    def _end_step(self, request: machine_pb2.RunRequest) -> None:
        for step in self._steps.values():
            if self._is_of(request, step):
                self.run.hear(request.stamp.clock, request.stamp.now_ns)
                step.over.set()

    def _is_of(self, request: machine_pb2.RunRequest, step: KvmStep) -> bool:
        attachment = self.attached.get(step.kvm)
        return attachment is not None and compare_digest(attachment.token.encode(), request.token.encode())

    async def _begin_step(self, request: machine_pb2.RunRequest) -> machine_pb2.RunResponse:
        response = machine_pb2.RunResponse()
        asked = request.begin_step
        try:
            attachment = self._attachment(request.token)
            run = self.current(request.stamp)
            run.check()
            _may_act(run.core.endpoint.vcpus, attachment.kvm, asked)
            step = self._steps[attachment.kvm] = KvmStep(attachment.kvm)
            step.task = asyncio.create_task(self._hold(step))
            try:
                await step.begun.wait()
                if step.over.is_set():
                    raise RefusedError("it has ended before it began", "EAGAIN")
                await self._may_begin(self.current(request.stamp), request)
            except BaseException:
                step.over.set()
                raise
            response.step_begun.SetInParent()
            response.stamp.CopyFrom(self.stamp(run))
        except RefusedError as error:
            _fail(response, grpc.StatusCode.FAILED_PRECONDITION, str(error), error.errno)
        except CallError as error:
            _fail(response, error.code, error.message, "")
        return response

    def _answer_once(self, request: machine_pb2.RunRequest) -> machine_pb2.RunResponse:
        """A request that is sent again, because its answer was lost with the link, is not carried out again."""
        asked, answer = self._answered
        token = request.token
        request.token = ""  # Each link has its own.
        if request != asked:
            answer = self._answer(request, token)
            if answer.failure.code == grpc.StatusCode.PERMISSION_DENIED.value[0]:
                return answer
            self._answered = request, answer
        return answer

    def _attachment(self, token: str, kvm: str = "") -> Attachment:
        """The attached KVM that was given this token. Raises CallError PERMISSION_DENIED."""
        for attachment in self.attached.values():
            if compare_digest(attachment.token.encode(), token.encode()) and kvm in ("", attachment.kvm):
                return attachment
        raise CallError(grpc.StatusCode.PERMISSION_DENIED, f"this is not the token of {kvm or 'an attached KVM'}")

    def _answer(self, request: machine_pb2.RunRequest, token: str) -> machine_pb2.RunResponse:
        response = machine_pb2.RunResponse()
        try:
            attachment = self._attachment(token)
            run = self.current(request.stamp)
            run.check()
            log = run.log
            log.witness(request.stamp.clock, request.stamp.now_ns)
            block = RecordBlock(log)
            try:
                asked = union_from_proto(request, AnyRequest)
                _may_act(run.core.endpoint.vcpus, attachment.kvm, asked)
                with spans.span(type(asked).__name__, request.stamp, run.number, attachment.kvm):
                    reply = self.done(run, run.core.request(asked, log.now))
                member, encode = _REPLIES[type(reply)]
                response = machine_pb2.RunResponse(**{member: encode(reply)})
                block.flush()
                response.stamp.CopyFrom(self.stamp(run))
            except RefusedError as error:
                code = grpc.StatusCode.FAILED_PRECONDITION
                _fail(response, code, str(error), error.errno)
                response.stamp.CopyFrom(self.stamp(run))
            except CallError:
                raise
            except Exception as error:
                self.broken(run, error, "machine request")
                run.check()
            response.records.extend(block.records)
        except CallError as error:
            _fail(response, error.code, error.message, "")
        return response

    async def _may_begin(self, run: ServiceRun[HostCore], request: machine_pb2.RunRequest) -> None:
        """Raises RefusedError if the step cannot begin now."""
        asked = request.begin_step
        if run.free is None or run.free.halt is not None:
            raise RefusedError("this is no free run", "EAGAIN")
        await run.free.reach(request.stamp)
        if run.core.perf.kernel.cpu_running(asked.vcpu) != asked.cpu:
            raise RefusedError(f"{asked.vcpu} is not on cpu{asked.cpu}", "EAGAIN")


class KvmStep:
    """A step of a vCPU of ``kvm`` in a free run. ``task``: it holds the run for the step; asyncio itself keeps no
    reference to it."""

    def __init__(self, kvm: str) -> None:
        self.kvm = kvm
        self.begun = asyncio.Event()
        self.over = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


def _may_act(owners: Mapping[str, str], kvm: str, request: AnyRequest | machine_pb2.BeginStep) -> None:
    """Raises CallError PERMISSION_DENIED if the vCPU, or the thread that acts for it, is another session's (R7)."""
    for name in (request.vcpu, getattr(request, "task", "")):
        if (owner := owners.get(name, kvm)) != kvm:
            raise CallError(grpc.StatusCode.PERMISSION_DENIED, f"{name} belongs to session {owner}, not to {kvm}")


def _fail(response: machine_pb2.RunResponse, code: grpc.StatusCode, message: str, errno: str) -> None:
    response.failure.code = code.value[0]
    response.failure.message = shortened(message)
    response.failure.errno = errno


async def _read(context: grpc.aio.ServicerContext, message: type[Any]) -> Any:
    """The next valid message; None at the end of the stream, however it ended."""
    raw = await _raw(context)
    return None if raw is None else parse(message, raw)


async def _raw(context: grpc.aio.ServicerContext) -> bytes | None:
    """The next frame; None at the end of the stream, however it ended."""
    with suppress(grpc.aio.BaseError, asyncio.InvalidStateError):
        raw: Any = await context.read()
        return None if raw is grpc.aio.EOF else bytes(raw)
    return None


def service_handlers(shell: PerfcoreShell) -> list[grpc.GenericRpcHandler]:
    return [
        *control_handlers(shell, CONTROL, command_types(CONTROL, AnyPerfCommand.__args__), FREE),
        handlers(CONTRACT, {CONTRACT.methods_by_name["Attach"]: stream_stream(shell.attach, "Attach")}),
        handlers(MACHINE, {MACHINE.methods_by_name["Run"]: stream_stream(shell.machine, "Run")}),
        handlers(
            LEASES,
            {
                LEASES.methods_by_name["Acquire"]: unary(lease_pb2.AcquireRequest, shell.acquire),
                LEASES.methods_by_name["Prolong"]: unary(lease_pb2.ProlongRequest, shell.prolong),
                LEASES.methods_by_name["Release"]: unary(lease_pb2.ReleaseRequest, shell.release),
            },
        ),
        *common_handlers(shell),
    ]
