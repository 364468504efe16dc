from __future__ import annotations

from typing import Any

import pytest

from kvm_svc.hypervisor import pmi, run
from kvm_svc.hypervisor.state import Hypervisor, Vcpu
from perfcore_svc.perf import core, opening
from perfcore_svc.perf.event import PerfEvent
from tests.client.check.mutations import Mutation, Patch, attribute
from tests.client.check.runs import USE, ordered
from tests.designs import REVOKE_GP

IN_USE = ordered(USE + "vm0/0: nop;")


def event_with(**changes: Any) -> Patch:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        real = opening.guest_event

        def changed(*arguments: Any) -> PerfEvent:
            event = real(*arguments)
            for name, value in changes.items():
                setattr(event, name, value)
            return event

        monkeypatch.setattr(core, "guest_event", changed)

    return patch


def unasked(hv: Hypervisor, vcpu: Vcpu) -> None:
    vcpu.pmu.pmi = True
    pmi.deliver_pmi(hv, vcpu)


MUTATIONS = [
    Mutation(
        "takes-a-counter", "the guest's event takes a general counter", event_with(counters=0b1, listed=True),
        IN_USE, REVOKE_GP, alone=True,
    ),
    Mutation(
        "overflows", "the guest's event counts and overflows", event_with(period=3, overflow_at=3), IN_USE, REVOKE_GP,
        alone=True,
    ),
    Mutation(
        "pmi-unasked", "KVM injects a PMI before each entry", attribute(run, "deliver_pmi", unasked), IN_USE, REVOKE_GP,
        alone=True,
    ),
]  # fmt: skip
