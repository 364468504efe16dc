"""The command ``perfcore-svc``."""

from __future__ import annotations

import argparse
import asyncio
import sys

from contract.wire.bootstrap import Process, arguments
from contract.wire.settings.table import PERFCORE

EXAMPLES = """\
When it serves, it prints one line of JSON with its address on standard output; its log goes to standard error.
KVM services dial it, a driver controls it. It never dials anybody.

examples:
  perfcore-svc                             a free port on this host, see the ready line
  perfcore-svc --listen 0.0.0.0:7001 --tls certs/perfcore    reachable from other hosts
  perfcore-svc --listen unix:perf.sock
  perfcore-svc --config perfcore.toml --print-config
"""


async def run(args: argparse.Namespace) -> int:
    from perfcore_svc.service.servicer import SERVICES, PerfcoreShell, service_handlers

    shell = PerfcoreShell(args.protocol, args.lease, args.limits)
    return await Process(shell, args, SERVICES).serve(service_handlers(shell))


def main() -> None:
    args = arguments(PERFCORE, "The silicon and host perf's core, as a gRPC service.", EXAMPLES)
    sys.exit(asyncio.run(run(args)))


if __name__ == "__main__":
    main()
