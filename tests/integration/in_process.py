"""Both services below gRPC, in one event loop: their handlers are called with serialized requests.

Everything above the transport is the services' own code: roles, validation, streams, the link of KVM to the perf core.
A call costs a tenth of one over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from contract.wire.shell import Shell
from kvm_svc.service import servicer as kvm
from kvm_svc.service.link import Link
from perfcore_svc.service import servicer as perfcore

_peers = count(1)


class Aborted(Exception):
    """A call that the service ended."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details


class Context:
    """The service's end of a call. Each is a connection of its own, so that no call waits for the lane of another."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.outgoing: asyncio.Queue[Any] = asyncio.Queue()
        self._peer = f"ipv4:127.0.0.1:{next(_peers)}"

    def peer(self) -> str:
        return self._peer

    def auth_context(self) -> dict[str, Any]:
        return {}

    def invocation_metadata(self) -> tuple[()]:
        return ()

    async def read(self) -> Any:
        return await self.incoming.get()

    async def write(self, message: Message) -> None:
        self.outgoing.put_nowait(message.SerializeToString())

    async def abort(self, code: grpc.StatusCode, details: str = "", metadata: Any = ()) -> None:
        raise Aborted(code, details)


class Service:
    """The handlers of one service, by path."""

    def __init__(self, handlers: Iterable[grpc.GenericRpcHandler], services: Iterable[ServiceDescriptor]) -> None:
        self.methods: dict[str, MethodDescriptor] = {
            f"/{service.full_name}/{method.name}": method for service in services for method in service.methods
        }
        self._handlers: dict[str, Any] = {}
        for path in self.methods:
            asked: Any = SimpleNamespace(method=path, invocation_metadata=())
            (self._handlers[path],) = [h for h in (handler.service(asked) for handler in handlers) if h is not None]

    async def call(self, path: str, request: bytes) -> bytes:
        """The response to a unary call. Raises Aborted."""
        response: Message = await self._handlers[path].unary_unary(request, Context())
        return response.SerializeToString()

    async def answers(self, path: str, requests: Iterable[bytes]) -> list[bytes]:
        """The responses of any call, to its end. Raises Aborted."""
        method, context = self.methods[path], Context()
        if not method.client_streaming and not method.server_streaming:
            return [await self.call(path, *requests)]
        if method.client_streaming:
            for request in (*requests, grpc.aio.EOF):
                context.incoming.put_nowait(request)
            await self._handlers[path].stream_stream(None, context)
        else:
            await self._handlers[path].unary_stream(*requests, context)
        return [context.outgoing.get_nowait() for _ in range(context.outgoing.qsize())]

    def stream(self, path: str, context: Context) -> asyncio.Task[Any]:
        """A bidirectional call under way."""
        return asyncio.create_task(self._handlers[path].stream_stream(None, context))


class Call:
    """The client's end of a bidirectional call."""

    def __init__(self, service: Service, path: str) -> None:
        self._context = Context()
        self._task = service.stream(path, self._context)
        self._task.add_done_callback(lambda _: self._context.outgoing.put_nowait(grpc.aio.EOF))

    async def write(self, message: Message) -> None:
        self._context.incoming.put_nowait(message.SerializeToString())

    async def read(self) -> Any:
        return await self._context.outgoing.get()

    def cancel(self) -> None:
        self._task.cancel()


class Channel:
    """As much of ``grpc.aio.Channel`` as KVM's link uses."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __aenter__(self) -> Channel:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def stream_stream(self, path: str, *_: object) -> Any:
        return lambda **_: Call(self._service, path)

    def unary_unary(self, path: str, *_: object) -> Any:
        async def call(request: Message, timeout: float) -> bytes:
            try:
                return await self._service.call(path, request.SerializeToString())
            except Aborted as error:
                empty = grpc.aio.Metadata()
                raise grpc.aio.AioRpcError(error.code, empty, empty, error.details) from None

        return call


class Both:
    """A perf core and a KVM that is attached to it."""

    async def __aenter__(self) -> Both:
        self.perf_shell = perfcore.PerfcoreShell()
        self.perfcore = Service(perfcore.service_handlers(self.perf_shell), perfcore.SERVICES)
        channel = Channel(self.perfcore)

        async def dial(_: Link) -> Any:
            return channel

        self._dial = Link._dial
        Link._dial = dial  # type: ignore[method-assign, assignment]
        self.kvm_shell = kvm.KvmShell("unix:none", "kvm0")
        self.kvm = Service(kvm.service_handlers(self.kvm_shell), kvm.SERVICES)
        self.services = {"perfcore": self.perfcore, "kvm": self.kvm}
        self.shells: dict[str, Shell[Any]] = {"perfcore": self.perf_shell, "kvm": self.kvm_shell}
        await self.kvm_shell.link.up.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        Link._dial = self._dial  # type: ignore[method-assign]
        for shell in (self.kvm_shell, self.perf_shell):
            await shell.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*others, return_exceptions=True)
