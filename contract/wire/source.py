"""The peer to which a call is counted; see ``contract.wire.limits``."""

from __future__ import annotations

import grpc.aio

from contract.wire.access import peer_of

LOOPBACK = "127.", "[::1]", "localhost"


def source_of(context: grpc.aio.ServicerContext) -> str:
    """A certificate's identity on one host; else the host, or the connection if that is this host."""
    address = str(context.peer()).replace("%5B", "[").replace("%5D", "]")
    scheme, _, rest = address.partition(":")
    host = rest.rpartition(":")[0]
    if scheme not in ("ipv4", "ipv6"):
        return address
    role, name = peer_of(context)
    if role:
        return f"{role} {name} at {host}".replace("  ", " ")
    return address if host.startswith(LOOPBACK) else host
