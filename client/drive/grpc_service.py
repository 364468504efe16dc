"""One service as the driver sees it: its channel, its control methods, its trace. Loads grpc; import it late."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from secrets import token_hex
from typing import Any

import grpc
import msgspec
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from client.drive.command_stream import CommandStream
from contract.control import AnyKvmCommand, AnyPerfCommand
from contract.errors import LbrlabError, RefusedError
from contract.results import AnyResult
from contract.spec import CPUS_LIMIT
from contract.trace import AnyRecord, Recorder
from contract.wire.codec import from_proto, to_proto
from contract.wire.errors import WireValueError
from contract.wire.methods import command_types
from contract.wire.options import CHANNEL
from contract.wire.records import record_from_proto, stamp_of
from contract.wire.refusal import CLOCK, ERRNO
from contract.wire.spans import trace_context
from contract.wire.tls import Identity, tls_of
from lbrlab.v1 import drive_pb2, info_pb2, kvm_control_pb2, lease_pb2, perf_control_pb2, trace_pb2

_RESULTS: dict[str, type[msgspec.Struct]] = {struct.__name__: struct for struct in AnyResult.__args__}
DETAILS_LIMIT = 2000
CODES = {code.value[0]: code for code in grpc.StatusCode}
"""gRPC status codes by number."""
LEASES = lease_pb2.DESCRIPTOR.services_by_name["LeaseService"]
CONTROLS: dict[str, tuple[ServiceDescriptor, tuple[type[msgspec.Struct], ...]]] = {
    "perfcore": (perf_control_pb2.DESCRIPTOR.services_by_name["PerfControlService"], AnyPerfCommand.__args__),
    "kvm": (kvm_control_pb2.DESCRIPTOR.services_by_name["KvmControlService"], AnyKvmCommand.__args__),
}


def _channel(address: str, identity: Identity | None) -> grpc.Channel:
    if identity is None:
        return grpc.insecure_channel(address, options=CHANNEL)
    return grpc.secure_channel(address, identity.channel_credentials(), options=CHANNEL)


class RefusedCallError(RefusedError):
    """A refusal with ``clock``, the service's logical clock after it. If records were made before the refusal, it
    differs from the driver's clock."""

    def __init__(self, message: str, errno: str, clock: int) -> None:
        super().__init__(message, errno)
        self.clock = clock


