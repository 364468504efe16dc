"""The failure of a call: one exception for the services, and the handling of every other exception.

No traceback reaches a caller. An unforeseen error is INTERNAL with its type and message, and is logged once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from contract.errors import LbrlabError, LimitError, RefusedError
from contract.wire.errors import WireValueError
from contract.wire.field_rules import keeps_rules, too_long
from contract.wire.log import PEER, log
from contract.wire.pace import pace
from contract.wire.refusal import CLOCK, ERRNO, NOW
from contract.wire.scan import crowded

M = TypeVar("M", bound=Message)
Handler = Callable[[Any], Awaitable[Message]]
STREAM = 0.01
"""Seconds that a stream which ends with an error counts as work: what opened and filled it is not measured."""
TEXT_LIMIT = 1024
"""Characters of a text that says why something failed, as in the schema. A longer one is cut: its end could carry
anything that a peer has sent, and gRPC refuses statuses of more than some kilobytes."""


class CallError(LbrlabError):
    """A call ends with this gRPC status."""

    def __init__(self, code: grpc.StatusCode, message: str, metadata: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = shortened(message)
        self.metadata = metadata

    async def wait(self, context: grpc.aio.ServicerContext, spent: float = 0.0) -> None:
        """Wait for the caller's lane, unless this is what a driver has to expect from a core: a refusal."""
        if self.code is not grpc.StatusCode.FAILED_PRECONDITION:
            await pace(context, spent)


def shortened(text: str) -> str:
    """The text, or its beginning and "..." if it has more than TEXT_LIMIT characters."""
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 3] + "..."


def refusal(error: RefusedError, clock: int, now: int) -> CallError:
    """A core's refusal, with the data that the driver needs to raise it again."""
    metadata = (ERRNO, error.errno), (CLOCK, str(clock)), (NOW, str(now))
    beyond = isinstance(error, LimitError)
    code = grpc.StatusCode.RESOURCE_EXHAUSTED if beyond else grpc.StatusCode.FAILED_PRECONDITION
    return CallError(code, str(error), metadata)


def unexpected(error: Exception, doing: str) -> CallError:
    """INTERNAL for an unforeseen error, which is logged."""
    log().error("internal-error", doing=doing, error=f"{type(error).__name__}: {error}", exc_info=error)
    return CallError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")


def parse(message: type[M], raw: bytes) -> M:
    """A valid message, or CallError INVALID_ARGUMENT naming the field that breaks a rule."""
    if why := crowded(message.DESCRIPTOR, raw):
        raise CallError(grpc.StatusCode.INVALID_ARGUMENT, why)
    try:
        made = message.FromString(raw)
    except DecodeError:
        name = message.DESCRIPTOR.full_name
        raise CallError(grpc.StatusCode.INVALID_ARGUMENT, f"these bytes are no {name}") from None
    if keeps_rules(made):
        return made
    if why := too_long(made):
        raise CallError(grpc.StatusCode.INVALID_ARGUMENT, why)
    from contract.wire.violations import violations  # a third of the start of a service, and seldom needed

    if why := violations(made):
        raise CallError(grpc.StatusCode.INVALID_ARGUMENT, why)
    return made


def unary(request: type[Message], handler: Handler) -> grpc.RpcMethodHandler:
    """A handler that takes a valid ``request`` and raises CallError if the call fails."""

    async def call(raw: bytes, context: grpc.aio.ServicerContext) -> Message | None:
        PEER.set(context.peer())
        outcome = await attempt(request, handler, raw)
        if isinstance(outcome, CallError):
            await outcome.wait(context)
            await context.abort(outcome.code, outcome.message, outcome.metadata)
            return None
        return outcome

    return grpc.unary_unary_rpc_method_handler(call, None, _serialized)


async def attempt(request: type[Message], handler: Handler, raw: bytes) -> Message | CallError:
    """The response to a serialized request, or the status with which the call fails."""
    try:
        return await handler(parse(request, raw))
    except CallError as error:
        return error
    except WireValueError as error:
        return CallError(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    except Exception as error:
        return unexpected(error, request.DESCRIPTOR.name)


def unary_stream(request: type[Message], handler: Callable[[Any], AsyncIterator[Message]]) -> grpc.RpcMethodHandler:
    async def call(raw: bytes, context: grpc.aio.ServicerContext) -> None:
        PEER.set(context.peer())
        failure: CallError
        try:
            async for message in handler(parse(request, raw)):
                await context.write(message)
            return
        except CallError as error:
            failure = error
        except Exception as error:
            failure = unexpected(error, request.DESCRIPTOR.name)
        await failure.wait(context)
        await context.abort(failure.code, failure.message, failure.metadata)

    return grpc.unary_stream_rpc_method_handler(call, None, _serialized)


def stream_stream(handler: Callable[[grpc.aio.ServicerContext], Awaitable[None]], doing: str) -> grpc.RpcMethodHandler:
    """A handler that reads raw messages from the context and writes messages to it."""

    async def call(_: object, context: grpc.aio.ServicerContext) -> None:
        PEER.set(context.peer())
        failure: CallError
        try:
            await handler(context)
            return
        except CallError as error:
            failure = error
        except (grpc.aio.BaseError, asyncio.InvalidStateError):
            return  # The peer is gone. The handler has told the other side of the run.
        except Exception as error:
            failure = unexpected(error, doing)
        await failure.wait(context, STREAM)
        await context.abort(failure.code, failure.message, failure.metadata)

    return grpc.stream_stream_rpc_method_handler(call, None, _serialized)


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
