"""OpenTelemetry spans of a service, one for each command and each machine request (setting ``traces``).

The parent of a span is the ``traceparent`` in the stamp of its request: the driver's (``$TRACEPARENT``), or KVM's where
KVM asks the silicon. Without the setting nothing is loaded, and a span is an empty block.
"""

from __future__ import annotations

import os
import re
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from contract.errors import InputError
from contract.wire.tls import Identity, is_local
from lbrlab.v1 import trace_pb2

FLUSH_LIMIT = 1.0
"""Seconds that an ending process gives to the last spans."""

TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

_provider: list[Any] = []
_NOTHING = nullcontext()


def trace_context() -> str:
    """The trace context that the caller of this program has put into the environment, "" without a valid one."""
    given = os.environ.get("TRACEPARENT", "")
    return given if TRACEPARENT.fullmatch(given) else ""


def send_to(collector: str, service: str, identity: Identity | None) -> None:
    """Send the spans of this process to ``HOST:PORT``. Raises InputError where OpenTelemetry is not installed."""
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise InputError("expected OpenTelemetry: install lbrlab[otel]", "--traces") from None
    secure = identity.channel_credentials() if identity is not None and not is_local(collector) else None
    exporter = OTLPSpanExporter(collector, insecure=secure is None, credentials=secure, timeout=FLUSH_LIMIT)
    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    use(provider)


def use(provider: Any) -> None:
    """Make the spans with this provider."""
    _provider[:] = [provider]


def end() -> None:
    """Send what is left, for a bounded time. Spans that are made later are lost."""
    if _provider:
        last = threading.Thread(target=_provider.pop().shutdown, daemon=True)
        last.start()
        last.join(FLUSH_LIMIT)


def span(name: str, stamp: trace_pb2.Stamp, run: int, session: str = "") -> AbstractContextManager[Any]:
    """The span of the block, whose parent ``stamp`` names."""
    if not _provider:
        return _NOTHING
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    parent = TraceContextTextMapPropagator().extract({"traceparent": stamp.traceparent})
    attributes: dict[str, str | int] = {"lbrlab.run": run}
    if session:
        attributes["lbrlab.session"] = session
    block: AbstractContextManager[Any] = (
        _provider[0].get_tracer("lbrlab").start_as_current_span(name, context=parent, attributes=attributes)
    )
    return block


def current() -> str:
    """The ``traceparent`` of the current span, "" without one."""
    if not _provider:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")
