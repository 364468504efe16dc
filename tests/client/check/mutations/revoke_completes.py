from __future__ import annotations

import kvm_svc.endpoint
from contract.messages import Revoke
from kvm_svc.hypervisor import lbr
from perfcore_svc.grants.revocations import Revocations
from tests.client.check.mutations import Mutation, attribute, entry, nothing
from tests.client.check.runs import USE, ordered
from tests.designs import REVOKE_ACK, REVOKE_GP

TAKES = ordered(USE + "host: h0 = open cpu0 pinned branch any;")
"""A CPU-pinned host event takes the LBR from a guest that then does nothing."""

MUTATIONS = [
    Mutation(
        "kvm-is-deaf", "KVM ignores that a grant is revoked", entry(kvm_svc.endpoint._HANDLERS, Revoke, nothing),
        TAKES, REVOKE_GP,
    ),
    Mutation(
        "grant-is-kept", "KVM takes a Revoke and keeps the grant", attribute(lbr, "_forget_grant", nothing),
        TAKES, REVOKE_GP,
    ),
    Mutation(
        "host-does-not-wake", "the host goes on waiting after the acknowledgement",
        attribute(Revocations, "_go_on", nothing), TAKES, REVOKE_ACK,
    ),
    Mutation(
        "lease-never-ends", "the host waits for an acknowledgement without end",
        attribute(Revocations, "_arm", nothing), TAKES, REVOKE_ACK, faults=("drop:Ack:1",),
    ),
]  # fmt: skip
