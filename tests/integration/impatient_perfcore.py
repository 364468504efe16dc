"""``perfcore-svc`` that takes a silent peer for dead within a second: a test cannot wait for the usual seconds."""

from __future__ import annotations

from contract.wire.options import SERVER
from perfcore_svc.service.main import main

SOONER = {"grpc.keepalive_time_ms": 300, "grpc.http2.ping_timeout_ms": 300}

if __name__ == "__main__":
    SERVER[:] = [(name, SOONER.get(name, value)) for name, value in SERVER]
    main()
