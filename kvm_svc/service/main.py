"""The command ``kvm-svc``."""

from __future__ import annotations

import argparse
import asyncio
import sys

from contract.wire.address import address
from contract.wire.bootstrap import Process, argument_parser, arguments, seconds

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

    shell = KvmShell(args.perfcore, args.name, args.answer_timeout, args.protocol, args.tls)
    return await Process(shell.service, args, SERVICES).serve(service_handlers(shell), shell.close)


def _name(text: str) -> str:
    if not 0 < len(text) <= 128:
        raise argparse.ArgumentTypeError("a name has 1 to 128 characters")
    return text


def main() -> None:
    parser = argument_parser("kvm-svc", "A KVM: hypervisor and its end of the contract, as a gRPC service.", EXAMPLES)
    parser.add_argument(
        "--perfcore", metavar="ADDR", required=True, type=address, help="HOST:PORT or unix:PATH of the perf core"
    )
    parser.add_argument(
        "--name", default="kvm0", type=_name, help="name of this KVM and of its session (default: %(default)s)"
    )
    parser.add_argument(
        "--answer-timeout",
        metavar="SECONDS",
        type=seconds,
        default=3.0,
        help="how long the perf core may take to answer before the run fails (default: %(default)g)",
    )
    sys.exit(asyncio.run(run(arguments(parser))))


if __name__ == "__main__":
    main()
