"""The perf core's end of the streams, without sockets."""

from __future__ import annotations

import pytest

from contract.control import ConfigurePerf, MachineSpec
from contract.messages import Envelope, Hello
from contract.network import Fate
from contract.wire.methods import Decide
from lbrlab.v1 import lease_pb2, trace_pb2
from perfcore_svc.service.servicer import PerfcoreShell
from tests.designs import FENCED

KVM = "kvm0"


@pytest.fixture
async def shell() -> PerfcoreShell:
    """In run 1."""
    shell = PerfcoreShell()
    await shell.configure(trace_pb2.Stamp(owner="me"), ConfigurePerf(MachineSpec(), FENCED, [], ["vm0/0"]))
    return shell


STAMP = trace_pb2.Stamp(run=1, owner="me")


async def test_a_kvm_that_begins_the_run_on_a_new_link_has_lost_none(shell: PerfcoreShell) -> None:
    shell.run.lose(KVM, True)
    await shell.prolong(lease_pb2.ProlongRequest(stamp=STAMP, kvm="kvm1"))
    assert shell.run.cut == {KVM}
    await shell.prolong(lease_pb2.ProlongRequest(stamp=STAMP, kvm=KVM))
    assert shell.run.cut == set()


async def test_a_kvm_that_has_a_session_has_lost_its_link(shell: PerfcoreShell) -> None:
    shell.run.receive([Envelope(KVM, True, 1, 1, Hello(KVM), 1)])
    shell.attached[KVM] = None  # type: ignore[assignment]
    await shell.decide(STAMP, Decide(KVM, 1, Fate.TAKE))
    shell.run.lose(KVM, True)
    await shell.prolong(lease_pb2.ProlongRequest(stamp=STAMP, kvm=KVM))
    assert shell.run.cut == {KVM}
