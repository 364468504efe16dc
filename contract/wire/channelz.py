"""The channelz service: what gRPC knows of its own channels, sockets and calls.

It is loaded with its first call: its import takes as long as a tenth of the start of a service.
"""

from __future__ import annotations

from typing import Any

import grpc

from contract.wire.access import CHANNELZ, guarded

PREFIX = f"/{CHANNELZ}/"


class LazyChannelz(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self) -> None:
        self._handler: grpc.GenericRpcHandler | None = None

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if not details.method.startswith(PREFIX):
            return None
        self._handler = self._handler or _loaded()
        return self._handler.service(details)


class _Collector:
    """Stands for a server where a library adds the handlers of its service."""

    def __init__(self) -> None:
        self.methods: dict[str, grpc.RpcMethodHandler] = {}

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        pass

    def add_registered_method_handlers(self, service: str, methods: dict[str, grpc.RpcMethodHandler]) -> None:
        self.methods |= methods


def _loaded() -> grpc.GenericRpcHandler:
    from grpc_channelz.v1 import channelz, channelz_pb2, channelz_pb2_grpc

    collector: Any = _Collector()
    channelz_pb2_grpc.add_ChannelzServicer_to_server(channelz.aio.ChannelzServicer(), collector)
    methods = channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].methods_by_name
    made = {name: guarded(methods[name], handler) for name, handler in collector.methods.items()}
    return grpc.method_handlers_generic_handler(CHANNELZ, made)
