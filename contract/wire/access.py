"""Who may call what. The role stands in the certificate of the peer; see ``contract.wire.tls``.

A peer without a certificate is a process of this host, or the service was started with ``--insecure``. It may call
everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor

from contract.wire.log import log
from contract.wire.tls import SCHEME

DRIVER, KVM, VIEWER, PERFCORE = "driver", "kvm", "viewer", "perfcore"

CHANNELZ = "grpc.channelz.v1.Channelz"

ROLES: dict[str, tuple[str, ...]] = {
    "PerfControlService": (DRIVER,),
    "KvmControlService": (DRIVER,),
    "DriveService": (DRIVER,),
    "LiveService": (DRIVER,),
    "ContractService": (KVM,),
    "MachineService": (KVM,),
    "LeaseService": (DRIVER,),
    "LeaseService/Prolong": (KVM,),
    "InfoService": (DRIVER, KVM, VIEWER, PERFCORE),
    "TraceService": (DRIVER, VIEWER),
    "Channelz": (DRIVER, VIEWER),
}
"""The roles that may call a service, or one method of it. Health and reflection are for everyone with a certificate."""


class Peer(NamedTuple):
    """``role`` is "" for a peer without a certificate. ``name``: of a KVM."""

    role: str
    name: str = ""


def peer_of(context: grpc.aio.ServicerContext) -> Peer:
    """The peer of a call. A certificate without a role has the role "none"."""
    known = context.auth_context()
    if b"ssl" not in known.get("transport_security_type", ()):
        return Peer("")
    for uri in known.get("peer_uri", ()):
        scheme, _, rest = uri.decode(errors="replace").partition(":")
        role, _, name = rest.partition(":")
        if scheme == SCHEME:
            return Peer(role, name)
    return Peer("none")


def guarded(method: MethodDescriptor, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
    """The handler, for peers whose role may call it. Others get PERMISSION_DENIED, and the log says so."""
    service = method.containing_service.name
    roles = ROLES.get(f"{service}/{method.name}") or ROLES[service]

    def guard(call: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
        async def checked(request: Any, context: grpc.aio.ServicerContext) -> Any:
            peer = peer_of(context)
            if peer.role and peer.role not in roles:
                why = f"{service}/{method.name} is for the role {' or '.join(roles)}, this certificate has {peer.role}"
                log().warning("call-refused", reason=why)
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, why)
            return await call(request, context)

        return checked

    made = {kind: guard(call) for kind in _KINDS if (call := getattr(handler, kind)) is not None}
    return handler._replace(**made)


_KINDS = "unary_unary", "unary_stream", "stream_stream"
