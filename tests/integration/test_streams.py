"""The streams between the services, spoken to by hand; and what every service offers besides."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from hypothesis import given, settings
from hypothesis import strategies as st

from client.drive.grpc_service import BrokenCallError, Service
from client.drive.grpc_wire import GrpcWire
from client.drive.pair import Child, Pair
from contract.control import LoseLink, PerfSnapshot, RunTask, StepVcpu
from contract.machine import Nop, StoreLbr
from contract.messages import PROTOCOL_VERSION, Hello, RegisterVcpu, Resume
from contract.network import Fate
from contract.wire.codec import to_proto
from contract.wire.methods import Decide
from lbrlab.v1 import (
    contract_pb2,
    machine_pb2,
    trace_pb2,
)
from tests.designs import REVOKE_GP
from tests.integration.by_hand import KVM, TIMEOUT, Host, Stream, attached
from tests.integration.health import NOT_SERVING, SERVING, health_of
from tests.integration.story import VCPU, guest, host, set_up, tell


@pytest.fixture
def perfcore(pair: Pair) -> Iterator[Host]:
    host = Host(pair.perfcore.address)
    yield host
    host.close()


def test_a_session_by_hand(perfcore: Host) -> None:
    stream = perfcore.attach()
    stream.send(perfcore.frame(Hello(KVM), RegisterVcpu(VCPU, VCPU)))
    perfcore.call(Decide(KVM, 1, Fate.TAKE))
    perfcore.call(Decide(KVM, 2, Fate.TAKE))
    perfcore.call(RunTask(VCPU, 0))
    kinds: list[str | None] = []
    while len(kinds) < 2:
        kinds += [envelope.WhichOneof("body") for envelope in stream.receive().envelopes]
    stream.close()

    assert kinds == ["welcome", "sched_in"]


def test_frames_of_another_run_are_thrown_away(perfcore: Host) -> None:
    stream = perfcore.attach()
    stream.send(perfcore.frame(Hello("other"), run=perfcore.run - 1))
    stream.send(perfcore.frame(Hello("other"), run=perfcore.run + 1))
    stream.send(perfcore.frame(Hello(KVM)))
    delivery = perfcore.call(Decide(KVM, 1, Fate.TAKE))
    stream.close()

    assert b'"kvm":"other"' not in b"".join(r.json for r in delivery.records)


def test_the_end_of_a_stream_is_the_loss_of_its_link_and_a_new_one_resumes(perfcore: Host) -> None:
    stream = perfcore.attach()
    stream.send(perfcore.frame(Hello(KVM)))
    perfcore.call(Decide(KVM, 1, Fate.TAKE))
    stream.close()
    deadline = time.monotonic() + TIMEOUT
    while KVM not in perfcore.call(PerfSnapshot()).stamp.lost:
        assert time.monotonic() < deadline
    (lost,) = perfcore.call(LoseLink(KVM)).records
    again = perfcore.attach()
    again.send(perfcore.frame(Resume(KVM, PROTOCOL_VERSION, 1, 0), first=2))
    resumed = perfcore.call(Decide(KVM, 2, Fate.TAKE)).records
    (welcome,) = again.receive().envelopes
    again.close()

    assert lost.kind == "session-change"
    assert b'"old":"open","new":"lost"' in lost.json
    assert [record.kind for record in resumed] == ["delivery", "send"]
    assert (welcome.WhichOneof("body"), welcome.welcome.accepted) == ("welcome", True)
    assert perfcore.service.info(TIMEOUT).run_failed == ""


def flood(perfcore: Host, stream: Stream) -> tuple[grpc.StatusCode, str]:
    """Send more messages than an inbox holds, then a frame of another KVM; how the stream ends."""
    for first in range(1, 1281, 256):
        stream.send(perfcore.frame(*[Hello(KVM)] * 256, first=first))
    stream.send(contract_pb2.AttachRequest(kvm="kvm8"))
    return stream.status()


def test_a_flood_ends_its_own_stream_and_not_the_run(perfcore: Host) -> None:
    code, why = flood(perfcore, perfcore.attach())
    lost = perfcore.call(PerfSnapshot()).stamp.lost

    assert (code, why) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        f"limit inbox: {KVM} has more than 1024 messages waiting (--max-inbox)",
    )
    assert list(lost) == [KVM]
    assert perfcore.service.info(TIMEOUT).run_failed == ""


def test_a_kvm_without_the_token_of_the_driver_takes_no_part(perfcore: Host) -> None:
    """Only KVMs that the driver has configured have it. The others are not heard, and nobody misses them."""
    stranger, _ = attached(perfcore.channel, KVM, "mine")
    code, _ = flood(perfcore, stranger)
    lost = perfcore.call(PerfSnapshot()).stamp.lost

    assert code is grpc.StatusCode.INVALID_ARGUMENT, "for the last frame, after those that were thrown away"
    assert list(lost) == []


def test_a_stream_that_took_no_part_may_end(perfcore: Host) -> None:
    before = perfcore.attach()
    after = perfcore.attach()
    assert list(before._call) == []
    after.close()
    perfcore.call(PerfSnapshot())

    assert perfcore.service.info(TIMEOUT).run_failed == ""


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (contract_pb2.AttachRequest(kvm="x" * 200), "kvm: must be at most 128 characters"),
        (contract_pb2.AttachRequest(kvm="kvm8"), f"a frame of {KVM} carries what is not its own"),
        (
            contract_pb2.AttachRequest(kvm=KVM, envelopes=[contract_pb2.Envelope(session=KVM, seq=1, epoch=1)]),
            r"envelopes[0].body: exactly one field is required in oneof",
        ),
    ],
    ids=["rule", "name", "oneof"],
)
def test_a_bad_frame_ends_the_stream(perfcore: Host, frame: Any, reason: str) -> None:
    stream = perfcore.attach()
    stream.send(frame)

    assert stream.status() == (grpc.StatusCode.INVALID_ARGUMENT, reason)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"protocol": 999}, grpc.StatusCode.FAILED_PRECONDITION),
        ({"run": 1}, grpc.StatusCode.INVALID_ARGUMENT),
        ({"instance": "another"}, grpc.StatusCode.ALREADY_EXISTS),
    ],
)
def test_a_first_frame_that_breaks_a_rule_is_refused(
    perfcore: Host, change: dict[str, Any], code: grpc.StatusCode
) -> None:
    first = perfcore.attach()
    stream = Stream(perfcore.contract.Attach)
    stream.send(contract_pb2.AttachRequest(**{"kvm": KVM, "protocol": PROTOCOL_VERSION, "instance": "mine", **change}))
    said = stream.status()
    first.send(perfcore.frame(Hello(KVM)))
    perfcore.call(Decide(KVM, 1, Fate.TAKE))
    first.close()

    assert said[0] is code


def test_messages_of_another_session_or_direction_end_the_stream(perfcore: Host) -> None:
    frame = perfcore.frame(Hello("kvm8"), session="kvm8")
    backwards = perfcore.frame(Hello(KVM))
    backwards.envelopes[0].to_host = False
    for bad in (frame, backwards):
        stream = perfcore.attach()
        stream.send(bad)
        assert stream.status()[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_random_bytes_on_the_streams(pair: Pair, perfcore: Host) -> None:
    methods = [
        perfcore.channel.stream_stream(path)
        for path in ("/lbrlab.v1.ContractService/Attach", "/lbrlab.v1.MachineService/Run")
    ]

    @settings(max_examples=30, deadline=None)
    @given(st.sampled_from(methods), st.lists(st.binary(max_size=40), min_size=1, max_size=3))
    def holds(method: Any, frames: list[bytes]) -> None:
        call = method(iter(frames), timeout=TIMEOUT)
        with suppress(grpc.RpcError):
            for _ in call:
                pass
        refused = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
        assert call.code() in (grpc.StatusCode.OK, *refused)

    holds()
    assert perfcore.service.info(TIMEOUT).service == "perfcore"


def machine_request(perfcore: Host, run: int, clock: int = 0, n: int = 1) -> Any:
    store = to_proto(StoreLbr(VCPU, 0), machine_pb2.StoreLbr)
    stamp = trace_pb2.Stamp(run=run, clock=clock, owner=perfcore.service.owner)
    return machine_pb2.RunRequest(n=n, token=perfcore.token, stamp=stamp, store_lbr=store)


def test_the_machine_stream_by_hand(perfcore: Host) -> None:
    contract = perfcore.attach()
    perfcore.call(RunTask(VCPU, 0))
    stream = Stream(perfcore.machine.Run)
    stream.send(machine_request(perfcore, perfcore.run, 100))
    answer = stream.receive()
    stream.close()

    assert answer.WhichOneof("reply") == "lbr_stored"
    assert [(r.seq, r.kind) for r in answer.records] == [(101, "lbr-save")]
    assert (answer.stamp.run, answer.stamp.clock) == (perfcore.run, 101)
    contract.close()


def test_a_machine_request_that_comes_again_is_not_carried_out_again(perfcore: Host) -> None:
    contract = perfcore.attach()
    perfcore.call(RunTask(VCPU, 0))
    answers = []
    for n in (1, 1, 2):
        stream = Stream(perfcore.machine.Run)
        stream.send(machine_request(perfcore, perfcore.run, 100, n))
        answers.append(stream.receive())
        stream.close()

    assert [answer.stamp.clock for answer in answers] == [101, 101, 102]
    assert answers[0] == answers[1]
    contract.close()


def test_a_machine_request_without_the_token_of_an_attached_kvm_changes_nothing(perfcore: Host) -> None:
    contract = perfcore.attach()
    perfcore.call(RunTask(VCPU, 0))
    right, failures = perfcore.token, []
    for token in ("", "0" * 32, right[:-1], right + "0"):
        perfcore.token = token
        stream = Stream(perfcore.machine.Run)
        stream.send(machine_request(perfcore, perfcore.run, 100))
        failures.append(stream.receive().failure)
        stream.close()
    perfcore.token = right
    stream = Stream(perfcore.machine.Run)
    stream.send(machine_request(perfcore, perfcore.run, 100))

    assert {failure.code for failure in failures} == {grpc.StatusCode.PERMISSION_DENIED.value[0]}
    assert {failure.message for failure in failures} == {"this is not the token of an attached KVM"}
    assert stream.receive().stamp.clock == 101
    stream.close()
    contract.close()


def test_a_kvm_acts_for_its_own_vcpus_only(perfcore: Host) -> None:
    """Another session has registered the vCPU (R7). The two services of the pair stay out of this run."""
    owner = perfcore.attach()
    owner.send(perfcore.frame(Hello(KVM), RegisterVcpu(VCPU, VCPU)))
    for n in (1, 2):
        perfcore.call(Decide(KVM, n, Fate.TAKE))
    perfcore.call(RunTask(VCPU, 0))
    mine = perfcore.token
    other = Stream(perfcore.contract.Attach)
    other.send(contract_pb2.AttachRequest(kvm="evil", protocol=PROTOCOL_VERSION, instance="evil"))
    theirs = other.receive().token
    answers = []
    for token in (theirs, mine):
        perfcore.token = token
        stream = Stream(perfcore.machine.Run)
        stream.send(machine_request(perfcore, perfcore.run, 100))
        answers.append(stream.receive())
        stream.close()
    other.close()
    owner.close()

    assert answers[0].failure.message == f"{VCPU} belongs to session {KVM}, not to evil"
    assert answers[1].WhichOneof("reply") == "lbr_stored"


def test_a_machine_request_of_another_run_is_told_so_and_the_stream_stays(perfcore: Host) -> None:
    contract = perfcore.attach()
    perfcore.call(RunTask(VCPU, 0))
    stream = Stream(perfcore.machine.Run)
    stream.send(machine_request(perfcore, perfcore.run - 1 or 99))
    failure = stream.receive().failure
    stream.send(machine_request(perfcore, perfcore.run, n=2))

    assert failure.code == grpc.StatusCode.ABORTED.value[0]
    assert stream.receive().WhichOneof("reply") == "lbr_stored"
    stream.close()
    contract.close()


@pytest.mark.parametrize("service", ["perfcore", "kvm"])
def test_health_reflection_and_channelz(pair: Pair, service: str) -> None:
    control = {"perfcore": "lbrlab.v1.PerfControlService", "kvm": "lbrlab.v1.KvmControlService"}[service]
    address = getattr(pair, service).address
    with grpc.insecure_channel(address) as channel:
        offered = set(ProtoReflectionDescriptorDatabase(channel).get_services())
        asked = channelz_pb2.GetServersRequest()
        servers = channelz_pb2_grpc.ChannelzStub(channel).GetServers(asked, timeout=TIMEOUT).server

    assert health_of(address, control, "lbrlab.v1.InfoService", "", "readiness", "liveness") == [SERVING] * 5
    assert health_of(address, "lbrlab.v1.NoService") == [None]
    common = {"lbrlab.v1.InfoService", "lbrlab.v1.TraceService", "grpc.health.v1.Health"}
    assert {control, *common} <= offered
    assert sum(server.data.calls_started for server in servers) > 0


def test_over_tcp() -> None:
    tcp = ["--listen", "127.0.0.1:0"]
    with tempfile.TemporaryDirectory() as folder:
        perfcore = Child("perfcore", "perfcore_svc.service.main", tcp, folder)
        perfcore.wait_ready(time.monotonic() + 30)
        kvm = Child("kvm", "kvm_svc.service.main", ["--perfcore", perfcore.address, *tcp], folder)
        kvm.wait_ready(time.monotonic() + 30)
        wire = GrpcWire(perfcore.address, kvm.address)
        tell(wire, REVOKE_GP)
        wire.close()
        for child in (kvm, perfcore):
            child.ask_to_stop()
            child.see_off(time.monotonic() + 10)

        assert perfcore.address.startswith("127.0.0.1:")
        assert [child.process.returncode for child in (perfcore, kvm)] == [0, 0]


def test_a_call_that_its_caller_gives_up_ends_the_run_but_not_the_service() -> None:
    with Pair() as pair:
        set_up(pair.wire, REVOKE_GP)
        host(pair.wire, RunTask(VCPU, 0))
        pair.perfcore.process.send_signal(signal.SIGSTOP)
        hasty = Service("kvm", pair.kvm.address, owner=pair.wire.owner)
        with pytest.raises(BrokenCallError, match="DEADLINE_EXCEEDED"):
            hasty.call(hasty.info(TIMEOUT).run, pair.wire.log, StepVcpu(VCPU, [Nop()]), 0.2)
        pair.perfcore.process.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + TIMEOUT
        while not (failed := hasty.info(TIMEOUT).run_failed):
            assert time.monotonic() < deadline
        hasty.close()
        assert health_of(pair.kvm.address, "run") == [NOT_SERVING]
        set_up(pair.wire, REVOKE_GP)
        host(pair.wire, RunTask(VCPU, 0))
        guest(pair.wire, Nop())

        assert health_of(pair.kvm.address, "run") == [SERVING]
        assert failed == "kvm: a command was cancelled halfway"
        assert not any("Traceback" in line for line in (*pair.kvm.tail, *pair.perfcore.tail))
