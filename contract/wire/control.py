"""The control services: every method is a command of the same form, so one table makes all handlers.

A driver calls the methods one by one, or all on one stream (DriveService), which costs half.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import grpc
import grpc.aio
import msgspec
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from contract.wire.access import guarded
from contract.wire.codec import from_proto, to_proto
from contract.wire.live import serve_live
from contract.wire.methods import Decide
from contract.wire.shell import Shell
from contract.wire.status import CallError, Handler, attempt, parse, stream_stream, unary, unary_stream
from lbrlab.v1 import drive_pb2, info_pb2, live_pb2, trace_pb2

INFO = info_pb2.DESCRIPTOR.services_by_name["InfoService"]
DRIVE = drive_pb2.DESCRIPTOR.services_by_name["DriveService"]
TRACE = trace_pb2.DESCRIPTOR.services_by_name["TraceService"]
LIVE = live_pb2.DESCRIPTOR.services_by_name["LiveService"]


def control_handlers(
    shell: Shell[Any],
    service: ServiceDescriptor,
    commands: Mapping[str, type[msgspec.Struct]],
    free: Iterable[str],
) -> list[grpc.GenericRpcHandler]:
    """Handlers of the control service, of the stream that carries its methods, and of free runs. ``commands`` maps each
    method, except Decide, to the command that it carries. ``free``: the methods of a free run."""
    methods = {
        method.name: (GetMessageClass(method.input_type), _handler(shell, method, commands))
        for method in service.methods
    }
    calls = {method: unary(*methods[method.name]) for method in service.methods}
    drive = stream_stream(lambda context: serve_commands(shell, context, methods), "Drive")
    table = {name: (service.methods_by_name[name], commands[name]) for name in free}
    live = stream_stream(lambda context: serve_live(shell, context, table), "Live")
    return [
        handlers(service, calls),
        handlers(DRIVE, {DRIVE.methods_by_name["Drive"]: drive}),
        handlers(LIVE, {LIVE.methods_by_name["Live"]: live}),
    ]


async def serve_commands(
    shell: Shell[Any], context: grpc.aio.ServicerContext, methods: Mapping[str, tuple[type[Message], Handler]]
) -> None:
    closing = asyncio.create_task(shell.closing.wait())
    shell.drivers += 1
    try:
        while (raw := await _next(context, closing)) is not grpc.aio.EOF:
            frame = parse(drive_pb2.DriveRequest, raw)
            if frame.method in methods:
                outcome = await attempt(*methods[frame.method], frame.request)
            else:
                outcome = CallError(grpc.StatusCode.UNIMPLEMENTED, f"there is no method {frame.method!r}")
            if isinstance(outcome, CallError):
                await outcome.wait(context)
            await context.write(_response(outcome))
    finally:
        shell.drivers -= 1
        closing.cancel()


async def _next(context: grpc.aio.ServicerContext, closing: asyncio.Task[Any]) -> Any:
    """The next request, or None at the end of the stream. A service that is about to end also ends the stream."""
    reading = asyncio.ensure_future(context.read())
    await asyncio.wait((reading, closing), return_when=asyncio.FIRST_COMPLETED)
    if reading.done():
        return reading.result()
    reading.cancel()
    return grpc.aio.EOF


def _response(outcome: Message | CallError) -> drive_pb2.DriveResponse:
    if isinstance(outcome, CallError):
        metadata = [{"key": key, "value": value} for key, value in outcome.metadata]
        failure = {"code": outcome.code.value[0], "message": outcome.message, "metadata": metadata}
        return drive_pb2.DriveResponse(failure=failure)
    return drive_pb2.DriveResponse(response=outcome.SerializeToString())


def common_handlers(shell: Shell[Any]) -> list[grpc.GenericRpcHandler]:
    """InfoService and TraceService."""
    return [
        handlers(INFO, {INFO.methods_by_name["GetInfo"]: unary(info_pb2.GetInfoRequest, shell.info)}),
        handlers(TRACE, {TRACE.methods_by_name["GetTrace"]: unary_stream(trace_pb2.GetTraceRequest, shell.trace)}),
    ]


def handlers(
    service: ServiceDescriptor, made: Mapping[MethodDescriptor, grpc.RpcMethodHandler]
) -> grpc.GenericRpcHandler:
    """The methods of a service, each for the roles that may call it."""
    return grpc.method_handlers_generic_handler(service.full_name, {m.name: guarded(m, h) for m, h in made.items()})


def _handler(shell: Shell[Any], method: MethodDescriptor, commands: Mapping[str, type[Any]]) -> Handler:
    struct = commands[method.name]
    response = GetMessageClass(method.output_type)
    answer = method.output_type.fields_by_name.get("result")
    result_type = GetMessageClass(answer.message_type) if answer and answer.message_type else None
    perform: Callable[..., Any] = shell.command
    if method.name == "Configure":
        perform = shell.configure
    elif struct is Decide:
        perform = shell.decide

    async def handle(request: Any) -> Message:
        run, result, block = await perform(request.stamp, from_proto(request, struct))
        content: dict[str, Any] = {} if result_type is None else {"result": to_proto(result, result_type)}
        return response(stamp=shell.stamp(run), records=block.records, **content)

    return handle
