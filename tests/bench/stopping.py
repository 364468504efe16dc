"""From SIGTERM to the exit of a service: idle, while a driver plays, with a silent driver, with many open streams."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from client.drive.grpc_service import BrokenCallError
from client.drive.grpc_wire import GrpcWire
from client.drive.pair import Child, Pair
from contract.control import Retire, RunTask
from contract.errors import LbrlabError
from contract.machine import Branch, Wrmsr
from contract.x86 import IA32_DEBUGCTL
from lbrlab.v1 import trace_pb2
from tests.bench.figures import Figure, median, spread
from tests.designs import FENCED
from tests.integration.story import VCPU, guest, host, set_up

ROUNDS = 5
STREAMS = 100


@contextmanager
def idle(pair: Pair, child: Child) -> Iterator[None]:
    yield


@contextmanager
def driven(pair: Pair, child: Child) -> Iterator[None]:
    """A driver plays, and delivers the messages with which the sessions end."""
    begun = threading.Event()

    def play() -> None:
        with suppress(LbrlabError, BrokenCallError):
            set_up(pair.wire, FENCED)
            host(pair.wire, RunTask(VCPU, 0))
            guest(pair.wire, Wrmsr(IA32_DEBUGCTL, 1))
            while True:
                guest(pair.wire, Branch(3))
                host(pair.wire, Retire(0, 2))
                begun.set()

    player = threading.Thread(target=play)
    player.start()
    begun.wait(30)
    yield
    player.join(30)


@contextmanager
def silent_driver(pair: Pair, child: Child) -> Iterator[None]:
    """The driver of a run gives no more commands, so nobody delivers the messages."""
    set_up(pair.wire, FENCED)
    yield


@contextmanager
def watched(pair: Pair, child: Child) -> Iterator[None]:
    """Streams that their peers keep open: watchers of health, and readers of a trace that read nothing."""
    wire: GrpcWire = pair.wire
    set_up(wire, FENCED)
    for _ in range(300):
        host(wire, Retire(0, 2))
    with ExitStack() as stack:
        channel = stack.enter_context(grpc.insecure_channel(child.address))
        calls: list[Any] = []
        for _ in range(STREAMS):
            calls.append(health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()))
        for call in calls:
            next(call)
        trace = channel.unary_stream("/lbrlab.v1.TraceService/GetTrace", trace_pb2.GetTraceRequest.SerializeToString)
        calls += [trace(trace_pb2.GetTraceRequest(run=1)) for _ in range(10)]
        yield
        for call in calls:
            call.cancel()


SERVICES = ("perfcore", "kvm")
LOADS: dict[str, Callable[[Pair, Child], AbstractContextManager[None]]] = {
    "idle": idle,
    "run at full speed": driven,
    "run, silent driver": silent_driver,
    f"{STREAMS + 10} streams": watched,
}


def figures() -> list[Figure]:
    found = []
    for service in SERVICES:
        for name, load in LOADS.items():
            times, statuses = [], set()
            for _ in range(ROUNDS):
                with Pair() as pair:
                    child: Child = getattr(pair, service)
                    with load(pair, child):
                        begin = time.perf_counter()
                        child.process.terminate()
                        statuses.add(child.process.wait(10))
                        times.append(time.perf_counter() - begin)
            note = f"{spread(times, 's')}, exit {', '.join(map(str, sorted(statuses)))}"
            found.append(Figure(f"SIGTERM, {service}, {name}", median(times), "s", "under 3", note))
    return found
