from __future__ import annotations

import kvm_svc.endpoint
from contract.messages import Available
from kvm_svc.hypervisor import msr
from perfcore_svc.grants import Grants
from tests.client.check.mutations import Mutation, attribute, entry, nothing
from tests.client.check.runs import HOST, USE, ordered
from tests.designs import FENCED, REVOKE_GP, REVOKE_ZERO

FREE = ordered(
    USE + HOST + "vm0/0: x = rdmsr LBR_TOS; host: close h0; vm0/0: y = rdmsr LBR_TOS; vm0/0: z = rdmsr LBR_TOS;"
)
"""A guest is denied, the host event goes, and the guest reads twice."""

MUTATIONS = [
    Mutation(
        "kvm-does-not-ask-again", "KVM asks for no event after a loss", attribute(msr, "ask_again", nothing),
        FREE, FENCED, alone=True,
    ),
    Mutation(
        "host-does-not-tell", "the host tells nobody that the LBR is free",
        attribute(Grants, "_available", lambda self: []), FREE, REVOKE_GP, alone=True,
    ),
    Mutation(
        "kvm-ignores-available", "KVM ignores that the LBR is free",
        entry(kvm_svc.endpoint._HANDLERS, Available, nothing), FREE, REVOKE_ZERO, alone=True,
    ),
]  # fmt: skip
