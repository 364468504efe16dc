"""The command ``kvm-svc``."""

from __future__ import annotations

import argparse
import asyncio
import sys

from contract.wire.bootstrap import Process, arguments
from contract.wire.settings.table import KVM

EXAMPLES = """\
It dials the perf core until it answers, and again after the link is lost. When it serves, which does not wait for
that, it prints one line of JSON with its address on standard output; its log goes to standard error.

examples:
  kvm-svc --perfcore 127.0.0.1:7001
  kvm-svc --perfcore unix:perf.sock --listen unix:kvm0.sock
  kvm-svc --perfcore 10.0.0.5:7001 --name kvm1 --listen 0.0.0.0:7002 --tls certs/kvm1
"""


async def run(args: argparse.Namespace) -> int:
    from kvm_svc.service.servicer import SERVICES, KvmShell, service_handlers

    shell = KvmShell(
        args.perfcore, args.name, args.answer_timeout, args.protocol, args.tls, args.limits, args.redial_limit
    )
    return await Process(shell, args, SERVICES).serve(service_handlers(shell))


def main() -> None:
    args = arguments(KVM, "A KVM: hypervisor and its end of the contract, as a gRPC service.", EXAMPLES)
    sys.exit(asyncio.run(run(args)))


if __name__ == "__main__":
    main()
