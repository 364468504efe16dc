from __future__ import annotations

from collections.abc import Generator
from copy import deepcopy

import pytest

import kvm_svc.endpoint
from contract.machine import AnyReply, AnyRequest
from contract.messages import SchedOut
from kvm_svc.hypervisor import entry as vm_entry
from kvm_svc.hypervisor import msr, notifications
from kvm_svc.hypervisor.lbr import set_passthrough
from kvm_svc.hypervisor.state import Hypervisor, Vcpu
from perfcore_svc.perf import lbr
from tests.client.check.mutations import Mutation, attribute, entry, nothing
from tests.client.check.runs import ordered
from tests.designs import FENCED, KVM_SWITCH, MERGED

TWO_VCPUS = "machine { cpus = 1; depth = 8; }\nvm vm0 { vcpus = 2; lbr = on; }"
TWO_VMS = "machine { cpus = 1; depth = 8; }\nvm vm0 { lbr = on; }\nvm vm1 { lbr = on; }"
AFTER_SIBLING = ordered(
    "host: run vm0/0 on cpu0; vm0/0: wrmsr DEBUGCTL, LBR; vm0/0: branch 8; host: run vm0/1 on cpu0;"
    "vm0/1: f = rdmsr LBR_FROM[3];",
    actors="host, vm0/0, vm0/1",
    head=TWO_VCPUS,
)
"""A guest that has recorded nothing reads after another vCPU of its VM."""
TURNS = ordered(
    "".join(f"host: run {v} on cpu0; {v}: wrmsr DEBUGCTL, LBR; {v}: branch 8;" for v in ("vm0/0", "vm1/0"))
    + "".join(f"host: run {v} on cpu0; {v}: g = rdmsr LBR_STACK;" for v in ("vm0/0", "vm1/0")),
    actors="host, vm0/0, vm1/0",
    head=TWO_VMS,
)


def activate_uncleared(hv: Hypervisor, vcpu: Vcpu, task: str = "") -> Generator[AnyRequest, AnyReply, None]:
    if not vcpu.saved.active:
        vcpu.saved.active = True
        set_passthrough(hv, vcpu, True, "first LBR access")
    return
    yield


def swap_snapshots(hv: Hypervisor, message: SchedOut) -> None:
    notifications.sched_out(hv, message)
    other = hv.vcpus["vm1/0" if message.vcpu == "vm0/0" else "vm0/0"]
    other.saved.snapshot = deepcopy(message.lbr)


def no_clearing(monkeypatch: pytest.MonkeyPatch) -> None:
    attribute(msr, "activate", activate_uncleared)(monkeypatch)
    attribute(vm_entry, "activate", activate_uncleared)(monkeypatch)


MUTATIONS = [
    Mutation(
        "first-use-does-not-clear", "KVM lets a guest in without clearing the ring", no_clearing,
        AFTER_SIBLING, KVM_SWITCH, alone=True,
    ),
    Mutation(
        "first-user-does-not-reset", "perf lets its first LBR user find what the ring holds",
        attribute(lbr, "lbr_reset", nothing), AFTER_SIBLING, MERGED, alone=True,
    ),
    Mutation(
        "grant-does-not-clear", "perf gives the ring to a guest as it is", attribute(lbr, "guest_on", nothing),
        AFTER_SIBLING, FENCED, alone=True,
    ),
    Mutation(
        "snapshots-swapped", "a thread's snapshot is put with another vCPU",
        entry(kvm_svc.endpoint._HANDLERS, SchedOut, swap_snapshots), TURNS, KVM_SWITCH,
    ),
]  # fmt: skip
