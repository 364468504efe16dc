"""The simulated wire has no core before a Configure, and a new one after each."""

from __future__ import annotations

import pytest

from client.drive.sim import SimWire
from contract.control import ConfigureKvm, ConfigurePerf, KvmSnapshot, MachineSpec, Open, PerfSnapshot, VmSpec
from contract.errors import RefusedError
from contract.messages import HOST
from contract.network import Fate
from contract.results import Done
from tests.designs import MERGED

PERF = ConfigurePerf(MachineSpec(), MERGED, ["t"], ["vm0/0"])
KVM = ConfigureKvm("kvm0", MachineSpec(), MERGED, [VmSpec("vm0")])


def test_before_configure_there_is_nothing_to_ask() -> None:
    wire = SimWire()
    for ask in (
        lambda: wire.perf(PerfSnapshot()),
        lambda: wire.kvm("kvm0", KVM),
        lambda: wire.decide(HOST, Fate.TAKE, "kvm0", 1),
    ):
        with pytest.raises(RefusedError) as refused:
            ask()
        assert refused.value.errno == "ENXIO"
    wire.perf(PERF)
    with pytest.raises(RefusedError, match="not configured yet"):
        wire.kvm("kvm0", KvmSnapshot())


def test_each_configure_makes_a_new_core_and_a_refused_one_keeps_the_old() -> None:
    wire = SimWire()
    wire.perf(PERF)
    assert wire.perf(Open("h0", 0)).result == Done()
    with pytest.raises(RefusedError):
        wire.perf(ConfigurePerf(MachineSpec(cpus=0), MERGED, [], []))
    assert list(wire.host.perf.named) == ["h0"]
    wire.perf(PERF)
    assert list(wire.host.perf.named) == []
