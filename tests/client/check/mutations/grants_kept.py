from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from contract.messages import EventState
from contract.spec import LEASE_NS
from kvm_svc.hypervisor.grant import KnownGrant
from perfcore_svc.grants.grants import Grants
from perfcore_svc.grants.revocations import Revocations
from tests.client.check.mutations import Mutation, attribute
from tests.client.check.runs import HOST, USE, ordered
from tests.designs import REVOKE_ACK

PROLONGED = ordered(USE + "host: advance 6ms; vm0/0: branch 2;")
"""KVM prolongs its grant once."""
OUTLIVED = ordered(USE + "host: advance 4ms; host: advance 8ms; vm0/0: out 0x80; vm0/0: branch 2;")
TAKES = ordered(USE + HOST)
GRANTED, REVOKED = Grants._granted, Revocations.give_up


def granted_for_longer(self: Grants, event: Any) -> EventState:
    return replace(GRANTED(self, event), expires=self.perf.kernel.now + LEASE_NS + 1)


def never_over(self: KnownGrant, now: int) -> bool:
    return False


def waits_no_longer(self: Revocations, name: str, wait: Any, losing: Any) -> None:
    """The host task waits, and continues in the same step."""
    WAITS(self, name, wait, losing)
    for grant in list(self.state.awaited(wait)):
        REVOKED(self, grant.session, grant.number)


WAITS = Revocations._wait_for

MUTATIONS = [
    Mutation(
        "longer-lease", "the host tells a lease that is too long", attribute(Grants, "_granted", granted_for_longer),
        PROLONGED, REVOKE_ACK, alone=True,
    ),
    Mutation(
        "lease-without-end", "KVM does not look at the end of its lease", attribute(KnownGrant, "is_over", never_over),
        OUTLIVED, REVOKE_ACK, alone=True, faults=("drop:Renew",),
    ),
    Mutation(
        "no-wait", "a host task does not wait for Ack", attribute(Revocations, "_wait_for", waits_no_longer),
        TAKES, REVOKE_ACK, alone=True,
    ),
]  # fmt: skip
