"""The roles that may call each method, and the role of a peer."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor

from contract.wire.access import ROLES, Peer, guarded, peer_of
from contract.wire.status import CallError
from kvm_svc.service.servicer import SERVICES as KVM_SERVICES
from perfcore_svc.service.servicer import SERVICES as PERFCORE_SERVICES

METHODS = {
    f"{service.name}/{method.name}": method
    for service in (*PERFCORE_SERVICES, *KVM_SERVICES)
    for method in service.methods
}
OF_KVMS = {"ContractService/Attach", "MachineService/Run", "LeaseService/Prolong"}
READING = {"InfoService/GetInfo", "TraceService/GetTrace"}
MAY = {
    "kvm": {*OF_KVMS, "InfoService/GetInfo"},
    "viewer": READING,
    "perfcore": {"InfoService/GetInfo"},
    "driver": METHODS.keys() - OF_KVMS,
    "none": set(),
    "root": set(),
}


class Context:
    """A call of a peer with these URIs in its certificate; without one if there are none."""

    def __init__(self, *uris: str, secure: bool = True) -> None:
        self._known = {"transport_security_type": [b"ssl"]} if secure else {}
        self._known |= {"peer_uri": [uri.encode() for uri in uris]}

    def auth_context(self) -> dict[str, Any]:
        return self._known

    async def abort(self, code: grpc.StatusCode, why: str) -> None:
        raise CallError(code, why)


async def may_call(method: MethodDescriptor, context: Any) -> bool:
    async def call(request: Any, context: Any) -> bool:
        return True

    handler: Any = guarded(method, grpc.unary_unary_rpc_method_handler(call))
    try:
        return bool(await handler.unary_unary(None, context))
    except CallError as error:
        return error.code is not grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("role", MAY)
async def test_a_role_may_call_its_methods_and_no_others(role: str) -> None:
    assert {name for name, method in METHODS.items() if await may_call(method, Context(f"lbrlab:{role}"))} == MAY[role]


async def test_a_certificate_without_a_role_may_call_nothing() -> None:
    for context in (Context(), Context("spiffe:driver"), Context("driver")):
        assert not any([await may_call(method, context) for method in METHODS.values()])


async def test_a_process_of_this_host_may_call_everything() -> None:
    assert all([await may_call(method, Context(secure=False)) for method in METHODS.values()])


@pytest.mark.parametrize(
    ("uris", "peer"),
    [
        (["lbrlab:kvm:kvm1"], Peer("kvm", "kvm1")),
        (["https://example.org", "lbrlab:driver"], Peer("driver")),
        (["lbrlab:driver:", "lbrlab:viewer"], Peer("driver")),
        ([], Peer("none")),
    ],
)
def test_the_role_stands_in_the_certificate(uris: list[str], peer: Peer) -> None:
    context: Any = Context(*uris)
    assert peer_of(context) == peer


def test_the_state_of_connections_is_for_those_who_read_traces() -> None:
    assert ROLES["Channelz"] == ROLES["TraceService"]
