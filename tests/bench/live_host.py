"""A host for the round trip benchmark: the perf core's own stream code, taking every message as it arrives; and beside
it a bare echo. Prints its port; ends with its standard input."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable

import grpc
import grpc.aio

from contract.control import ConfigurePerf, MachineSpec
from contract.inbox import Fate
from contract.messages import Envelope
from contract.trace import TraceLog
from contract.wire import options
from contract.wire.shell import Run
from perfcore_svc.core import HostCore
from perfcore_svc.service.servicer import PerfcoreShell, service_handlers
from tests.designs import DESIGNS

ECHO = "/bench.Echo/Echo"


class LiveRun(Run[HostCore]):
    """Every message is taken as it comes; what the core answers goes out at once."""

    shell: LiveShell

    def receive(self, envelopes: Iterable[Envelope]) -> None:
        for envelope in envelopes:
            self.core.inbox.put(envelope)
            self.core.decide(Fate.TAKE, envelope.session, envelope.seq)
        self.shell.send(self, self.core.drain())
        self.core.log.records.clear()


class LiveShell(PerfcoreShell):
    def begin(self) -> None:
        core = HostCore(TraceLog())
        core.command(ConfigurePerf(MachineSpec(), DESIGNS["revoke-gp"], [], ["vm0/0"]))
        run = LiveRun(1, core)
        run.shell = self
        self.run = run


async def _echo(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def main() -> None:
    shell = LiveShell()
    shell.begin()
    server = grpc.aio.server(options=options.SERVER)
    echo = grpc.method_handlers_generic_handler("bench.Echo", {"Echo": grpc.stream_stream_rpc_method_handler(_echo)})
    server.add_generic_rpc_handlers((echo, *service_handlers(shell)))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(main())
