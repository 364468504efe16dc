from __future__ import annotations

import pytest

import kvm_svc.endpoint
from contract.messages import Revoke
from kvm_svc.hypervisor import entry as vm_entry
from kvm_svc.hypervisor import lbr, notifications
from tests.client.check.mutations import Mutation, attribute, entry, nothing
from tests.client.check.runs import AGAIN, HOST, USE, ordered
from tests.designs import REVOKE_GP

GOES_ON = ordered(USE + HOST + AGAIN)
HOST_LEFT = ordered(USE + "host: h0 = open cpu0 pinned branch any; host: close h0; vm0/0: branch 2;")
"""The host takes the LBR and does not use it any more when the guest continues."""


def stays_on(monkeypatch: pytest.MonkeyPatch) -> None:
    attribute(lbr, "turn_off", nothing)(monkeypatch)
    attribute(vm_entry, "forbids_unbacked_use", lambda hv: False)(monkeypatch)


MUTATIONS = [
    Mutation(
        "kvm-is-deaf", "KVM ignores that a grant is revoked", entry(kvm_svc.endpoint._HANDLERS, Revoke, nothing),
        GOES_ON, REVOKE_GP,
    ),
    Mutation(
        "no-denial", "KVM takes a Revoke and denies nothing", attribute(notifications, "deny", nothing),
        GOES_ON, REVOKE_GP,
    ),
    Mutation(
        "lbr-stays-on", "KVM enters a guest with its LBR on after a Revoke", stays_on, HOST_LEFT, REVOKE_GP, alone=True,
    ),
]  # fmt: skip
