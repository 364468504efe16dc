"""A service that answers nonsense: the driver names it and ends with SystemFailedError, whatever it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from client.drive.grpc_wire import GrpcWire
from contract.control import ConfigurePerf, MachineSpec
from contract.errors import SystemFailedError
from contract.messages import PROTOCOL_VERSION
from contract.wire.refusal import CLOCK, ERRNO
from lbrlab.v1 import info_pb2, lease_pb2, perf_control_pb2, trace_pb2
from tests.designs import MERGED

Answer = Callable[[grpc.ServicerContext], Any]


def records(*made: trace_pb2.TraceRecord) -> Answer:
    stamp = trace_pb2.Stamp(run=1, clock=len(made))
    return lambda _: perf_control_pb2.PerfControlServiceConfigureResponse(stamp=stamp, records=made)


def record(content: bytes) -> trace_pb2.TraceRecord:
    return trace_pb2.TraceRecord(seq=1, json=content)


def switch(cpu: int) -> bytes:
    return json.dumps({"kind": "switch", "seq": 1, "time": 0, "cpu": cpu, "prev": "", "next": "t0"}).encode()


def refuses(*metadata: tuple[str, str], details: str = "no") -> Answer:
    def answer(context: grpc.ServicerContext) -> Any:
        context.set_trailing_metadata(metadata)
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, details)

    return answer


LIES: dict[str, tuple[Answer, str]] = {
    "no JSON": (records(record(b"{")), "its answer cannot be read"),
    "unknown kind": (records(record(b'{"kind": "miracle", "seq": 1}')), "its answer cannot be read"),
    "impossible CPU": (records(record(switch(-7))), "its answer cannot be read: record 1: cpu = -7"),
    "no clock": (refuses((ERRNO, "ESRCH")), "refused without a clock"),
    "odd clock": (refuses((ERRNO, "ESRCH"), (CLOCK, "soon")), "refused without a clock"),
    "escapes": (refuses(details="\x1b[2J"), r"\\x1b\[2J"),
}


class Liar:
    """Both services at one address; Configure answers as told."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.server = grpc.server(ThreadPoolExecutor(2))
        self.kind = iter(("perfcore", "kvm", "perfcore", "kvm"))
        self._add("InfoService", "GetInfo", info_pb2.GetInfoRequest, lambda _: self.info())
        self._add("LeaseService", "Acquire", lease_pb2.AcquireRequest, lambda _: lease_pb2.AcquireResponse())
        self._add("LeaseService", "Release", lease_pb2.ReleaseRequest, lambda _: lease_pb2.ReleaseResponse())
        configure = perf_control_pb2.PerfControlServiceConfigureRequest
        self._add("PerfControlService", "Configure", configure, lambda context: self.answer(context))
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def _add(self, service: str, method: str, request: Any, answer: Answer) -> None:
        handler = grpc.unary_unary_rpc_method_handler(
            lambda _, context: answer(context), request.FromString, lambda made: made.SerializeToString()
        )
        generic = grpc.method_handlers_generic_handler(f"lbrlab.v1.{service}", {method: handler})
        self.server.add_generic_rpc_handlers((generic,))

    def info(self) -> info_pb2.GetInfoResponse:
        return info_pb2.GetInfoResponse(
            service=next(self.kind), protocol_version=PROTOCOL_VERSION, run=2**64 - 1, run_failed=""
        )


@pytest.fixture
def liar(request: pytest.FixtureRequest) -> Iterator[Liar]:
    liar = Liar(LIES[request.param][0])
    yield liar
    liar.server.stop(None)


@pytest.mark.parametrize(("liar", "said"), [(name, said) for name, (_, said) in LIES.items()], indirect=["liar"])
def test_a_lie_is_the_failure_of_the_service_that_tells_it(liar: Liar, said: str) -> None:
    wire = GrpcWire(liar.address, liar.address)
    with pytest.raises(SystemFailedError, match=said) as caught:
        wire.perf(ConfigurePerf(MachineSpec(), MERGED, [], []))
    wire.close()

    assert caught.value.service == "perfcore"
    assert "\x1b" not in str(caught.value)
