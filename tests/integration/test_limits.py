"""A service with small limits: each is named by what it refuses, and its other peers are served."""

from __future__ import annotations

import queue
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import grpc
import pytest

from client.drive.pair import Child, Pair
from client.drive.play import layout_of
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.schedule import Schedule
from contract.control import (
    Close,
    ConfigureKvm,
    ConfigurePerf,
    MachineSpec,
    Open,
    PerfSnapshot,
    RunTask,
    VmSpec,
)
from contract.errors import RefusedError
from contract.messages import Hello, RegisterVcpu
from contract.network import Fate
from contract.session import is_overrun
from contract.trace import SessionChange
from contract.wire.limits import table
from contract.wire.methods import Decide
from lbrlab.v1 import drive_pb2, drive_pb2_grpc, info_pb2, info_pb2_grpc, lease_pb2, lease_pb2_grpc
from tests.designs import FENCED, KVM_SWITCH
from tests.integration.by_hand import KVM, Host, attached
from tests.integration.story import VCPU
from tests.overrun import FAULTS, LIMIT, STORY, ShortWire

LOW = {
    "request-bytes": 65536,
    "connections": 6,
    "streams": 6,
    "peer-streams": 4,
    "calls": 6,
    "peer-calls": 4,
    "sessions": 3,
    "peer-sessions": 2,
    "tasks": 2,
    "vcpus": 3,
    "events": 2,
    "inbox": 1100,
    "unsent": 64,
    "backlog": 64,
}
SMALL_WINDOW = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 1024)]
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
TIMEOUT = 10.0


@pytest.fixture
def service() -> Iterator[Child]:
    flags = [part for name, most in LOW.items() for part in (f"--max-{name}", str(most))]
    with tempfile.TemporaryDirectory() as folder:
        child = Child("perfcore", "perfcore_svc.service.main", [*flags, "--listen", "127.0.0.1:0"], folder)
        child.wait_ready(time.monotonic() + TIMEOUT)
        yield child
        child.ask_to_stop()
        child.see_off(time.monotonic() + TIMEOUT)


class Peer:
    """One connection, with calls that stay open until it closes."""

    def __init__(self, service: Child) -> None:
        self.channel = grpc.insecure_channel(service.address, options=[("grpc.use_local_subchannel_pool", 1)])
        self.drive = drive_pb2_grpc.DriveServiceStub(self.channel)
        self.lease = lease_pb2_grpc.LeaseServiceStub(self.channel)
        self.open: list[Any] = []
        self._ends: list[queue.SimpleQueue[Any]] = []

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for end in self._ends:
            end.put(None)
        for call in self.open:
            call.cancel()
        self.channel.close()

    def stream(self) -> Any:
        """The answer to a first command on one more stream."""
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._ends.append(requests)
        call = self.drive.Drive(iter(requests.get, None), timeout=TIMEOUT)
        self.open.append(call)
        requests.put(drive_pb2.DriveRequest(method="None"))
        return next(call).failure.message

    def wait_for_the_lease(self, calls: int) -> Any:
        """Begin so many calls that wait; the first of them that is over."""
        ask = lease_pb2.AcquireRequest(owner="another", wait_ms=int(TIMEOUT * 1000))
        over: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(calls):
            self.open.append(self.lease.Acquire.future(ask, timeout=TIMEOUT))
            self.open[-1].add_done_callback(over.put)
        return over.get(timeout=TIMEOUT)

    def info(self) -> info_pb2.GetInfoResponse:
        info: info_pb2.GetInfoResponse = info_pb2_grpc.InfoServiceStub(self.channel).GetInfo(
            info_pb2.GetInfoRequest(), timeout=TIMEOUT
        )
        return info


