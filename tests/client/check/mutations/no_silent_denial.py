from __future__ import annotations

import pytest

from contract.machine import GuestValue
from kvm_svc.hypervisor import msr
from kvm_svc.hypervisor.claim import GuestClaim
from kvm_svc.hypervisor.lbr import told
from kvm_svc.hypervisor.state import Handling, Hypervisor, Vcpu
from tests.client.check.mutations import Mutation, attribute
from tests.client.check.runs import HOST, USE, ordered
from tests.designs import FENCED, REVOKE_GP

LOST = ordered(USE + HOST + "vm0/0: w = wrmsr DEBUGCTL, LBR;")
NO_CALL_STACK = ordered(
    "host: run vm0/0 on cpu0; vm0/0: w = wrmsr DEBUGCTL, LBR;",
    head="machine { cpus = 1; lbr = sandybridge; kernel = v5.12; }\nvm vm0 { lbr = on; }",
)


def never_shut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuestClaim, "shut_off", property(lambda self: False))


def says_done(hv: Hypervisor, vcpu: Vcpu, work: Handling) -> GuestValue | None:
    told(hv, vcpu)
    return msr._answer(hv, vcpu, work, "done")


def ignores_errno(monkeypatch: pytest.MonkeyPatch) -> None:
    real = msr._must_ask

    def ask(hv: Hypervisor, vcpu: Vcpu, task: str = "") -> bool:
        if vcpu.lbr_desc.create_errno:
            vcpu.lbr_desc.create_errno = ""
            return False
        return real(hv, vcpu, task)

    monkeypatch.setattr(msr, "_must_ask", ask)


MUTATIONS = [
    Mutation(
        "never-shut-off", "KVM does not keep in mind that a guest has lost the LBR", never_shut_off,
        LOST, REVOKE_GP, alone=True,
    ),
    Mutation(
        "errno-ignored", "KVM takes the write that turns the LBR on although no event could be made", ignores_errno,
        NO_CALL_STACK, REVOKE_GP, alone=True,
    ),
    Mutation(
        "denial-says-done", "KVM answers a guest that it denies as if it were served",
        attribute(msr, "_denied", says_done), LOST, FENCED, alone=True,
    ),
]  # fmt: skip
