from __future__ import annotations

import pytest

from perfcore_svc.machine.machine import Machine
from perfcore_svc.perf import lbr
from perfcore_svc.perf.context import PerfCpu
from tests.client.check.mutations import Mutation, attribute, nothing
from tests.client.check.runs import ordered
from tests.designs import KVM_SWITCH, REVOKE_GP

TASKS = "machine { cpus = 1; depth = 8; }\ntask t0; task t1;\nvm vm0 { lbr = on; }"
FILTERED = ordered(
    "host: h1 = open cpu0 pinned branch any_call; host: disable h1; host: h0 = open cpu0 pinned branch any;"
    "host: branch 3 jmp; host: disable h0; host: enable h1; host: s = sample h1;",
    actors="host",
    head=TASKS,
)
"""The ring holds what another event recorded, and the software filter has to drop it."""
SCOPED = ordered(
    "host: h0 = open task t0 pinned branch any; host: h1 = open cpu0 pinned branch any; host: run t1 on cpu0;"
    "host: branch 3; host: run t0 on cpu0; host: s = sample h0;",
    actors="host",
    head=TASKS,
)
"""A CPU-wide event records another task before the one that h0 is about."""
GUEST = ordered(
    "host: h0 = open cpu0 pinned branch any; host: run vm0/0 on cpu0; vm0/0: branch 3; vm0/0: cpuid; host: branch 1;"
    "host: s = sample h0;"
)
"""The guest's LBR is off while the host's is on."""


def read_all(machine: Machine, pc: PerfCpu) -> bool:
    """Without the software filter."""
    ring = machine.cpus[pc.index].lbr
    order = [i for i in ring.newest_first() if ring.from_ip[i]]
    pc.lbr_stack = ([ring.from_ip[i] for i in order], [ring.to_ip[i] for i in order])
    return True


def keep_host_debugctl(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Machine._run

    def run(self: Machine, cpu, vmcs, ops, active):  # type: ignore[no-untyped-def]
        cpu.debugctl |= vmcs.host_debugctl & 1
        return real(self, cpu, vmcs, ops, active)

    attribute(Machine, "_run", run)(monkeypatch)


MUTATIONS = [
    Mutation(
        "no-software-filter", "perf gives a sample everything that it read", attribute(lbr, "lbr_read", read_all),
        FILTERED, REVOKE_GP, alone=True,
    ),
    Mutation(
        "switch-does-not-reset", "perf does not clear the ring for the next task", attribute(lbr, "lbr_reset", nothing),
        SCOPED, REVOKE_GP, alone=True,
    ),
    Mutation(
        "entry-keeps-host-debugctl", "a VM-entry leaves the host's DEBUGCTL.LBR on", keep_host_debugctl,
        GUEST, KVM_SWITCH,
    ),
]  # fmt: skip
