"""Who is let in: the number of streams and calls of each peer, and of all together.

A peer that is refused waits for its answer: one that asks again and again would otherwise keep the service busy with
refusals. Health and GetInfo are for everyone, so that a busy service can still be looked at; who asks often waits.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from contract.wire.limits import Limits, exceeded
from contract.wire.log import log
from contract.wire.pace import pace
from contract.wire.source import source_of

FREE = frozenset({"/lbrlab.v1.InfoService/GetInfo", "/grpc.health.v1.Health/Check"})
PAUSE = 0.5
"""Seconds until a refusal is said."""
_KINDS = "unary_unary", "unary_stream", "stream_unary", "stream_stream"

Handle = Callable[..., Any]
Handlers = Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]]


class Gate:
    """The open streams, or the calls under way. ``kind``: "streams" or "calls"."""

    def __init__(self, kind: str, most: int, most_of_a_peer: int) -> None:
        self.kind = kind
        self.most = most
        self.most_of_a_peer = most_of_a_peer
        self.open: Counter[str] = Counter()
        self.total = 0

    def refusal(self, source: str) -> str:
        """Why one more of this peer is refused, "" if it is not."""
        if self.open[source] >= self.most_of_a_peer:
            return exceeded(f"peer-{self.kind}", self.most_of_a_peer, source)
        if self.total >= self.most:
            return exceeded(self.kind, self.most, "this service")
        return ""

    def enter(self, source: str) -> None:
        self.open[source] += 1
        self.total += 1

    def leave(self, source: str) -> None:
        self.total -= 1
        self.open[source] -= 1
        if not self.open[source]:
            del self.open[source]


def _paced(call: Handle) -> Handle:
    async def paced(request: Any, context: grpc.aio.ServicerContext) -> Any:
        await pace(context)
        return await call(request, context)

    return paced


class CallAdmission(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Counts every call to a server, also to health and reflection."""

    def __init__(self, limits: Limits) -> None:
        self.streams = Gate("streams", limits.streams, limits.peer_streams)
        self.calls = Gate("calls", limits.calls, limits.peer_calls)
        self._told: set[tuple[str, str]] = set()
        """Peers and gates whose refusals are in the log: until the peer has nothing open there."""
        self._guarded: dict[str, grpc.RpcMethodHandler] = {}

    async def intercept_service(
        self, continuation: Handlers, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        method = handler_call_details.method
        if (known := self._guarded.get(method)) is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        if method in FREE:
            self._guarded[method] = handler._replace(unary_unary=_paced(handler.unary_unary))
            return self._guarded[method]
        gate = self.streams if handler.request_streaming or handler.response_streaming else self.calls
        made = {kind: self._counted(gate, call) for kind in _KINDS if (call := getattr(handler, kind)) is not None}
        self._guarded[method] = handler._replace(**made)
        return self._guarded[method]

    def _counted(self, gate: Gate, call: Handle) -> Handle:
        async def counted(request: Any, context: grpc.aio.ServicerContext) -> Any:
            async with self._admitted(gate, context):
                return await call(request, context)

        async def counted_generator(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
            async with self._admitted(gate, context):
                async for response in call(request, context):
                    yield response

        return counted_generator if inspect.isasyncgenfunction(call) else counted

    @asynccontextmanager
    async def _admitted(self, gate: Gate, context: grpc.aio.ServicerContext) -> AsyncIterator[None]:
        source = source_of(context)
        if why := gate.refusal(source):
            if (source, gate.kind) not in self._told and len(self._told) < gate.most:
                self._told.add((source, gate.kind))
                log().warning("limit-reached", peer=context.peer(), reason=why)
            await asyncio.sleep(PAUSE)
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, why)
        gate.enter(source)
        try:
            yield
        finally:
            gate.leave(source)
            if source not in gate.open:
                self._told.discard((source, gate.kind))
