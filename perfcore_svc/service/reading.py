"""Reading from a stream of a KVM."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import grpc.aio

from contract.wire.status import parse


async def read(context: grpc.aio.ServicerContext, message: type[Any]) -> Any:
    """The next valid message; None at the end of the stream, however it ended."""
    raw = await read_raw(context)
    return None if raw is None else parse(message, raw)


async def read_raw(context: grpc.aio.ServicerContext) -> bytes | None:
    """The next frame; None at the end of the stream, however it ended."""
    with suppress(grpc.aio.BaseError, asyncio.InvalidStateError):
        raw: Any = await context.read()
        return None if raw is grpc.aio.EOF else bytes(raw)
    return None
