"""``python -m contract.wire.probe ADDR [NAME]``: status 0 if the service says SERVING under that name of its health.

Otherwise it is 1, with the reason. It is for the health checks of containers, which start a program.
"""

from __future__ import annotations

import argparse
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from contract.wire.address import address

TIMEOUT = 3.0
"""Seconds in which the answer has to come."""


def probe(target: str, name: str) -> str:
    """Why the service is not SERVING; "" if it is."""
    with grpc.insecure_channel(target) as channel:
        asked = health_pb2.HealthCheckRequest(service=name)
        try:
            status = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=TIMEOUT).status
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
    return "" if status == health_pb2.HealthCheckResponse.SERVING else "NOT_SERVING"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m contract.wire.probe", description="Ask a service for its health.")
    parser.add_argument("address", metavar="ADDR", type=address, help="HOST:PORT or unix:PATH, without TLS")
    parser.add_argument("name", metavar="NAME", nargs="?", default="readiness", help="default: %(default)s")
    asked = parser.parse_args()
    if why := probe(asked.address, asked.name):
        sys.exit(f"{asked.address}: {asked.name}: {why}")


if __name__ == "__main__":
    main()
