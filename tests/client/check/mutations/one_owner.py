from __future__ import annotations

import kvm_svc.endpoint
from contract.messages import Revoke
from perfcore_svc.grants import Grants
from perfcore_svc.machine.machine import Machine
from perfcore_svc.perf import lbr
from perfcore_svc.perf.context import Context, PerfCpu
from perfcore_svc.perf.event import PerfEvent
from tests.client.check.mutations import Mutation, attribute, entry
from tests.client.check.runs import AGAIN, HOST, USE, ordered
from tests.designs import REVOKE_GP, V7

SHARES = ordered(USE + "host: h0 = open task vm0/0 branch any; vm0/0: branch 2;")
"""A host event of the guest's own class comes while the guest's event is on, and records nothing."""
TAKES = ordered(USE + HOST + AGAIN)

real_add = lbr.lbr_add


def add_beside(machine: Machine, pc: PerfCpu, ctx: Context, event: PerfEvent, *, shut_out: bool, select: bool) -> None:
    real_add(machine, pc, ctx, event, shut_out=False, select=select)


MUTATIONS = [
    Mutation(
        "host-not-shut-out", "perf turns the LBR on for the host beside a guest's event",
        attribute(lbr, "lbr_add", add_beside), SHARES, V7, alone=True,
    ),
    Mutation(
        "kvm-is-deaf", "KVM ignores that a grant is revoked",
        entry(kvm_svc.endpoint._HANDLERS, Revoke, lambda hv, message: None), TAKES, REVOKE_GP,
    ),
    Mutation(
        "host-does-not-revoke", "the host tells KVM nothing of events that go off",
        attribute(Grants, "_moved", lambda self, event, old_cpu: None), TAKES, REVOKE_GP,
    ),
]  # fmt: skip
