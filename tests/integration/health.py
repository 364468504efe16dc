"""Asks a service for its health."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
TIMEOUT = 10.0


def health_of(address: str, *names: str) -> list[int | None]:
    """The status under each name; None for a name that the service does not know."""
    with grpc.insecure_channel(address) as channel:
        return [_status(health_pb2_grpc.HealthStub(channel), name) for name in names]


def _status(stub: health_pb2_grpc.HealthStub, name: str) -> int | None:
    try:
        status: int = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=TIMEOUT).status
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:
            raise
        return None
    return status
