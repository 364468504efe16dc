from __future__ import annotations

import pytest

from kvm_svc.hypervisor import entry as vm_entry
from kvm_svc.hypervisor.state import Hypervisor
from tests.client.check.mutations import Mutation, Patch, attribute
from tests.client.check.runs import USE, ordered
from tests.designs import MERGED, REVOKE_GP

LEAVES = ordered(USE + "vm0/0: cpuid;")
"""A guest with its LBR on exits to a host that has it off."""
HOST_ON = ordered("host: h0 = open cpu0 pinned branch any; host: run vm0/0 on cpu0; vm0/0: cpuid; host: branch 2;")
HOST_LATER = ordered("host: run vm0/0 on cpu0; vm0/0: cpuid; host: h0 = open cpu0 pinned branch any; vm0/0: cpuid;")
"""The host's DEBUGCTL changes while the guest's thread is on the CPU."""


def controls(field: str, value: object) -> Patch:
    """Each entry with another value of one of its controls."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        real = vm_entry._controls

        def changed(*arguments):  # type: ignore[no-untyped-def]
            found = real(*arguments)
            setattr(found, field, value)
            return found

        attribute(vm_entry, "_controls", changed)(monkeypatch)

    return patch


MUTATIONS = [
    Mutation(
        "guest-value-stays", "KVM leaves the guest's DEBUGCTL in the register", controls("keep_debugctl", True),
        LEAVES, MERGED, alone=True,
    ),
    Mutation(
        "cleared-at-exit", "KVM restores nothing after an exit, which clears the register",
        controls("host_debugctl", 0), HOST_ON, REVOKE_GP,
    ),
    Mutation(
        "read-at-load", "KVM reads the host's DEBUGCTL when the thread gets a CPU, not before each entry",
        attribute(Hypervisor, "remembers_at_load", property(lambda self: True)), HOST_LATER, REVOKE_GP, alone=True,
    ),
]  # fmt: skip
