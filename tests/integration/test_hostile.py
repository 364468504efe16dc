"""Hostile clients of all kinds at once: a neighbour's run goes on, and memory stays within a bound.

The times are measured by ``python -m tests.hostile``."""

from __future__ import annotations

import time
from contextlib import ExitStack

import grpc

from client.drive.grpc_service import Service
from lbrlab.v1 import info_pb2
from tests.cases import cases
from tests.forked import Forked
from tests.hostile.client import ATTACKS, MEMBERS, ON_KVM
from tests.hostile.scene import MIB, hostile, scene

BOUND = 192 * MIB
"""Memory of a service under attack; a quiet one has some 50 MiB. SECURITY.md states it."""
ANSWERS = {
    "OK",
    "INVALID_ARGUMENT",
    "RESOURCE_EXHAUSTED",
    "ALREADY_EXISTS",
    "ABORTED",
    "PERMISSION_DENIED",
    "UNIMPLEMENTED",
}
"""The statuses that clients may be answered with. UNAVAILABLE is the client's own, for a connection that is closed."""
APART = ("connections", "never-acknowledges")
"""Where all connections are taken, no other client comes in. The two KVMs of the run have one name."""


def answer(asked: Service) -> info_pb2.GetInfoResponse:
    """GetInfo. A service whose connections a hostile client has just taken up closes a new one for a moment."""
    for _ in range(50):
        try:
            return asked.info(5)
        except grpc.RpcError:
            time.sleep(0.1)
    return asked.info(5)


@cases(
    ("service", "attacks"),
    [
        ("perfcore", [kind for kind in ATTACKS if kind not in APART]),
        ("perfcore", list(APART)),
        ("kvm", [kind for kind in ON_KVM if kind not in APART]),
        ("kvm", ["connections"]),
    ],
    ids=["perfcore all", "perfcore apart", "kvm all", "kvm apart"],
)
def test_a_neighbour_plays_on_beside_hostile_clients(service: str, attacks: list[str]) -> None:
    with scene() as neighbour:
        neighbour.begin()
        with ExitStack() as stack:
            clients = [
                stack.enter_context(hostile(kind, service, neighbour, Forked))
                for kind in sorted(attacks, key=MEMBERS.__contains__, reverse=True)
            ]
            seen = neighbour.watch(seconds=0.5, rounds=20)
        told = {name for client in clients for name in client.told}
        answers = {name for name in told if name.isupper()}
        asked = Service(service, neighbour.children[service].address)
        info = answer(asked)
        asked.close()
        lines = [line for child in neighbour.children.values() for line in child.tail]

    assert answers <= {*ANSWERS, "UNAVAILABLE", "CANCELLED"}
    assert max(seen.peak.values()) < BOUND
    assert (info.run, info.run_failed) == (neighbour.run, "")
    assert [line for line in lines if "Traceback" in line or "internal-error" in line] == []
