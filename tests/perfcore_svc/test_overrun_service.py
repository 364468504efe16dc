"""A KVM whose epoch is over because it acknowledged nothing, and its service, without sockets (R26)."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from contract.control import ConfigurePerf, MachineSpec, RunTask
from contract.messages import OVERRUN, PROTOCOL_VERSION, AnyMessage, Envelope, Hello, RegisterVcpu
from contract.network import Fate
from contract.wire.codec import to_proto
from contract.wire.limits import Limits
from contract.wire.methods import Decide
from contract.wire.metrics import Metrics
from lbrlab.v1 import contract_pb2, lease_pb2, trace_pb2
from perfcore_svc.service.servicer import SERVICES, PerfcoreShell, service_handlers
from tests.designs import FENCED
from tests.integration.in_process import Aborted, Context, Service
from tests.lines import Lines

KVM, VCPU = "kvm0", "vm0/0"
STAMP = trace_pb2.Stamp(run=1, owner="me")
LIMIT = 64


class Silent:
    """A KVM of run 1 that acknowledges nothing, and whose epoch the host has given up."""

    def __init__(self, shell: PerfcoreShell) -> None:
        self.shell = shell
        self.context = Context()
        service = Service(service_handlers(shell), SERVICES)
        self.stream = service.stream("/lbrlab.v1.ContractService/Attach", self.context)

    async def begin(self) -> None:
        shell = self.shell
        await shell.configure(trace_pb2.Stamp(owner="me"), ConfigurePerf(MachineSpec(), FENCED, [], [VCPU]))
        self.write(contract_pb2.AttachRequest(kvm=KVM, protocol=PROTOCOL_VERSION))
        first = contract_pb2.AttachResponse.FromString(await self.context.outgoing.get())
        await shell.prolong(lease_pb2.ProlongRequest(stamp=STAMP, kvm=KVM, token=first.token))
        await self.say(1, Hello(KVM), RegisterVcpu(VCPU, VCPU))
        session = shell.run.core.endpoint.sessions[KVM]
        while not session.gave_up:
            for task in (VCPU, ""):
                await shell.command(STAMP, RunTask(task, 0))

    async def say(self, epoch: int, *bodies: AnyMessage) -> None:
        envelopes = [Envelope(KVM, True, epoch, n, body, n) for n, body in enumerate(bodies, 1)]
        said = [to_proto(envelope, contract_pb2.Envelope) for envelope in envelopes]
        self.write(contract_pb2.AttachRequest(kvm=KVM, run=1, envelopes=said))
        for envelope in envelopes:
            await self.shell.decide(STAMP, Decide(KVM, envelope.seq, Fate.TAKE))

    def write(self, frame: contract_pb2.AttachRequest) -> None:
        self.context.incoming.put_nowait(frame.SerializeToString())


@pytest.fixture
async def kvm() -> Silent:
    return Silent(PerfcoreShell(limits=Limits(unsent=LIMIT)))


async def test_it_is_counted_and_has_a_line(kvm: Silent, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines(monkeypatch)
    metrics = kvm.shell.metrics = Metrics(kvm.shell)
    await kvm.begin()

    assert metrics.registry.get_sample_value("lbrlab_sessions_overrun_total") == 1
    assert lines.of("session-overrun") == [
        {
            "event": "session-overrun", "session": KVM, "run": 1, "epoch": 1,
            "reason": "limit unsent: more than 64 messages wait",
        }
    ]  # fmt: skip
    kvm.stream.cancel()


async def test_it_is_told_and_then_loses_its_stream(kvm: Silent) -> None:
    kvm.shell.pardon = 0
    await kvm.begin()
    with pytest.raises(Aborted) as ended:
        async with asyncio.timeout(10):
            await kvm.stream

    assert ended.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ended.value.details == (
        "limit unsent: more than 64 messages wait, since kvm0 acknowledges nothing (--max-unsent)"
    )
    assert kvm.shell.attached == {}
    assert kvm.shell.run.failed is None
    frames = [kvm.context.outgoing.get_nowait() for _ in range(kvm.context.outgoing.qsize())]
    said = [e for frame in frames for e in contract_pb2.AttachResponse.FromString(frame).envelopes]
    assert [e.welcome.reason for e in said if e.HasField("welcome")][-1] == OVERRUN


async def test_one_that_begins_a_new_epoch_in_time_keeps_it(kvm: Silent) -> None:
    kvm.shell.pardon = 0.05
    await kvm.begin()
    await kvm.say(2, Hello(KVM, continues=True))
    await asyncio.sleep(0.1)

    assert not kvm.stream.done()
    assert list(kvm.shell.attached) == [KVM]
    kvm.stream.cancel()


async def test_the_next_run_lets_it_begin_afresh(kvm: Silent) -> None:
    kvm.shell.pardon = 0.05
    await kvm.begin()
    await kvm.shell.configure(trace_pb2.Stamp(owner="me"), ConfigurePerf(MachineSpec(), FENCED, [], [VCPU]))
    await asyncio.sleep(0.1)

    assert list(kvm.shell.attached) == [KVM]
    kvm.stream.cancel()
