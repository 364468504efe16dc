"""The health of a service, under the names that the gRPC health service knows it by.

``liveness``: the process answers. ``readiness``, and the empty name: it can take a run; a KVM cannot without its perf
core. ``run``: no run has failed, or the newest one has not. The name of a gRPC service: it can be called with success.
A process that ends is alive until its end, and ready for nothing.

The library has a servicer that keeps the statuses that it is told. Here each answer is worked out when it is asked for,
so that it cannot be an old one, and no lock is held while a watcher is written to: one that does not read stops itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from lbrlab.v1 import info_pb2, trace_pb2

LIVENESS, READINESS, RUN = "liveness", "readiness", "run"
OVERALL = ""
ALWAYS = {
    info_pb2.DESCRIPTOR.services_by_name["InfoService"].full_name,
    trace_pb2.DESCRIPTOR.services_by_name["TraceService"].full_name,
}
"""Services that need no run and no peer."""
_STATUS = health_pb2.HealthCheckResponse


class HealthSource(Protocol):
    """``changed``: the event that is set, and replaced, when one of the answers may have changed."""

    changed: asyncio.Event

    def is_ready(self) -> bool: ...

    def has_failed(self) -> bool: ...


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """``names``: those of the gRPC services of the process. ``is_ending``: it takes nothing any more."""

    def __init__(self, subject: HealthSource, names: Sequence[str]) -> None:
        self.is_ending = False
        self._subject = subject
        self._names = names

    def statuses(self) -> dict[str, bool]:
        ready = self._subject.is_ready()
        services = {name: ready or name in ALWAYS for name in self._names}
        run = not self._subject.has_failed()
        found = {LIVENESS: True, READINESS: ready, OVERALL: ready, RUN: run, **services}
        return {name: name == LIVENESS for name in found} if self.is_ending else found

    def _status(self, name: str) -> Any:
        statuses = self.statuses()
        if name not in statuses:
            return _STATUS(status=_STATUS.SERVICE_UNKNOWN)
        return _STATUS(status=_STATUS.SERVING if statuses[name] else _STATUS.NOT_SERVING)

    async def Check(self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext) -> Any:
        status = self._status(request.service)
        if status.status == _STATUS.SERVICE_UNKNOWN:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"expected one of {', '.join(filter(None, self.statuses()))}"
            )
        return status

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext) -> None:
        told = None
        while True:
            changed = self._subject.changed
            if (status := self._status(request.service)) != told:
                await context.write(status)
                told = status
            await changed.wait()
