"""The perf core as a service: the commands of its driver, its lease, and the KVMs that are attached.

A KVM's stream belongs to the current run after the first frame of that run. When such a stream ends, the session has
lost its link (R21). The first frame to a KVM has a token, by which its machine requests are known.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from secrets import compare_digest
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor

from contract.control import (
    AnyPerfCommand,
    ConfigurePerf,
    DrainSession,
    EndSession,
    LoseLink,
)
from contract.errors import PeerContractError, RefusedError
from contract.messages import PROTOCOL_VERSION, Envelope
from contract.results import AnyResult, Done
from contract.session import Session, SessionPhase
from contract.trace import SessionChange
from contract.wire.access import peer_of
from contract.wire.control import DRIVE, INFO, LIVE, TRACE, common_handlers, control_handlers, handlers
from contract.wire.lease import DRIVER_LEASE, Lease
from contract.wire.limits import DEFAULT, Limits, check_count, exceeded
from contract.wire.log import log
from contract.wire.methods import command_types
from contract.wire.pace import pace
from contract.wire.records import RecordBlock
from contract.wire.service_run import ServiceRun
from contract.wire.shell import Shell
from contract.wire.source import source_of
from contract.wire.status import CallError, parse, stream_stream, unary
from lbrlab.v1 import contract_pb2, lease_pb2, machine_pb2, perf_control_pb2, trace_pb2
from perfcore_svc.core import HostCore
from perfcore_svc.service.attachment import Attachment
from perfcore_svc.service.free_part import PerfcoreFreePart
from perfcore_svc.service.machine_stream import MachineStream
from perfcore_svc.service.reading import read, read_raw

CONTROL = perf_control_pb2.DESCRIPTOR.services_by_name["PerfControlService"]
CONTRACT = contract_pb2.DESCRIPTOR.services_by_name["ContractService"]
MACHINE = machine_pb2.DESCRIPTOR.services_by_name["MachineService"]
LEASES = lease_pb2.DESCRIPTOR.services_by_name["LeaseService"]
SERVICES: Sequence[ServiceDescriptor] = (CONTROL, DRIVE, LIVE, CONTRACT, MACHINE, LEASES, INFO, TRACE)
FREE = "RunTask", "Open", "Enable", "Disable", "Close", "Read", "Sample", "Retire"
"""The commands of a free run."""
PARDON = 5.0
"""Seconds in which a KVM whose epoch is over (R26) has to begin a new one. Then its stream ends."""


class PerfcoreShell(Shell[HostCore]):
    service = "perfcore"
    is_host = True
    pardon = PARDON
    free_part: PerfcoreFreePart

    def __init__(self, protocol: int = PROTOCOL_VERSION, lease: float = DRIVER_LEASE, limits: Limits = DEFAULT) -> None:
        super().__init__(protocol, limits)
        self.lease = Lease(lease)
        self.attached: dict[str, Attachment] = {}
        self.machine = MachineStream(self)
        self.free_part = PerfcoreFreePart(self)

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
        self.attachment(request.token, request.kvm).invited = run
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

    async def close(self) -> None:
        await super().close()
        for attachment in self.attached.values():
            attachment.over.set()

    # The contract stream ---------------------------------------------------------------------------------

    async def attach(self, context: grpc.aio.ServicerContext) -> None:
        first = await read(context, contract_pb2.AttachRequest)
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
        while (raw := await read_raw(context)) is not None:
            start = time.perf_counter()
            if attachment.receive(parse(contract_pb2.AttachRequest, raw)):
                await attachment.writer.flush()
            else:
                await pace(context, time.perf_counter() - start)

    def attachment(self, token: str, kvm: str = "") -> Attachment:
        """The attached KVM that was given this token. Raises CallError PERMISSION_DENIED."""
        for attachment in self.attached.values():
            if compare_digest(attachment.token.encode(), token.encode()) and kvm in ("", attachment.kvm):
                return attachment
        raise CallError(grpc.StatusCode.PERMISSION_DENIED, f"this is not the token of {kvm or 'an attached KVM'}")

    def _lost(self, attachment: Attachment, why: str) -> None:
        if not attachment.over.is_set():
            if attachment.invited is self.run:
                self.run.lose(attachment.kvm, self.is_host)
            log().warning("link-lost", session=attachment.kvm, peer=attachment.peer, reason=why)
        attachment.over.set()
        if self.attached.get(attachment.kvm) is attachment:
            del self.attached[attachment.kvm]


def service_handlers(shell: PerfcoreShell) -> list[grpc.GenericRpcHandler]:
    return [
        *control_handlers(shell, CONTROL, command_types(CONTROL, AnyPerfCommand.__args__), FREE),
        handlers(CONTRACT, {CONTRACT.methods_by_name["Attach"]: stream_stream(shell.attach, "Attach")}),
        handlers(MACHINE, {MACHINE.methods_by_name["Run"]: stream_stream(shell.machine.serve, "Run")}),
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
