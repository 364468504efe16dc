"""KVM's commands over gRPC: each may ask the silicon over the link before it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from contract.control import AnyKvmCommand, ConfigureKvm, KvmDrain, KvmLoseLink, KvmMendLink, StepVcpu
from contract.errors import RefusedError
from contract.machine import AnyReply, AnyRequest
from contract.messages import PROTOCOL_VERSION, Envelope
from contract.results import AnyResult
from contract.session import Session, SessionPhase
from contract.wire import spans
from contract.wire.codec import from_proto
from contract.wire.control import DRIVE, INFO, LIVE, TRACE, common_handlers, control_handlers
from contract.wire.limits import DEFAULT, Limits, check_count
from contract.wire.log import log
from contract.wire.methods import command_types
from contract.wire.records import RecordBlock
from contract.wire.service_run import ServiceRun
from contract.wire.settings.table import ANSWER_TIMEOUT, REDIAL_LIMIT
from contract.wire.shell import Shell
from contract.wire.status import CallError, shortened
from contract.wire.tls import Identity, tls_of
from kvm_svc.core import KvmCore
from kvm_svc.service.free_part import KvmFreePart
from kvm_svc.service.link import Link, LinkLostError, unavailable
from lbrlab.v1 import contract_pb2, info_pb2, kvm_control_pb2, trace_pb2

CONTROL = kvm_control_pb2.DESCRIPTOR.services_by_name["KvmControlService"]
SERVICES: Sequence[ServiceDescriptor] = (CONTROL, DRIVE, LIVE, INFO, TRACE)
FREE = (StepVcpu.__name__,)
"""The commands of a free run."""


class KvmShell(Shell[KvmCore]):
    service = "kvm"

    def __init__(
        self,
        perfcore: str,
        name: str,
        answer_timeout: float = ANSWER_TIMEOUT,
        protocol: int = PROTOCOL_VERSION,
        identity: Identity | None = None,
        limits: Limits = DEFAULT,
        redial_limit: float = REDIAL_LIMIT,
    ) -> None:
        super().__init__(protocol, limits)
        self.name = name
        self.answer_timeout = answer_timeout
        self._generation = 0
        """The link's generation in which the current run was configured or continued last."""
        self._asked = 0
        """Number of the newest machine request."""
        self.free_part = KvmFreePart(self)
        identity = tls_of(perfcore, identity)
        self.link = Link(
            perfcore,
            name,
            protocol,
            self._receive,
            self._link_lost,
            self._clocks,
            identity,
            redial_limit,
            limits.backlog,
        )
        self.link.changed = self.touch
        self._dialling = asyncio.create_task(self.link.run())

    async def prepare(self, stamp: trace_pb2.Stamp) -> int:
        """The number of the run, as the perf core gave it to the driver; the perf core confirms it."""
        await self.linked()
        if (stamp.run, self.link.generation) == (self.run.number, self._generation):
            why = f"kvm: {self.name}: run {stamp.run} is configured already"
            raise CallError(grpc.StatusCode.ABORTED, why)
        await self.agreed(stamp)
        return stamp.run

    async def linked(self) -> None:
        """Wait until the link is up. Raises CallError."""
        if self.link.state == info_pb2.LINK_STATE_REFUSED:
            raise unavailable(f"refuses the session: {self.link.detail}")
        try:
            async with asyncio.timeout(self.answer_timeout):
                await self.link.up.wait()
        except TimeoutError:
            where = f"no link to {self.link.perfcore} within {self.answer_timeout:g} s"
            raise unavailable(f"{where}: {self.link.detail}") from None

    async def agreed(self, stamp: trace_pb2.Stamp) -> None:
        """The link is up, to a perf core that has this run for this driver. Raises CallError."""
        while True:
            await self.linked()
            with suppress(LinkLostError):
                await self.link.prolong(stamp, self.answer_timeout)
                self._generation = self.link.generation
                return

    async def reattach(self, run: ServiceRun[KvmCore]) -> None:
        await self.agreed(self.stamp(run))

    def note_links(self, run: ServiceRun[KvmCore], command: Any) -> None:
        if isinstance(command, KvmLoseLink):
            self.part(run, self.name)

    def drain(self, run: ServiceRun[KvmCore]) -> bool:
        with suppress(RefusedError):  # It drains already, or cannot.
            self._tell(run, KvmDrain("KVM stops"))
        return run.core.endpoint.session.phase is SessionPhase.ENDED

    def _tell(self, run: ServiceRun[KvmCore], command: AnyKvmCommand) -> None:
        """A command that asks the silicon nothing."""
        try:
            next(run.core.command(command, run.log.now))
        except StopIteration as stop:
            self.done(run, stop.value)

    async def carry_out(self, run: ServiceRun[KvmCore], command: AnyKvmCommand, block: RecordBlock) -> AnyResult:
        if isinstance(command, ConfigureKvm):
            if command.kvm != self.name:
                raise RefusedError(f"this service is {self.name!r}, not {command.kvm!r}")
            check_count("vms", self.limits.vms, len(command.vms))
            check_count("vcpus", self.limits.vcpus, vcpus := sum(spec.vcpus for spec in command.vms))
            check_count("unsent", self.limits.unsent, vcpus)  # All of them register at once.
            run.core = KvmCore.configured(command, self.protocol, run.log.now)
            run.core.endpoint.session.outgoing.most = self.limits.unsent
            return self.done(run, run.core.begin(run.log.now))
        if isinstance(command, KvmMendLink) and run.parted:
            await self.reattach(run)
            run.parted.clear()
        if run.core.endpoint.refused:
            raise unavailable(f"refuses the session: {run.core.endpoint.refused}")
        steps = run.core.command(command, run.log.now)
        try:
            asked = next(steps)
            while True:
                request = self.done(run, asked)
                block.flush()
                reply, response = await self._ask(run, request)
                block.take(response.records, response.stamp)
                asked = steps.send((reply, run.log.now))
        except StopIteration as stop:
            return self.done(run, stop.value)
        finally:
            steps.close()

    async def _ask(self, run: ServiceRun[KvmCore], request: AnyRequest) -> tuple[AnyReply, Any]:
        """The silicon's reply. If the link is lost, the same request is sent again on the next link."""
        n, stamp = self.next_request(), self.stamp(run)
        stamp.traceparent = spans.current()
        while True:
            try:
                return await self.link.ask(stamp, n, request, self.answer_timeout)
            except LinkLostError:
                await self.reattach(run)

    def next_request(self) -> int:
        """The number of one more machine request."""
        self._asked += 1
        return self._asked

    def send(self, run: ServiceRun[KvmCore], envelopes: list[Envelope]) -> None:
        if not (run.cut or run.parted):  # On the next link KVM resumes before it says anything else.
            self.link.send(run.number, envelopes)

    def sessions(self, run: ServiceRun[KvmCore]) -> list[Session]:
        return [run.core.endpoint.session]

    @property
    def peers(self) -> int:
        return int(self.link.up.is_set())

    def may_arrive(self, session: str) -> bool:
        return session == self.name

    def is_ready(self) -> bool:
        return self.link.up.is_set()

    def describe(self, info: info_pb2.GetInfoResponse) -> None:
        info.kvm = self.name
        info.link, info.link_detail = self.link.state, shortened(self.link.detail or self.link.perfcore)
        if self.run.number and (refused := self.run.core.endpoint.refused):
            info.link, info.link_detail = info_pb2.LINK_STATE_REFUSED, shortened(refused)

    async def close(self) -> None:
        await super().close()
        self._dialling.cancel()
        with suppress(asyncio.CancelledError):
            await self._dialling

    def _clocks(self) -> tuple[int, int]:
        return self.run.clocks()

    def _receive(self, frame: contract_pb2.AttachResponse) -> None:
        run = self.run
        if frame.run != run.number:
            return
        envelopes = [from_proto(e, Envelope) for e in frame.envelopes]
        run.hear(frame.clock, frame.now_ns)
        if any(e.session != self.name or e.to_host for e in envelopes):
            raise CallError(grpc.StatusCode.INVALID_ARGUMENT, "perfcore: a frame carries what is not for this KVM")
        run.receive(envelopes)

    def _link_lost(self, why: str) -> None:
        if self.run.number:
            self.run.lose(self.name, self.is_host)
        log().warning("link-lost", session=self.name, peer=self.link.perfcore, reason=why)


def service_handlers(shell: KvmShell) -> list[grpc.GenericRpcHandler]:
    controls = control_handlers(shell, CONTROL, command_types(CONTROL, AnyKvmCommand.__args__), FREE)
    return [*controls, *common_handlers(shell)]
