from __future__ import annotations

import pytest

from kvm_svc.hypervisor import capabilities, msr
from kvm_svc.hypervisor.lbr_msrs import is_guest_lbr_msr
from kvm_svc.hypervisor.state import Hypervisor, Vm
from tests.client.check.mutations import Mutation, attribute
from tests.client.check.runs import ordered
from tests.designs import FENCED, MERGED

LOAD = "host: run vm0/0 on cpu0; vm0/0: c = rdmsr PERF_CAPABILITIES;"
READ = ordered(LOAD + "vm0/0: t = rdmsr LBR_TOS;")
INFO = ordered(LOAD + "vm0/0: i = rdmsr LBR_INFO[0];")
TURN_ON = ordered(LOAD + "vm0/0: w = wrmsr DEBUGCTL, LBR;")
NO_CALL_STACK = ordered(
    LOAD + "vm0/0: t = rdmsr LBR_TOS;",
    head="machine { cpus = 1; lbr = sandybridge; kernel = v6.16; }\nvm vm0 { lbr = on; }",
)


def never_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    real = capabilities._note_enabled

    def note_enabled(hv: Hypervisor, vm: Vm) -> None:
        real(hv, vm)
        vm.lbr_enabled = False

    monkeypatch.setattr(capabilities, "_note_enabled", note_enabled)


def no_info(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        msr, "is_guest_lbr_msr", lambda hv, vm, index: index < 0xDC0 and is_guest_lbr_msr(hv, vm, index)
    )


MUTATIONS = [
    Mutation(
        "lbr-never-enabled", "KVM reports an LBR and does not enable it", never_enabled, READ, MERGED, alone=True,
    ),
    Mutation("no-info-registers", "KVM does not know the INFO registers", no_info, INFO, FENCED, alone=True),
    Mutation(
        "debugctl-drops-lbr", "KVM drops DEBUGCTL.LBR", attribute(msr, "supported_debugctl", lambda hv, vm: 0x800),
        TURN_ON, MERGED, alone=True,
    ),
]  # fmt: skip