def printable(text: str) -> str:
    """Text from a service with control characters escaped, safe to print on a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:DETAILS_LIMIT])


def sound(record: AnyRecord) -> AnyRecord:
    """The record, checked. Raises WireValueError if it names a CPU that no machine has, or a time below 0."""
    cpu = getattr(record, "cpu", 0)
    if not (-1 <= cpu < CPUS_LIMIT and record.time >= 0):
        raise WireValueError(f"record {record.seq}: cpu = {cpu}, time = {record.time}")
    return record


class BrokenCallError(LbrlabError):
    """A failed call, which ends the run. ``service`` is the service that was called."""

    def __init__(self, service: str, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{service}: {code.name}: {details}")
        self.service = service
        self.code = code
        self.details = details


class Service:
    """A channel to a service of ``kind`` ("perfcore" or "kvm") at ``address``.

    ``name`` is its name in failures: the kind, if there is only one of that kind. ``host`` is the number of its host.
    ``owner`` is the token of the driver. ``run`` is the service's number for the run. ``met``: it has answered
    before. ``identity``: for mutual TLS."""

    def __init__(
        self, kind: str, address: str, name: str = "", host: int = 0, owner: str = "", identity: Identity | None = None
    ) -> None:
        self.kind = kind
        self.owner = owner or token_hex(16)
        self.run = 0
        self.name = name or kind
        self.host = host
        self.address = address
        self.met = False
        self.identity = tls_of(address, identity)
        self._channel = _channel(address, self.identity)
        self._stream: CommandStream | None = None
        descriptor, commands = CONTROLS[kind]
        methods = {
            struct: descriptor.methods_by_name[name] for name, struct in command_types(descriptor, commands).items()
        }
        self._methods: dict[type, tuple[str, type[Message], type[Message]]] = {
            struct: (method.name, GetMessageClass(method.input_type), GetMessageClass(method.output_type))
            for struct, method in methods.items()
        }
        self._configure = self._method(descriptor, "Configure")[0]
        self._info = self._method(info_pb2.DESCRIPTOR.services_by_name["InfoService"], "GetInfo")[0]
        self._trace = self._method(trace_pb2.DESCRIPTOR.services_by_name["TraceService"], "GetTrace")[0]

    def again(self) -> Service:
        """The same service with a new channel."""
        return Service(self.kind, self.address, self.name, self.host, self.owner, self.identity)

    def _method(self, service: ServiceDescriptor, name: str) -> tuple[Callable[..., Any], type[Message]]:
        method = service.methods_by_name[name]
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        kind = self._channel.unary_stream if method.server_streaming else self._channel.unary_unary
        return kind(f"/{service.full_name}/{name}", request.SerializeToString, response.FromString), request

    def call(self, run: int, log: Recorder, command: msgspec.Struct, timeout: float) -> Any:
        """The response to a command; ``log`` gives the stamp.

        Raises RefusedError, with nothing changed, RefusedCallError, or BrokenCallError.
        """
        method, request_type, response_type = self._methods[type(command)]
        try:
            request = to_proto(command, request_type)
        except WireValueError as error:
            raise RefusedError(str(error)) from None
        request.stamp.CopyFrom(stamp_of(run, log, self.owner, traceparent=trace_context()))  # type: ignore[attr-defined]
        try:
            if method == "Configure":
                self._end_stream()
                response = self._configure(request, timeout=timeout)
            else:
                response = self._on_stream(method, request, response_type, timeout)
        except grpc.RpcError as error:
            raise self._failed(error) from None
        self.met = True
        return response

    def request(self, log: Recorder, command: msgspec.Struct) -> tuple[str, bytes]:
        """The method and the serialized request of a command in a free run."""
        method, request_type, _ = self._methods[type(command)]
        request = to_proto(command, request_type)
        request.stamp.CopyFrom(stamp_of(self.run, log, self.owner, traceparent=trace_context()))  # type: ignore[attr-defined]
        return method, request.SerializeToString()

    def outcome(self, command: msgspec.Struct, outcome: drive_pb2.DriveResponse) -> AnyResult | RefusedError:
        """The result of a command in a free run, or its refusal. Raises WireValueError or BrokenCallError."""
        if outcome.WhichOneof("outcome") == "response":
            result: AnyResult = result_of(self._methods[type(command)][2].FromString(outcome.response))
            return result
        failure = outcome.failure
        metadata = {pair.key: pair.value for pair in failure.metadata}
        told = self._told(CODES.get(failure.code or -1, grpc.StatusCode.UNKNOWN), failure.message, metadata)
        if isinstance(told, RefusedError):
            return told
        raise told

    def _on_stream(self, method: str, request: Message, response: type[Message], timeout: float) -> Message:
        """Send one command on the stream of the run. The first command opens the stream."""
        if self._stream is None or not self._stream.open:
            self._stream = CommandStream(self._channel)
        outcome = self._stream.exchange(method, request.SerializeToString(), timeout)
        if outcome.WhichOneof("outcome") == "response":
            try:
                return response.FromString(outcome.response)
            except DecodeError:
                details = f"these bytes are no {response.DESCRIPTOR.full_name}"
                raise BrokenCallError(self.name, grpc.StatusCode.INTERNAL, details) from None
        failure = outcome.failure
        metadata = {pair.key: pair.value for pair in failure.metadata}
        raise self._told(CODES.get(failure.code or -1, grpc.StatusCode.UNKNOWN), failure.message, metadata)

    def _end_stream(self) -> None:
        if self._stream is not None:
            self._stream.close(cancel=True)
            self._stream = None

    def _failed(self, error: Any) -> LbrlabError:
        return self._told(error.code(), error.details() or "", dict(error.trailing_metadata() or ()))

    def _told(self, code: grpc.StatusCode, details: str, metadata: dict[str, str]) -> LbrlabError:
        """The exception for a status that a service returned."""
        details = printable(details)
        if ERRNO in metadata:
            clock = str(metadata.get(CLOCK, ""))
            if not (clock.isascii() and clock.isdigit()):
                return BrokenCallError(self.name, code, f"refused without a clock ({CLOCK} = {clock!r}): {details}")
            return RefusedCallError(details, metadata[ERRNO], int(clock))
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            return RefusedError(details)
        return BrokenCallError(self.name, code, details)

    def acquire(self, holder: str, timeout: float, *, wait: float = 0.0, take_over: bool = False) -> None:
        """Get the lease of a perf core; wait up to ``wait`` seconds for another driver. Raises BrokenCallError."""
        request = lease_pb2.AcquireRequest(
            owner=self.owner, holder=holder[:128], wait_ms=int(wait * 1000), take_over=take_over
        )
        method = self._method(LEASES, "Acquire")[0]
        try:
            method(request, timeout=wait + timeout)
        except grpc.RpcError as error:
            raise self._failed(error) from None

    def release(self, timeout: float) -> None:
        """Give the lease of a perf core back. If that fails, the lease runs out by itself."""
        with suppress(grpc.RpcError):
            self._method(LEASES, "Release")[0](lease_pb2.ReleaseRequest(owner=self.owner), timeout=timeout)

    def info(self, timeout: float) -> info_pb2.GetInfoResponse:
        """Raises grpc.RpcError."""
        info: info_pb2.GetInfoResponse = self._info(info_pb2.GetInfoRequest(), timeout=timeout)
        self.met = True
        return info

    def trace(self, run: int, since_seq: int, timeout: float) -> list[AnyRecord]:
        """The service's own records, as far as they arrive."""
        records: list[AnyRecord] = []
        try:
            for chunk in self._trace(trace_pb2.GetTraceRequest(run=run, since_seq=since_seq), timeout=timeout):
                records += map(record_from_proto, chunk.records)
        except (grpc.RpcError, WireValueError):
            pass  # The records that arrived are valid.
        return records

    def close(self) -> None:
        self._end_stream()
        self._channel.close()


def result_of(response: Any) -> Any:
    """The result struct of a response; None if the method has no result."""
    field = response.DESCRIPTOR.fields_by_name.get("result")
    return None if field is None else from_proto(response.result, _RESULTS[field.message_type.name])
