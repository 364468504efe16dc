from __future__ import annotations

import pytest

from contract.messages import SchedIn
from kvm_svc import endpoint
from kvm_svc.hypervisor import notifications
from kvm_svc.hypervisor.state import Hypervisor
from perfcore_svc.machine.machine import Machine
from perfcore_svc.perf import lbr
from tests.client.check.mutations import Mutation, attribute, entry, nothing
from tests.client.check.mutations.guest_clean import no_clearing
from tests.client.check.runs import ordered
from tests.designs import FENCED, KVM_SWITCH, VMX_TRANSITION

AFTER_HOST = ordered(
    "host: h0 = open cpu0 pinned branch any; host: branch 8; host: close h0; host: run vm0/0 on cpu0;"
    "vm0/0: t = rdmsr LBR_TOS; vm0/0: cpuid; vm0/0: nop;"
)
"""The guest could read what the host has recorded, and does not."""
AFTER_VM = ordered(
    "host: run vm0/0 on cpu0; vm0/0: t = rdmsr LBR_TOS; host: run vm1/0 on cpu0; vm1/0: wrmsr DEBUGCTL, LBR;"
    "vm1/0: branch 8; host: run vm0/0 on cpu0; vm0/0: nop;",
    actors="host, vm0/0, vm1/0",
    head="machine { cpus = 1; depth = 8; }\nvm vm0 { lbr = on; }\nvm vm1 { lbr = on; }",
)


def no_restore(hv: Hypervisor, message: SchedIn) -> None:
    notifications.sched_in(hv, message)
    if (vcpu := hv.vcpus.get(message.vcpu)) is not None:
        vcpu.saved.restore = False


def switched_with_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Machine._load_guest_lbr

    def load(self: Machine, cpu, vmcs, vcpu, image):  # type: ignore[no-untyped-def]
        real(self, cpu, vmcs, vcpu, cpu.lbr.store())

    monkeypatch.setattr(Machine, "_load_guest_lbr", load)


LIVE_HOST = ordered(
    "host: h0 = open cpu0 pinned branch any; host: run vm0/0 on cpu0; host: branch 8; vm0/0: wrmsr DEBUGCTL, LBR;"
    "vm0/0: nop;"
)
MUTATIONS = [
    Mutation(
        "first-use-does-not-clear", "KVM lets a guest in after the host without clearing the ring", no_clearing,
        AFTER_HOST, KVM_SWITCH, alone=True,
    ),
    Mutation(
        "grant-does-not-clear", "perf gives a guest the ring that the host has filled",
        attribute(lbr, "guest_on", nothing), AFTER_HOST, FENCED, alone=True,
    ),
    Mutation(
        "no-restore-at-sched-in", "KVM does not put a guest's LBR back",
        entry(endpoint._HANDLERS, SchedIn, no_restore), AFTER_VM, KVM_SWITCH, alone=True,
    ),
    Mutation(
        "switch-loads-the-hosts", "a VM-entry loads the host's LBR in the place of the guest's",
        switched_with_the_hosts, LIVE_HOST, VMX_TRANSITION, alone=True,
    ),
]  # fmt: skip
