"""Commands on one stream: each has the outcome that a call of its own has, and one that is late ends the stream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import grpc
import pytest

from client.drive.command_stream import LOOK_EVERY, CommandStream
from client.drive.grpc_service import CONTROLS, BrokenCallError, Service
from client.drive.pair import Pair
from contract.control import PerfSnapshot, RunTask
from contract.trace import Recorder
from lbrlab.v1 import drive_pb2, perf_control_pb2, trace_pb2
from tests.designs import MERGED
from tests.integration.story import PATIENT, set_up

TIMEOUT = 5.0
SNAPSHOT = perf_control_pb2.PerfControlServiceSnapshotRequest
RUN_TASK = perf_control_pb2.RunTaskRequest
Outcome = tuple[grpc.StatusCode, str, dict[str, str], bytes]


class Perfcore:
    """The perf core in the middle of a run, called both ways."""

    def __init__(self, pair: Pair) -> None:
        self.wire = pair.connect(TIMEOUT, PATIENT)
        set_up(self.wire, MERGED)
        self.channel = grpc.insecure_channel(pair.perfcore.address)
        self.stream = CommandStream(self.channel)
        with_info = Service("perfcore", pair.perfcore.address)
        self.run = with_info.info(TIMEOUT).run
        with_info.close()

    def stamp(self, run: int | None = None) -> trace_pb2.Stamp:
        clock, now = self.wire.log.clock, self.wire.log.now
        return trace_pb2.Stamp(run=run or self.run, clock=clock, now_ns=now, owner=self.wire.owner)

    def on_stream(self, method: str, request: bytes) -> Outcome:
        outcome = self.stream.exchange(method, request, TIMEOUT)
        failure = outcome.failure
        code = next(code for code in grpc.StatusCode if code.value[0] == failure.code)
        return code, failure.message, {pair.key: pair.value for pair in failure.metadata}, outcome.response

    def alone(self, method: str, request: bytes) -> Outcome:
        call: Any = self.channel.unary_unary(f"/{CONTROLS['perfcore'][0].full_name}/{method}")
        try:
            return grpc.StatusCode.OK, "", {}, call(request, timeout=TIMEOUT)
        except grpc.RpcError as error:
            return error.code(), error.details(), dict(error.trailing_metadata()), b""

    def close(self) -> None:
        self.stream.close()
        self.channel.close()
        self.wire.close()


@pytest.fixture
def perfcore(pair: Pair) -> Iterator[Perfcore]:
    made = Perfcore(pair)
    yield made
    made.close()


def test_an_outcome_is_that_of_a_call_of_its_own(perfcore: Perfcore) -> None:
    asked = {
        "answered": ("Snapshot", SNAPSHOT(stamp=perfcore.stamp()).SerializeToString()),
        "refused": ("RunTask", RUN_TASK(stamp=perfcore.stamp(), task="nobody").SerializeToString()),
        "another run": ("Snapshot", SNAPSHOT(stamp=perfcore.stamp(run=perfcore.run + 1)).SerializeToString()),
        "a rule broken": ("RunTask", RUN_TASK(stamp=perfcore.stamp(), cpu=-1).SerializeToString()),
        "no stamp": ("Snapshot", b""),
        "no message": ("RunTask", b"\xff"),
    }
    found = {name: perfcore.on_stream(*request) for name, request in asked.items()}
    assert found == {name: perfcore.alone(*request) for name, request in asked.items()}
    assert [code.name for code, *_ in found.values()] == [
        "OK",
        "FAILED_PRECONDITION",
        "ABORTED",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
        "INVALID_ARGUMENT",
    ]


def test_an_unknown_method_fails_and_the_stream_goes_on(perfcore: Perfcore) -> None:
    assert perfcore.on_stream("Explode", b"")[:2] == (
        grpc.StatusCode.UNIMPLEMENTED,
        "there is no method 'Explode'",
    )
    assert perfcore.on_stream("Snapshot", SNAPSHOT(stamp=perfcore.stamp()).SerializeToString())[0].name == "OK"


def test_a_frame_that_breaks_a_rule_ends_the_stream(perfcore: Perfcore) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        perfcore.stream.exchange("", b"", TIMEOUT)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not perfcore.stream.open


class Stub:
    """A service whose stream answers the first ``answers`` requests with ``answer`` and ends; None: never."""

    def __init__(self, answer: drive_pb2.DriveResponse | None, answers: int = 9) -> None:
        self.answer = answer
        self.answers = answers
        self.over = Event()
        self.server = grpc.server(ThreadPoolExecutor(2))
        handler = grpc.stream_stream_rpc_method_handler(
            self.drive, drive_pb2.DriveRequest.FromString, drive_pb2.DriveResponse.SerializeToString
        )
        generic = grpc.method_handlers_generic_handler("lbrlab.v1.DriveService", {"Drive": handler})
        self.server.add_generic_rpc_handlers((generic,))
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def drive(self, requests: Any, context: grpc.ServicerContext) -> Iterator[drive_pb2.DriveResponse]:
        for _ in zip(range(self.answers), requests, strict=False):
            if self.answer is None:
                self.over.wait(TIMEOUT)
                return
            yield self.answer

    def close(self) -> None:
        self.over.set()
        self.server.stop(None)


@pytest.fixture
def stub(request: pytest.FixtureRequest) -> Iterator[Stub]:
    made = Stub(request.param)
    yield made
    made.close()


@pytest.mark.parametrize("stub", [None], indirect=True, ids=["silent"])
def test_an_answer_that_does_not_come_in_time_ends_the_stream(stub: Stub) -> None:
    service = Service("perfcore", stub.address)
    with pytest.raises(BrokenCallError) as caught:
        service.call(1, Recorder(), RunTask("", 0), 0.2)
    service.close()
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("stub", [drive_pb2.DriveResponse(response=b"")], indirect=True, ids=["prompt"])
def test_a_stream_that_is_idle_for_longer_than_an_answer_may_take_stays_open(stub: Stub) -> None:
    with grpc.insecure_channel(stub.address) as channel:
        stream = CommandStream(channel)
        stream.exchange("Snapshot", b"", 0.3)
        time.sleep(0.3 + 3 * LOOK_EVERY)
        assert stream.open
        stream.exchange("Snapshot", b"", TIMEOUT)
        stream.close()


def test_a_stream_that_the_service_ends_is_unavailable() -> None:
    stub = Stub(drive_pb2.DriveResponse(response=b""), answers=1)
    with grpc.insecure_channel(stub.address) as channel:
        stream = CommandStream(channel)
        stream.exchange("Snapshot", b"", TIMEOUT)
        with pytest.raises(grpc.RpcError) as caught:
            stream.exchange("Snapshot", b"", TIMEOUT)
        assert (caught.value.code(), caught.value.details()) == (
            grpc.StatusCode.UNAVAILABLE,
            "the stream of commands ended",
        )
        assert not stream.open
    stub.close()


@pytest.mark.parametrize("stub", [drive_pb2.DriveResponse(response=b"\xff")], indirect=True, ids=["no message"])
def test_an_answer_that_is_no_message_is_the_failure_of_the_service(stub: Stub) -> None:
    service = Service("perfcore", stub.address)
    with pytest.raises(BrokenCallError, match=r"these bytes are no lbrlab.v1.PerfControlServiceSnapshotResponse"):
        service.call(1, Recorder(), PerfSnapshot(), TIMEOUT)
    service.close()


@pytest.mark.parametrize(
    "stub",
    [drive_pb2.DriveResponse(failure={"code": 99, "message": "\x1b[2J"}), drive_pb2.DriveResponse()],
    indirect=True,
    ids=["odd code", "no outcome"],
)
def test_an_unknown_status_is_unknown(stub: Stub) -> None:
    service = Service("perfcore", stub.address)
    with pytest.raises(BrokenCallError) as caught:
        service.call(1, Recorder(), PerfSnapshot(), TIMEOUT)
    service.close()
    assert (caught.value.code, "\x1b" in caught.value.details) == (grpc.StatusCode.UNKNOWN, False)
