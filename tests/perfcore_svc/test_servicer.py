"""The perf core's end of the streams, without sockets."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from contract.control import ConfigurePerf, MachineSpec
from contract.messages import Envelope, Hello
from contract.network import Fate
from contract.wire.methods import Decide
from contract.wire.status import CallError
from lbrlab.v1 import lease_pb2, machine_pb2, trace_pb2
from perfcore_svc.service import free_part
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


class Free:
    """A free run."""

    halt = None

    async def reach(self, stamp: trace_pb2.Stamp) -> None:
        pass

    def hear(self, clock: int, now: int) -> None:
        pass


@pytest.fixture
def free(shell: PerfcoreShell) -> PerfcoreShell:
    """In a free run of two KVMs."""
    free: Any = Free()
    shell.run.free = free
    attach(shell, KVM)
    attach(shell, "kvm1")
    return shell


def request(kvm: str, clock: int = 0, now: int = 0) -> machine_pb2.RunRequest:
    at = trace_pb2.Stamp(run=1, owner="me", clock=clock, now_ns=now)
    return machine_pb2.RunRequest(stamp=at, token=f"token of {kvm}", begin_step=machine_pb2.BeginStep(vcpu="v", cpu=-1))


async def test_others_wait_until_the_kvm_of_a_step_ends_it(
    free: PerfcoreShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = machine_pb2.RunResponse()
    monkeypatch.setattr(free.machine, "_answer_once", lambda request: answer)
    assert (await free.free_part.begin(request(KVM))).HasField("step_begun")

    other = asyncio.create_task(free.machine.served(request("kvm1")))
    free.free_part.end(request("kvm1"))
    assert await free.machine.served(request(KVM)) is answer
    for _ in range(5):
        await asyncio.sleep(0)
    assert not other.done()
    free.free_part.end(request(KVM, 40, 90))

    assert await other is answer
    assert free.run.heard == (40, 90)
    async with free.lock:
        assert free.free_part._step is None


async def test_a_step_that_does_not_end_fails_the_run(free: PerfcoreShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_part, "STEP_LIMIT", 0)
    await free.free_part.begin(request(KVM))
    async with asyncio.timeout(10), free.lock:
        pass
    with pytest.raises(CallError, match="kvm0 has not ended its step"):
        free.run.check()


async def test_a_step_can_end_before_it_begins(free: PerfcoreShell) -> None:
    async with free.lock:
        begun = asyncio.create_task(free.free_part.begin(request(KVM)))
        await asyncio.sleep(0)
        free.free_part.end(request(KVM))
    assert (await begun).failure.message == "it has ended before it began"
    async with free.lock:
        assert free.free_part._step is None
