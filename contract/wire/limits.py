"""The limits of a service: how much one peer, and all peers together, may use of it.

Each limit is a setting of the service (``contract.wire.settings``), with "max-" before its name. It stands in the ready
line and in GetInfo, and the RESOURCE_EXHAUSTED of what goes beyond it names it. Beyond ``connections`` and
``request-bytes`` gRPC itself refuses: it closes the connection, or says "Received message larger than max".

A peer is a certificate's identity on one host. Without a certificate it is a host, and on this host one connection: the
processes of a host are not kept apart, and all clients of a Unix socket are one peer.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from contract.errors import LimitError
from contract.network import CAPACITY
from contract.session import UNSENT

PERFCORE, KVM = "perfcore", "kvm"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one service. The bounds and the meaning of each stand in its annotation."""

    request_bytes: Annotated[int, Meta(ge=1 << 16, le=1 << 26, description="bytes of one request or frame")] = 2 << 20
    connections: Annotated[int, Meta(ge=2, le=65536, description="open connections of all peers")] = 256
    streams: Annotated[int, Meta(ge=4, le=65536, description="open streams of all peers")] = 1024
    peer_streams: Annotated[int, Meta(ge=4, le=65536, description="open streams of one peer")] = 128
    calls: Annotated[int, Meta(ge=4, le=65536, description="calls under way, of all peers")] = 1024
    peer_calls: Annotated[int, Meta(ge=4, le=65536, description="calls under way, of one peer")] = 128
    sessions: Annotated[int, Meta(ge=1, le=4096, description="KVMs attached", extra={"service": PERFCORE})] = 256
    peer_sessions: Annotated[
        int, Meta(ge=1, le=4096, description="KVMs attached by one peer", extra={"service": PERFCORE})
    ] = 64
    tasks: Annotated[
        int, Meta(ge=1, le=4096, description="tasks of a run's host, besides vCPUs", extra={"service": PERFCORE})
    ] = 4096
    vms: Annotated[int, Meta(ge=1, le=256, description="VMs of a run", extra={"service": KVM})] = 256
    vcpus: Annotated[int, Meta(ge=1, le=4096, description="vCPUs of a run")] = 4096
    events: Annotated[
        int, Meta(ge=1, le=1_000_000, description="open events of a run's host", extra={"service": PERFCORE})
    ] = 16384
    inbox: Annotated[
        int, Meta(ge=CAPACITY, le=65536, description="messages of one session that wait for their fate")
    ] = CAPACITY
    """No less than the credits that Welcome tells: a peer may use them all."""
    unsent: Annotated[
        int, Meta(ge=64, le=1 << 20, description="messages of one session that wait until others are acknowledged")
    ] = UNSENT
    """Rule R26. A replay elsewhere has the default."""
    trace_records: Annotated[
        int, Meta(ge=1000, le=10_000_000, description="records of a run that are kept, the latest ones")
    ] = 250_000
    backlog: Annotated[int, Meta(ge=64, le=1 << 20, description="messages that wait until one peer reads them")] = 4096


DEFAULT = Limits()


class Limit(NamedTuple):
    """One row of the table. ``service``: the only service that has it, "" if both have."""

    name: str
    default: int
    least: int
    most: int
    meaning: str
    service: str


def table(service: str = "") -> Iterator[Limit]:
    """All limits, or those of one service."""
    for field in msgspec.structs.fields(Limits):
        (meta,) = field.type.__metadata__
        limit = Limit(
            field.name.replace("_", "-"),
            int(field.default),
            meta.ge,
            meta.le,
            meta.description,
            (meta.extra or {}).get("service", ""),
        )
        if not service or limit.service in ("", service):
            yield limit


def limits_of(args: argparse.Namespace) -> Limits:
    """The limits among the settings; those that the service does not have keep their defaults."""
    given = vars(args)
    return Limits(**{name: given[f"max_{name}"] for name in Limits.__struct_fields__ if f"max_{name}" in given})


def as_dict(limits: Limits, service: str) -> dict[str, int]:
    """Name to value, for the ready line and GetInfo."""
    return {limit.name: getattr(limits, limit.name.replace("-", "_")) for limit in table(service)}


def check_count(name: str, most: int, count: int) -> None:
    """Raises LimitError if a run would have more than ``most``."""
    if count > most:
        raise LimitError(f"limit {name}: {count} asked for, at most {most} (--max-{name})", "ENOSPC")


def exceeded(name: str, most: int, who: str) -> str:
    """The text of a refusal. ``who``: the one that has so many already."""
    return f"limit {name}: {who} has {most} already (--max-{name})"
