"""The contract stream of one KVM, as the perf core keeps it."""

from __future__ import annotations

import asyncio
from secrets import token_hex
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from contract.messages import Envelope
from contract.wire.codec import content_maker, from_proto
from contract.wire.service_run import ServiceRun
from contract.wire.source import source_of
from contract.wire.status import CallError
from contract.wire.stream import FrameWriter
from lbrlab.v1 import contract_pb2
from perfcore_svc.core import HostCore

if TYPE_CHECKING:
    from perfcore_svc.service.servicer import PerfcoreShell

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
