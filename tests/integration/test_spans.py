"""The trace context of a driver reaches both services, and a KVM's request to the silicon continues it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from client.drive.pair import Pair
from contract.errors import InputError
from contract.wire import spans
from lbrlab.v1 import trace_pb2
from tests.cases import cases
from tests.designs import REVOKE_GP
from tests.integration.story import tell

TRACE, DRIVER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """``found``: service, name, trace, own id and parent of each span."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str, str, str, str]] = []

    def Export(self, request: trace_service_pb2.ExportTraceServiceRequest, context: object) -> object:
        for each in request.resource_spans:
            (service,) = [a.value.string_value for a in each.resource.attributes if a.key == "service.name"]
            for scope in each.scope_spans:
                for span in scope.spans:
                    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
                    self.found.append((service, span.name, *ids))
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    server, servicer = grpc.server(ThreadPoolExecutor(2)), Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(None)


def test_one_trace_goes_through_driver_kvm_and_perf_core(
    collector: tuple[Collector, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    servicer, address = collector
    monkeypatch.setenv("TRACEPARENT", f"00-{TRACE}-{DRIVER}-01")
    flags = ["--traces", address]
    with Pair(flags={"perfcore": flags, "kvm": flags}) as pair:
        tell(pair.wire, REVOKE_GP)

    assert {trace for _, _, trace, _, _ in servicer.found} == {TRACE}
    of_kvm = {own: name for service, name, _, own, _ in servicer.found if service == "kvm-svc"}
    of_perfcore = [(name, parent) for service, name, _, _, parent in servicer.found if service == "perfcore-svc"]
    parents = {(name, of_kvm.get(parent, parent)) for name, parent in of_perfcore}
    assert ("Retire", DRIVER) in parents
    assert ("Decide", DRIVER) in parents
    assert ("Enter", "StepVcpu") in parents
    assert "Configure" in {name.removesuffix("Kvm") for name in of_kvm.values()}


@cases("given", ["", "x", f"00-{TRACE}-{DRIVER}", f"00-{TRACE}-{DRIVER}-01\n", "0" * 1000])
def test_a_context_that_is_none_is_not_passed_on(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", given)
    assert spans.trace_context() == ""


def test_without_the_setting_a_span_is_an_empty_block() -> None:
    with spans.span("Retire", trace_pb2.Stamp(traceparent=f"00-{TRACE}-{DRIVER}-01"), 1):
        assert spans.current() == ""


def test_without_the_extra_the_setting_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(InputError, match=r"^--traces: expected OpenTelemetry: install lbrlab\[otel\]$"):
        spans.send_to("127.0.0.1:1", "kvm-svc", None)
