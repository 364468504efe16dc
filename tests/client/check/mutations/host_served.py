from __future__ import annotations

import pytest

from perfcore_svc.machine.machine import Machine
from perfcore_svc.perf import lbr
from perfcore_svc.perf.context import PerfCpu
from tests.client.check.mutations import Mutation
from tests.client.check.runs import ordered
from tests.designs import MERGED, REVOKE_GP, VMX_TRANSITION

SAMPLED = ordered("host: h0 = open cpu0 pinned branch any; host: branch 3; host: s = sample h0;", actors="host")
TOGETHER = ordered(
    "host: run vm0/0 on cpu0; host: h0 = open cpu0 pinned branch any; host: branch 3; vm0/0: wrmsr DEBUGCTL, LBR;"
    "vm0/0: branch 4; vm0/0: cpuid; host: branch 1; host: s = sample h0;"
)
"""Host and guest each with the whole LBR in turn."""
OVERFLOW = ordered("host: h0 = open cpu0 pinned branch any period 12; host: branch 20;", actors="host")


def half(monkeypatch: pytest.MonkeyPatch) -> None:
    real = lbr.lbr_read

    def read(machine: Machine, pc: PerfCpu) -> bool:
        was_read = real(machine, pc)
        pc.lbr_stack = (pc.lbr_stack[0][:1], pc.lbr_stack[1][:1])
        return was_read

    monkeypatch.setattr(lbr, "lbr_read", read)


def never_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lbr, "_switch", lambda machine, cpu, on, freeze: None)


def forgets_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Machine._store_guest_lbr

    def store(self: Machine, cpu, vmcs, vcpu):  # type: ignore[no-untyped-def]
        vmcs.host_lbr = None
        return real(self, cpu, vmcs, vcpu)

    monkeypatch.setattr(Machine, "_store_guest_lbr", store)


def records_while_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Machine.handler_branches

    def branches(self: Machine, cpu, count, recording):  # type: ignore[no-untyped-def]
        return real(self, cpu, count, True)

    monkeypatch.setattr(Machine, "handler_branches", branches)


MUTATIONS = [
    Mutation("half-a-read", "perf reads the newest entry only", half, SAMPLED, REVOKE_GP, alone=True),
    Mutation("lbr-stays-off", "perf does not turn the LBR on", never_on, SAMPLED, MERGED, alone=True),
    Mutation(
        "exit-forgets-the-host", "a VM-exit does not put the host's LBR back", forgets_the_host,
        TOGETHER, VMX_TRANSITION, alone=True,
    ),
    Mutation(
        "records-while-frozen", "the interrupt handler's branches are recorded although the LBR is frozen",
        records_while_frozen, OVERFLOW, REVOKE_GP, alone=True,
    ),
]  # fmt: skip
