"""A host for the round trip benchmark: the perf core's own stream code, taking every message as it arrives; and beside
it a bare echo. Prints its port; ends with its standard input."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable

import grpc
import grpc.aio

from contract.control import ConfigurePerf, MachineSpec
from contract.messages import Envelope
from contract.wire import options
from contract.wire.service_run import ServiceRun
from lbrlab.v1 import contract_pb2
from perfcore_svc.core import HostCore
from perfcore_svc.service.servicer import PerfcoreShell, service_handlers
from tests.designs import DESIGNS

ECHO = "/bench.Echo/Echo"
REBUILT = "/bench.Echo/Rebuilt"
VCPU = "vm0/0"


OWNER = "bench"
"""The token of the driver."""


class LiveRun(ServiceRun[HostCore]):
    """Every message is taken as it comes; what the core answers goes out at once."""

    shell: LiveShell

    def receive(self, envelopes: Iterable[Envelope]) -> None:
        for envelope in envelopes:
            self.shell.done(self, self.core.take(envelope, self.log.now))
        self.log.records.clear()


class LiveShell(PerfcoreShell):
    def begin(self) -> None:
        run = LiveRun(1, OWNER)
        run.core = HostCore.configured(ConfigurePerf(MachineSpec(), DESIGNS["revoke-gp"], [], [VCPU]))
        run.shell = self
        self.run = run


async def _echo(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def _rebuilt(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
    """An echo that parses each frame and builds one of the same size as the contract's answer."""
    async for request in requests:
        made = contract_pb2.AttachRequest.FromString(request)
        answers = [
            {"session": e.session, "epoch": e.epoch, "seq": e.seq, "event_created": _answer(e)} for e in made.envelopes
        ]
        yield contract_pb2.AttachResponse(kvm=made.kvm, run=made.run, envelopes=answers).SerializeToString()


def _answer(envelope: contract_pb2.Envelope) -> dict[str, object]:
    asked = envelope.create_event
    return {"vcpu": asked.vcpu, "request": asked.request, "event": 1, "state": "ACTIVE", "grant": 1}


async def main() -> None:
    shell = LiveShell()
    shell.begin()
    server = grpc.aio.server(options=options.SERVER)
    echoes = {"Echo": _echo, "Rebuilt": _rebuilt}
    methods = {name: grpc.stream_stream_rpc_method_handler(echo) for name, echo in echoes.items()}
    echo = grpc.method_handlers_generic_handler("bench.Echo", methods)
    server.add_generic_rpc_handlers((echo, *service_handlers(shell)))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(main())
