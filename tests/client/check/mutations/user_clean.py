from __future__ import annotations

from contract.lbr_ring import LbrRing
from contract.provenance import branch_base
from kvm_svc.hypervisor import msr, userspace
from kvm_svc.hypervisor.lbr_msrs import is_guest_lbr_msr
from kvm_svc.hypervisor.state import Hypervisor, Vcpu
from perfcore_svc.perf import lbr
from tests.client.check.mutations import Mutation, attribute, nothing
from tests.client.check.mutations.guest_clean import no_clearing
from tests.client.check.runs import ordered
from tests.designs import FENCED, KVM_SWITCH, VMX_TRANSITION

ELSEWHERE = ordered(
    "host: run vm0/0 on cpu0; host: run t1 on cpu1; host: h = open cpu1 pinned branch any; host: branch 8 on cpu1;"
    "host: disable h; vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: branch 2; vm0/0: cpuid;"
    "user: u = get vm0/0 LBR_FROM[5] from t1;",
    actors="host, vm0/0, user",
    head="machine { cpus = 2; depth = 8; }\ntask t1;\nvm vm0 { lbr = on; }",
)
"""Another task makes the ioctl, on a CPU where a host event has recorded."""
OWN_THREAD = ordered(
    "host: h = open cpu0 pinned branch any; host: branch 8; host: close h; host: run vm0/0 on cpu0;"
    "user: u = get vm0/0 LBR_FROM[5];",
    actors="host, vm0/0, user",
)
"""The vCPU's own thread makes it, before the guest has run."""


def serves_any_thread(hv: Hypervisor, vcpu: Vcpu, thread: str, index: int) -> bool:
    return is_guest_lbr_msr(hv, vcpu.vm, index)


_FOUND = branch_base(0, False, "jmp", "kernel")


class FoundRing(LbrRing):
    """As if the ioctl read a register, and found there what the idle task has left."""

    def get(self, index: int) -> int | None:
        return None if super().get(index) is None else _FOUND


MUTATIONS = [
    Mutation(
        "serves-any-thread", "the fence serves the ioctl of any thread",
        attribute(userspace, "_is_lbr_msr", serves_any_thread),
        ELSEWHERE, FENCED, alone=True,
    ),
    Mutation(
        "first-use-does-not-clear", "the ioctl that activates the guest's LBR does not clear it", no_clearing,
        OWN_THREAD, KVM_SWITCH, alone=True,
    ),
    Mutation(
        "grant-does-not-clear", "the ioctl that makes the guest's event finds the host's ring",
        attribute(lbr, "guest_on", nothing), OWN_THREAD, FENCED, alone=True,
    ),
    Mutation(
        "reads-a-register", "KVM reads the register where the guest's LBR is an image",
        attribute(msr, "LbrRing", FoundRing), OWN_THREAD, VMX_TRANSITION, alone=True,
    ),
]  # fmt: skip
