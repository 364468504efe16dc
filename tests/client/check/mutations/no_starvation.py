from __future__ import annotations

import kvm_svc.endpoint
from contract.messages import EventCreated, SchedIn
from kvm_svc.hypervisor import lbr
from perfcore_svc.grants import Grants
from tests.client.check.mutations import Mutation, attribute, entry, nothing
from tests.client.check.runs import USE, ordered, scenario
from tests.designs import FAIL_ENTRY, MERGED

LOSES = scenario(
    "vm0/0 { wrmsr DEBUGCTL, LBR; branch 4; branch 4; branch 4; branch 4; }"
    "host { run vm0/0 on cpu0; advance 1us; h0 = open cpu0 pinned branch any; branch 3; close h0; }"
)
"""The guest is not entered while a host event has the LBR; the event goes."""

MUTATIONS = [
    Mutation(
        "kvm-does-not-let-in", "KVM does not wake a guest that has got its LBR back",
        attribute(lbr, "_let_in", nothing), LOSES, FAIL_ENTRY, alone=True,
    ),
    Mutation(
        "host-does-not-tell", "the host tells nobody that the LBR is free",
        attribute(Grants, "_available", lambda self: []), LOSES, FAIL_ENTRY, alone=True,
    ),
    Mutation(
        "kvm-ignores-answers", "KVM ignores that an event was created",
        entry(kvm_svc.endpoint._HANDLERS, EventCreated, nothing), ordered(USE), MERGED,
    ),
    Mutation(
        "kvm-ignores-sched-in", "KVM ignores that a thread got a CPU",
        entry(kvm_svc.endpoint._HANDLERS, SchedIn, nothing), ordered(USE), MERGED,
    ),
]  # fmt: skip
