from __future__ import annotations

import pytest

from contract.messages import LbrImage, SchedOut
from kvm_svc import endpoint
from kvm_svc.hypervisor import notifications
from kvm_svc.hypervisor.state import Hypervisor
from perfcore_svc.machine.machine import Machine
from perfcore_svc.perf import lbr
from tests.client.check.mutations import Mutation, attribute, entry, nothing
from tests.client.check.runs import USE, ordered
from tests.designs import FENCED, KVM_SWITCH, MERGED, VMX_TRANSITION

HEAD = "machine { cpus = 1; depth = 8; }\ntask t0;\nvm vm0 { lbr = on; }"
AWAY = ordered(
    USE + "host: h0 = open task t0 branch any; host: run t0 on cpu0; host: branch 5; host: run vm0/0 on cpu0;"
    "vm0/0: o = rdmsr LBR_FROM[4];",
    head=HEAD,
)
"""The guest's thread makes way for a task that uses the LBR itself, and comes back."""
EXIT = ordered(USE + "vm0/0: cpuid; vm0/0: o = rdmsr LBR_FROM[4];")


def keep_nothing(hv: Hypervisor, message: SchedOut) -> None:
    message.lbr = LbrImage()
    notifications.sched_out(hv, message)


def forgets_at_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Machine._store_guest_lbr

    def store(self: Machine, cpu, vmcs, vcpu):  # type: ignore[no-untyped-def]
        real(self, cpu, vmcs, vcpu)
        return LbrImage()

    monkeypatch.setattr(Machine, "_store_guest_lbr", store)


MUTATIONS = [
    Mutation(
        "no-restore", "perf does not put back what it saved of a task", attribute(lbr, "_restore", nothing),
        AWAY, MERGED,
    ),
    Mutation(
        "event-without-its-lbr", "perf does not save a guest's LBR when its event goes off",
        attribute(lbr, "guest_off", nothing), AWAY, FENCED,
    ),
    Mutation(
        "snapshot-is-empty", "KVM keeps nothing of the LBR when the thread is switched off",
        entry(endpoint._HANDLERS, SchedOut, keep_nothing), AWAY, KVM_SWITCH, alone=True,
    ),
    Mutation(
        "exit-stores-nothing", "a VM-exit stores an empty LBR for the guest", forgets_at_exit,
        EXIT, VMX_TRANSITION, alone=True,
    ),
]  # fmt: skip
