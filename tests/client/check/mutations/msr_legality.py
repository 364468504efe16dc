from __future__ import annotations

from typing import Any

import pytest

from contract.lbr_ring import LbrRing
from contract.machine import MsrDone
from kvm_svc.hypervisor import msr
from kvm_svc.hypervisor.lbr import told
from kvm_svc.hypervisor.state import Handling, Hypervisor, Vcpu
from tests.client.check.mutations import Mutation, attribute
from tests.client.check.runs import HOST, USE, ordered
from tests.designs import FENCED, REVOKE_ZERO

LOAD = "host: run vm0/0 on cpu0;"
DEBUGCTL = ordered(LOAD + "vm0/0: w = wrmsr DEBUGCTL, 0x2000;")
WRITE = ordered(LOAD + "vm0/0: t = rdmsr LBR_TOS; vm0/0: w = wrmsr LBR_SELECT, 0x400;")
FIRST_WRITE = ordered(LOAD + "vm0/0: w = wrmsr LBR_SELECT, 0x400;")
LOST = ordered(USE + HOST + "vm0/0: t1 = rdmsr LBR_TOS;")


def kept_by_mask(hv: Hypervisor, value: int, supported: int) -> int:
    return value & supported


def always_dropped(hv: Hypervisor, vcpu: Vcpu, work: Handling, done: MsrDone) -> Any:
    if work.exit.write:
        return msr._answer(hv, vcpu, work, "dropped" if done.fault else "done")
    return msr._answer(hv, vcpu, work, "done", done.value)


def denies_with_gp(hv: Hypervisor, vcpu: Vcpu, work: Handling) -> Any:
    told(hv, vcpu)
    return msr._answer(hv, vcpu, work, "gp", denied=True)


def takes_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LbrRing, "takes", lambda self, index, value: True)


MUTATIONS = [
    Mutation(
        "reserved-bits-dropped", "KVM drops reserved bits of DEBUGCTL", attribute(msr, "_debugctl_kept", kept_by_mask),
        DEBUGCTL, FENCED, alone=True,
    ),
    Mutation(
        "silicon-takes-anything", "the silicon takes reserved bits of LBR_SELECT", takes_anything, WRITE, FENCED,
        alone=True,
    ),
    Mutation(
        "illegal-write-dropped", "the fence drops a write that faults in the host",
        attribute(msr, "_served", always_dropped), FIRST_WRITE, FENCED, alone=True,
    ),
    Mutation(
        "denies-otherwise", "KVM denies with #GP where the design denies with 0",
        attribute(msr, "_denied", denies_with_gp), LOST, REVOKE_ZERO, alone=True,
    ),
]  # fmt: skip
