"""The common part of both services around their core: runs, stamps, decisions, and the state after a failure.

Theory of operation. The core is a sans-IO object that answers one input at a time. A lock ensures this, because KVM's
answer may have to wait for the silicon. Each step of it is a value: its effects go into the log, the messages among
them to the peer. Each Configure makes a new core and a new log, and they take the place of the old ones only when the
command was not refused. A refusal leaves everything as it was, the clock included. After any other failure in the
middle of a command the state of the core is unreliable: the run is marked as failed, and every call gives that failure
until the next Configure.

A link is lost at some moment of real time. The core learns of it by a command of the driver, LoseLink or KvmLoseLink,
so that the loss has a place in the schedule. Until then the stamp of each answer names the session, what the core sends
is lost, and a message that was lost meets no fate. The end of the process is an input that no driver gives. The core
says Drain at the next call, and the process waits a bounded time for the driver to deliver the messages of the two
ends.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import grpc

from contract.checksum import checksum
from contract.effects import StepResult
from contract.errors import RefusedError
from contract.messages import PROTOCOL_VERSION, Envelope
from contract.results import AnyResult
from contract.session import Session, is_overrun
from contract.trace import Delivery, SessionChange
from contract.wire import spans
from contract.wire.limits import DEFAULT, Limits, as_dict
from contract.wire.log import log
from contract.wire.methods import Decide
from contract.wire.records import RecordBlock, record_to_proto, since, stamp_of
from contract.wire.service_run import C, Performed, ServiceRun
from contract.wire.session_log import note_overrun, note_phases
from contract.wire.status import CallError, refusal, unexpected
from lbrlab.v1 import info_pb2, trace_pb2

if TYPE_CHECKING:
    from contract.wire.free_part import FreePart
    from contract.wire.metrics import Metrics

TRACE_CHUNK = 256
DRAIN_TIMEOUT = 1.0
"""Seconds that a process waits at its end for its sessions to end in order."""
ARRIVAL_TIMEOUT = 2.0
"""Seconds that a decision waits for its message to arrive."""

T = TypeVar("T")


class Shell(ABC, Generic[C]):
    """Base of the services. ``service`` is its name for others: "perfcore", "kvm". ``is_host``: it is the host's end of
    the contract. ``free_part``: what it does in a free run."""

    service: str
    is_host = False
    arrival_timeout = ARRIVAL_TIMEOUT
    free_part: FreePart[C]

    def __init__(self, protocol: int = PROTOCOL_VERSION, limits: Limits = DEFAULT) -> None:
        self.protocol = protocol
        self.limits = limits
        self.lock = asyncio.Lock()
        self.closing = asyncio.Event()
        """The process is about to end: open streams of commands (DriveService) end too."""
        self.drivers = 0
        """Open streams of commands."""
        self.changed = asyncio.Event()
        """Set, and replaced, when readiness or the state of the run may have changed."""
        self.run: ServiceRun[C] = ServiceRun(0)
        self.metrics: Metrics | None = None

    @abstractmethod
    async def carry_out(self, run: ServiceRun[C], command: Any, block: RecordBlock) -> AnyResult:
        """Give the command to the core of ``run``. A Configure creates the core."""

    @abstractmethod
    def send(self, run: ServiceRun[C], envelopes: list[Envelope]) -> None:
        """Put messages of the core into the streams. A stream whose peer does not read ends, and the rest is lost."""

    @abstractmethod
    def drain(self, run: ServiceRun[C]) -> bool:
        """The core ends its sessions in order; True if none is left. It is told so again at each call."""

    def sessions(self, run: ServiceRun[C]) -> list[Session]:
        """The sessions of a run that has begun."""
        return []

    @property
    def peers(self) -> int:
        """The services that this one has a link to."""
        return 0

    async def reattach(self, run: ServiceRun[C]) -> None:
        """Wait for the lost links that the service needs, before the core learns of them. Raises CallError."""

    async def prepare(self, stamp: trace_pb2.Stamp) -> int:
        """The number of the run that can begin now. Raises CallError if no run can."""
        return self.run.number + 1

    def may_arrive(self, session: str) -> bool:
        """Whether messages of that session can still arrive."""
        return True

    def _ended(self, run: ServiceRun[C]) -> None:
        assert run.failed is not None
        log().info("run-ended", run=run.number, reason=run.failed.message)
        if self.metrics is not None:
            self.metrics.count_run("replaced" if run.failed.code is grpc.StatusCode.ABORTED else "failed")
        self.touch()

    def touch(self) -> None:
        """Wake those who wait for a change."""
        self.changed.set()
        self.changed = asyncio.Event()

    def is_ready(self) -> bool:
        """Whether a run can begin."""
        return True

    def has_failed(self) -> bool:
        """Whether the newest run has failed."""
        return self.run.failed is not None

    def describe(self, info: info_pb2.GetInfoResponse) -> None:
        """Add the fields that only this service knows."""

    async def close(self) -> None:
        """The process is about to end, and with it the current run. Subclasses close their streams too."""
        await self._drain()
        self.run.fail(CallError(grpc.StatusCode.UNAVAILABLE, f"{self.service}: is stopping"))
        self.closing.set()

    async def _drain(self) -> None:
        """Where a driver plays a run, its sessions end in order (R24)."""
        run = self.run
        if self.drivers and run.number and not run.failed:
            run.drains = True
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_TIMEOUT):
                    await run.drained.wait()

    # Commands --------------------------------------------------------------------------------------------

    def numbered(self, number: int) -> ServiceRun[C]:
        """The current run, if it has this number. Raises CallError ABORTED."""
        run = self.run
        if number != run.number or not number:
            now = f"the current run is {run.number}" if run.number else "there is no run yet"
            raise CallError(grpc.StatusCode.ABORTED, f"{self.service}: run {number} is not current, {now}")
        return run

    def current(self, stamp: trace_pb2.Stamp) -> ServiceRun[C]:
        """The current run, if the stamp names it and its driver. Raises CallError ABORTED."""
        if self.run.number and stamp.owner != self.run.owner:
            now = f"the current run is {self.run.number}, which another driver has begun"
            raise CallError(grpc.StatusCode.ABORTED, f"{self.service}: run {stamp.run} is not current, {now}")
        return self.numbered(stamp.run)

    async def configure(self, stamp: trace_pb2.Stamp, command: Any) -> Performed[C]:
        async with self.lock:
            try:
                run: ServiceRun[C] = ServiceRun(await self.prepare(stamp), stamp.owner, self.limits)
                result, block = await self.perform(run, stamp, command)
            except CallError as error:
                log().warning("run-refused", reason=error.message)
                if self.metrics is not None:
                    self.metrics.count_run("refused")
                raise
            self.run.fail(CallError(grpc.StatusCode.ABORTED, f"{self.service}: run {run.number} has begun"))
            self.run = run
            run.ended = partial(self._ended, run)
            log().info("run-begun", run=run.number)
            if self.metrics is not None:
                self.metrics.begin()
            self.touch()
            return run, result, block

    async def command(self, stamp: trace_pb2.Stamp, command: Any) -> Performed[C]:
        async with self.lock:
            run = self._driven(stamp)
            result, block = await self.perform(run, stamp, command)
            return run, result, block

    def _driven(self, stamp: trace_pb2.Stamp) -> ServiceRun[C]:
        """The current run, where the driver decides. Raises CallError."""
        run = self.current(stamp)
        run.check()
        if run.free is not None:
            raise CallError(grpc.StatusCode.ABORTED, f"{self.service}: run {run.number} is a free run now")
        return run

    async def decide(self, stamp: trace_pb2.Stamp, decision: Decide) -> Performed[C]:
        run = self.current(stamp)
        if self.may_arrive(decision.session):
            # The inbox then refuses a message that has not arrived.
            with suppress(TimeoutError):
                async with asyncio.timeout(self.arrival_timeout):
                    await run.arrival(decision.session, self.is_host, decision.n)
        async with self.lock:
            run = self._driven(stamp)
            result, block = await self.perform(run, stamp, decision)
            return run, result, block

    async def perform(
        self, run: ServiceRun[C], stamp: trace_pb2.Stamp, command: Any
    ) -> tuple[AnyResult | None, RecordBlock]:
        """One input of the core, with the lock held: its result and its records. Raises CallError."""
        log = run.log
        clock, now = log.clock, log.now
        log.witness(stamp.clock, stamp.now_ns)
        block = RecordBlock(log)
        result: AnyResult | None = None
        try:
            self.note_links(run, command)
            if run.cut:
                await self.reattach(run)
            if run.drains:
                self.drain(run)
            if isinstance(command, Decide):
                with spans.span("Decide", stamp, run.number):
                    self._decide(run, command)
            else:
                with spans.span(type(command).__name__, stamp, run.number):
                    result = await self.carry_out(run, command, block)
            if run.drains and self.drain(run):
                run.drained.set()
            block.flush()
            self.stamp(run)
        except RefusedError as error:
            block.flush()
            if not block.records:
                log.clock, log.now = clock, now
                raise refusal(error, stamp.clock, stamp.now_ns) from None
            raise refusal(error, log.clock, log.now) from None
        except CallError as error:
            run.fail(error)
            raise
        except asyncio.CancelledError:
            run.fail(CallError(grpc.StatusCode.UNAVAILABLE, f"{self.service}: a command was cancelled halfway"))
            raise
        except Exception as error:
            self.broken(run, error, type(command).__name__)
            run.check()
        note_phases(run, self.sessions(run))
        kept = self.limits.trace_records
        if len(log.records) > kept + kept // 4:
            del log.records[:-kept]
        return result, block

    def part(self, run: ServiceRun[C], session: str) -> None:
        """The driver tells the core that a link is lost, and then that it is up again. Until then the stream does not
        count, whether it has ended or not."""
        run.network.cut(session, self.is_host)
        run.cut.discard(session)
        run.parted.add(session)
        run.deaf.add(session)

    def note_links(self, run: ServiceRun[C], command: Any) -> None:
        """Take in what a command says about links, before anything else happens."""

    def _decide(self, run: ServiceRun[C], decision: Decide) -> None:
        """A message that was lost with its link meets no other fate."""
        session, n = decision.session, decision.n
        if session in run.cut | run.parted and not run.network.has(session, self.is_host, n):
            return
        envelope = run.network.decide(decision.fate, session, self.is_host, n, run.log, decision.fault, decision.field)
        if (metrics := self.metrics) is not None:
            delivery = run.log.records[-1]
            assert isinstance(delivery, Delivery)
            metrics.fate(str(decision.fate), delivery.message, self.is_host)
            if envelope is not None:
                metrics.taken(envelope, run.log.now)
        if envelope is not None:
            self.done(run, run.core.take(envelope, run.log.now))

    def done(self, run: ServiceRun[C], step: StepResult[T]) -> T:
        """Record the effects of a step, put its messages into the streams, and give its answer."""
        run.log.write(step.effects, step.now)
        if self.metrics is not None:
            self.metrics.see(step.effects)
        if messages := step.messages:
            for message in messages:
                message.checksum = checksum(message)
            self.send(run, messages)
        for effect in step.effects:
            if type(effect) is SessionChange and is_overrun(effect):
                self.overrun(run, effect)
        return step.result

    def overrun(self, run: ServiceRun[C], ended: SessionChange) -> None:
        """This end has given an epoch up (R26)."""
        note_overrun(run, ended)

    def broken(self, run: ServiceRun[C], error: Exception, doing: str) -> None:
        """An unforeseen error ends the run."""
        failure = unexpected(error, doing)
        run.fail(CallError(failure.code, f"{self.service}: internal error: {failure.message}"))

    # Other services --------------------------------------------------------------------------------------

    async def info(self, _: info_pb2.GetInfoRequest) -> info_pb2.GetInfoResponse:
        from importlib.metadata import version

        made = info_pb2.GetInfoResponse(
            service=self.service,
            protocol_version=self.protocol,
            package_version=version("lbrlab"),
            run=self.run.number,
            run_failed=self.run.failed.message if self.run.failed else "",
            limits=as_dict(self.limits, self.service),
        )
        self.describe(made)
        return made

    async def trace(self, request: trace_pb2.GetTraceRequest) -> AsyncIterator[trace_pb2.GetTraceResponse]:
        records = since(self.numbered(request.run).log.records, request.since_seq)
        for start in range(0, len(records), TRACE_CHUNK):
            chunk = records[start : start + TRACE_CHUNK]
            yield trace_pb2.GetTraceResponse(records=map(record_to_proto, chunk))

    def stamp(self, run: ServiceRun[C]) -> trace_pb2.Stamp:
        return stamp_of(run.number, run.log, run.owner, sorted(run.cut))
