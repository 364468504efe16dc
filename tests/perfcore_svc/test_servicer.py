"""The perf core's end of the streams, without sockets."""

from __future__ import annotations

from types import SimpleNamespace

import grpc
import pytest

from contract.control import ConfigurePerf, MachineSpec
from contract.messages import Envelope, Hello
from contract.network import Fate
from contract.wire.methods import Decide
from contract.wire.status import CallError
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


def attach(shell: PerfcoreShell, kvm: str) -> None:
    shell.attached[kvm] = SimpleNamespace(kvm=kvm, run=None, token=f"token of {kvm}")  # type: ignore[assignment]


async def prolong(shell: PerfcoreShell, kvm: str, token: str = "") -> None:
    attach(shell, kvm)
    request = lease_pb2.ProlongRequest(stamp=STAMP, kvm=kvm, token=token or f"token of {kvm}")
    await shell.prolong(request)


async def test_a_kvm_prolongs_nothing_with_the_token_of_another(shell: PerfcoreShell) -> None:
    attach(shell, "kvm1")
    for token in ("token of kvm1", "token", "\u00e9"):
        with pytest.raises(CallError, match="this is not the token of kvm0") as refused:
            await prolong(shell, KVM, token)
        assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_kvm_that_begins_the_run_on_a_new_link_has_lost_none(shell: PerfcoreShell) -> None:
    shell.run.lose(KVM, True)
    await prolong(shell, "kvm1")
    assert shell.run.cut == {KVM}
    await prolong(shell, KVM)
    assert shell.run.cut == set()


async def test_a_kvm_that_has_a_session_has_lost_its_link(shell: PerfcoreShell) -> None:
    shell.run.receive([Envelope(KVM, True, 1, 1, Hello(KVM), 1)])
    attach(shell, KVM)
    await shell.decide(STAMP, Decide(KVM, 1, Fate.TAKE))
    shell.run.lose(KVM, True)
    await prolong(shell, KVM)
    assert shell.run.cut == {KVM}
