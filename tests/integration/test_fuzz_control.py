"""Raw control requests to real processes: only documented statuses, and what is refused changes nothing.

``test_fuzz.py`` asks far more, of services in its own process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.drive.grpc_service import CONTROLS, Service
from client.drive.pair import Pair
from contract.control import KvmSnapshot, Open, PerfSnapshot, Retire
from contract.wire.codec import to_proto
from lbrlab.v1 import info_pb2, trace_pb2
from tests.designs import MERGED
from tests.integration.story import PATIENT, VCPU, deliver, set_up

TIMEOUT = 5.0
OK = grpc.StatusCode.OK
REFUSED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ABORTED}
EDGES = {
    FieldDescriptor.TYPE_UINT32: st.sampled_from([0, 1, 2, 0x1D9, 2**32 - 1]),
    FieldDescriptor.TYPE_UINT64: st.sampled_from([0, 1, 2, 2**63, 2**64 - 1]),
    FieldDescriptor.TYPE_FIXED64: st.sampled_from([0, 1, 2**64 - 1]),
    FieldDescriptor.TYPE_INT32: st.sampled_from([0, 0, 1, -1, 2**31 - 1, -(2**31)]),
    FieldDescriptor.TYPE_INT64: st.sampled_from([-1, 0, 1, 1_000_000, 2**40]),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_ENUM: st.integers(0, 6),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=8),
}
WORDS = st.sampled_from(["", "t0", VCPU, "h0", "kvm0", "any", "user", "kernel", "jmp", "skylake", "v5.12", "é" * 200])
ASKED = [
    pytest.param(service, method, id=f"{service}-{method.name}")
    for service, (descriptor, _) in CONTROLS.items()
    for method in descriptor.methods
]
FUZZ = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Raw:
    """A run in the middle, and calls of raw bytes to its services."""

    def __init__(self, pair: Pair) -> None:
        self.wire = pair.connect(TIMEOUT, PATIENT)
        self.services = {
            "perfcore": Service("perfcore", pair.perfcore.address, owner=self.wire.owner),
            "kvm": Service("kvm", pair.kvm.address, owner=self.wire.owner),
        }
        self.channels = {name: grpc.insecure_channel(service.address) for name, service in self.services.items()}
        self.begin()

    def begin(self) -> None:
        set_up(self.wire, MERGED)
        self.run = self.services["perfcore"].info(TIMEOUT).run
        self.standing = self.views()
        """The views of both services before the next request: a refused request has not changed them."""

    def call(self, service: str, path: str, request: bytes) -> tuple[grpc.StatusCode, str]:
        method: Callable[..., Any] = self.channels[service].unary_unary(path)
        try:
            method(request, timeout=TIMEOUT)
        except grpc.RpcError as error:
            return error.code(), error.details()
        return OK, ""

    def views(self) -> list[Any]:
        """The snapshots of both services, with their stamps."""
        commands = {"perfcore": PerfSnapshot(), "kvm": KvmSnapshot()}
        return [self.services[name].call(self.run, self.wire.log, c, TIMEOUT) for name, c in commands.items()]

    def close(self) -> None:
        self.wire.close()
        for each in (*self.services.values(), *self.channels.values()):
            each.close()


@pytest.fixture(scope="module")
def raw(pair: Pair) -> Iterator[Raw]:
    raw = Raw(pair)
    yield raw
    raw.close()


def path_of(method: Any) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


@st.composite
def messages(draw: st.DrawFn, descriptor: Descriptor, depth: int = 3) -> Message:
    """Any message of a type, most of its fields set, with values at the edges of sense."""
    content: dict[str, Any] = {}
    chosen = {o.name: draw(st.sampled_from(list(o.fields))).name for o in descriptor.oneofs if o.fields}
    for field in descriptor.fields:
        inside = field.containing_oneof
        if (not depth and field.message_type is not None) or (inside and chosen[inside.name] != field.name):
            continue
        if draw(st.integers(0, 9)) < 9:
            content[field.name] = draw(values(field, depth))
    return GetMessageClass(descriptor)(**content)


@cache
def values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        value = field.message_type.fields_by_name["value"]
        kept = EDGES.get(value.type, WORDS | st.just("none"))
        return st.dictionaries(st.sampled_from(["event", "denial", "passthrough", "colour"]), kept)
    if field.message_type is not None:
        one: st.SearchStrategy[Any] = messages(field.message_type, depth - 1)
    else:
        one = EDGES.get(field.type, WORDS)
    return st.lists(one, max_size=3) if field.is_repeated else one


def check(raw: Raw, outcome: tuple[grpc.StatusCode, str]) -> None:
    """After OK the run may be another one. After a refusal it is unchanged, and both services still answer."""
    code, details = outcome
    assert code is OK or code in REFUSED, outcome
    assert "Traceback" not in details
    if code is OK:
        raw.begin()
    else:
        assert raw.views() == raw.standing


@pytest.mark.parametrize(("service", "method"), ASKED)
def test_any_request(raw: Raw, service: str, method: Any) -> None:
    has_run = st.sampled_from([0, 0, 0, 1, -1])

    @FUZZ
    @given(messages(method.input_type), has_run)
    def holds(request: Any, off: int) -> None:
        if request.HasField("stamp"):
            begins = service == "perfcore" and method.name == "Configure"
            request.stamp.run = off + (0 if begins else raw.run) if off >= 0 or not begins else raw.run
            request.stamp.owner = raw.wire.owner
            request.stamp.clock = min(request.stamp.clock, raw.wire.log.clock)
        if method.name == "Decide":
            request.n = min(request.n, 2)
        check(raw, raw.call(service, path_of(method), request.SerializeToString()))

    holds()


@pytest.mark.parametrize(("service", "method"), ASKED)
def test_random_bytes(raw: Raw, service: str, method: Any) -> None:
    @settings(FUZZ, max_examples=15)
    @given(st.binary(max_size=64))
    def holds(request: bytes) -> None:
        check(raw, raw.call(service, path_of(method), request))

    holds()


@pytest.mark.parametrize("service", CONTROLS)
@pytest.mark.parametrize(
    ("proto", "name", "method"), [(info_pb2, "InfoService", "GetInfo"), (trace_pb2, "TraceService", "GetTrace")]
)
def test_random_bytes_to_what_both_serve(raw: Raw, service: str, proto: Any, name: str, method: str) -> None:
    path = f"/{proto.DESCRIPTOR.services_by_name[name].full_name}/{method}"

    @settings(FUZZ, max_examples=15)
    @given(st.binary(max_size=64))
    def holds(request: bytes) -> None:
        code, details = raw.call(service, path, request)
        assert code is OK or code in REFUSED, (code, details)

    holds()


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (Retire(0, 0), "count: must be greater than 0 and less than or equal to 1000000"),
        (Open("h", 0, config="cycels"), "config: must be in list"),
        (Open("h", 0, branch=["sideways"]), "branch[0]: must be in list"),
        (Open("h", 0, privilege=["root"]), "privilege[0]: must be in list"),
        (Retire(0, 1, "sideways"), "branch: must be in list"),
        (Retire(0, 1, "jmp", "root"), "privilege: must be in list"),
        (Retire(7777, 1), "cpu: must be greater than or equal to 0 and less than or equal to 4096"),
    ],
)
def test_a_broken_rule_names_its_field(raw: Raw, command: Any, field: str) -> None:
    method = CONTROLS["perfcore"][0].methods_by_name[type(command).__name__]
    request: Any = to_proto(command, GetMessageClass(method.input_type))
    request.stamp.run = raw.run
    request.stamp.owner = raw.wire.owner
    code, details = raw.call("perfcore", path_of(method), request.SerializeToString())

    assert (code, details[: len(field)]) == (grpc.StatusCode.INVALID_ARGUMENT, field)


def test_afterwards_the_services_still_work(raw: Raw) -> None:
    raw.begin()
    raw.wire.perf(Retire(0, 3))
    deliver(raw.wire)

    assert [r.seq for r in raw.wire.log.records] == list(range(1, raw.wire.log.clock + 1))