def refusal(call: Any) -> str:
    """The text of a RESOURCE_EXHAUSTED."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    assert error.code() is EXHAUSTED, error
    return str(error.details())


def test_a_service_says_its_limits(service: Child) -> None:
    with Peer(service) as peer:
        assert dict(peer.info().limits) == {limit.name: limit.default for limit in table("perfcore")} | LOW


def test_streams(service: Child) -> None:
    with Peer(service) as one, Peer(service) as other:
        assert {one.stream() for _ in range(4)} == {"there is no method 'None'"}
        fifth = refusal(one.stream)
        assert {other.stream() for _ in range(2)} == {"there is no method 'None'"}
        seventh = refusal(other.stream)
        assert one.info().run == 0, "a peer with all its streams can still look"
        one.close()
        deadline = time.monotonic() + TIMEOUT
        while True:
            with suppress(grpc.RpcError):
                assert other.stream() == "there is no method 'None'"
                break
            assert time.monotonic() < deadline, "no room again"

    assert fifth.startswith("limit peer-streams: ipv4:127.0.0.1:")
    assert fifth.endswith(" has 4 already (--max-peer-streams)")
    assert seventh == "limit streams: this service has 6 already (--max-streams)"


def test_calls(service: Child) -> None:
    with Peer(service) as one, Peer(service) as other:
        one.lease.Acquire(lease_pb2.AcquireRequest(owner="one"), timeout=TIMEOUT)
        fifth = refusal(one.wait_for_the_lease(5).result)
        seventh = refusal(other.wait_for_the_lease(3).result)
        still_wait = [not call.done() for peer in (one, other) for call in peer.open]
        for call in one.open + other.open:
            call.cancel()
        one.lease.Release(lease_pb2.ReleaseRequest(owner="one"), timeout=TIMEOUT)

    assert fifth.endswith(" has 4 already (--max-peer-calls)")
    assert seventh == "limit calls: this service has 6 already (--max-calls)"
    assert sum(still_wait) == 6


def test_connections(service: Child) -> None:
    peers = [Peer(service) for _ in range(7)]
    try:
        for peer in peers[:6]:
            peer.info()
        with pytest.raises(grpc.RpcError) as caught:
            peers[6].info()
        error: Any = caught.value
        assert error.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        for peer in peers:
            peer.channel.close()


def test_request_bytes(service: Child) -> None:
    with Peer(service) as peer:
        too_big = drive_pb2.DriveRequest(method="Snapshot", request=bytes(65536))
        assert "larger than max" in refusal(lambda: next(peer.drive.Drive(iter([too_big]), timeout=TIMEOUT)))


def test_sessions(service: Child) -> None:
    with Peer(service) as one, Peer(service) as other:
        streams = [attached(peer.channel, name, name)[0] for peer, name in ((one, "a"), (one, "b"), (other, "c"))]
        third = refusal(lambda: attached(one.channel, "d", "d"))
        fourth = refusal(lambda: attached(other.channel, "d", "d"))
        for stream in streams:
            stream.close()

    assert third.startswith("limit peer-sessions: ipv4:127.0.0.1:")
    assert fourth == "limit sessions: this service has 3 already (--max-sessions)"


def test_a_kvm_that_does_not_read_loses_its_link_and_the_run_goes_on(service: Child) -> None:
    with closing(Host(service.address, KVM_SWITCH, SMALL_WINDOW)) as host:
        stream = host.attach()
        stream.send(host.frame(Hello(KVM), RegisterVcpu(VCPU, VCPU)))
        for n in (1, 2):
            host.call(Decide(KVM, n, Fate.TAKE))
        for _ in range(2000):
            host.call(RunTask(VCPU, 0))
            if host.call(RunTask("", 0)).stamp.lost:
                break
        lost = host.call(PerfSnapshot()).stamp.lost
        stream.close()
        failed = host.service.info(TIMEOUT).run_failed

    assert list(lost) == [KVM]
    assert failed == ""
    assert any("limit backlog: a peer that does not read has 64 already" in line for line in service.tail)


def test_a_kvm_that_fills_its_inbox_is_refused(service: Child) -> None:
    with closing(Host(service.address)) as host:
        stream = host.attach()
        for _ in range(6):
            stream.send(host.frame(*[Hello(KVM)] * 205))

        assert stream.status() == (EXHAUSTED, f"limit inbox: {KVM} has more than 1100 messages waiting (--max-inbox)")


def test_both_wires_give_up_a_silent_session_at_the_same_moment() -> None:
    schedule = Schedule((parse_fault(FAULTS["acknowledgements are lost"]),))
    simulated = run(Inputs(STORY, FENCED, schedule, ShortWire()))
    flags = ["--max-unsent", str(LIMIT)]
    with Pair(layout_of(STORY), flags={"perfcore": flags, "kvm": flags}) as pair:
        real = run(Inputs(STORY, FENCED, schedule, pair.wire)).finished()
        lines = [line for line in pair.perfcore.tail if "session-overrun" in line]
        pair.wire.perf(ConfigurePerf(MachineSpec(), FENCED, [], []))
        vms = [VmSpec(f"vm{n}", vcpus=16) for n in range(5)]
        with pytest.raises(RefusedError, match=r"^limit unsent: 80 asked for, at most 64 \(--max-unsent\)$"):
            pair.wire.kvm("kvm0", ConfigureKvm("kvm0", MachineSpec(), FENCED, vms))

    assert any(is_overrun(record) for record in simulated.of(SessionChange))
    assert real.records == simulated.records
    assert len(lines) == 1


def test_tasks_vcpus_and_events(service: Child) -> None:
    with closing(Host(service.address)) as host:
        host.run = 0
        with pytest.raises(RefusedError, match=r"^limit tasks: 3 asked for, at most 2 \(--max-tasks\)$"):
            host.call(ConfigurePerf(MachineSpec(), KVM_SWITCH, ["a", "b", "c"], []))
        with pytest.raises(RefusedError, match=r"^limit vcpus: 4 asked for, at most 3 \(--max-vcpus\)$"):
            host.call(ConfigurePerf(MachineSpec(), KVM_SWITCH, [], [f"vm0/{n}" for n in range(4)]))
        host.run = host.call(ConfigurePerf(MachineSpec(), KVM_SWITCH, ["a", "b"], [VCPU])).stamp.run
        for name in ("a", "b"):
            host.call(Open(name, 0))
        with pytest.raises(RefusedError, match=r"^limit events: 2 are open already \(--max-events\)$") as caught:
            host.call(Open("c", 0))
        host.call(Close("a"))
        host.call(Open("c", 0))

    assert caught.value.errno == "EMFILE"


def test_vms_and_vcpus_of_a_kvm() -> None:
    with Pair(flags={"kvm": ["--max-vms", "1", "--max-vcpus", "2"]}) as pair:
        wire, machine = pair.wire, MachineSpec()
        wire.begin()
        wire.perf(ConfigurePerf(machine, KVM_SWITCH, [], []))
        for vms, said in (
            ([VmSpec("vm0"), VmSpec("vm1")], "limit vms: 2 asked for, at most 1 (--max-vms)"),
            ([VmSpec("vm0", vcpus=3)], "limit vcpus: 3 asked for, at most 2 (--max-vcpus)"),
        ):
            with pytest.raises(RefusedError, match=f"^{re.escape(said)}$"):
                wire.kvm("kvm0", ConfigureKvm("kvm0", machine, KVM_SWITCH, vms))
        wire.kvm("kvm0", ConfigureKvm("kvm0", machine, KVM_SWITCH, [VmSpec("vm0", vcpus=2)]))
