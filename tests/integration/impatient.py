"""A service that takes a silent peer for dead within a second: a test cannot wait for the usual seconds.

``--service`` says which, ``perfcore`` or ``kvm``."""

from __future__ import annotations

import sys
from importlib import import_module

from contract.wire.options import CHANNEL, SERVER

SOONER = {"grpc.keepalive_time_ms": 300, "grpc.http2.ping_timeout_ms": 300}
"""The server of ``contract.wire.options`` allows a ping a second, and counts no strikes."""


def main() -> None:
    for options in (SERVER, CHANNEL):
        options[:] = [(name, SOONER.get(name, value)) for name, value in options]
    at = sys.argv.index("--service")
    _, service = sys.argv[at : at + 2]
    del sys.argv[at : at + 2]
    import_module(f"{service}_svc.service.main").main()


if __name__ == "__main__":
    main()
