"""A peer that means harm to services in a live run: it knows their addresses, and no secret."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import grpc

from contract.messages import PROTOCOL_VERSION
from lbrlab.v1 import contract_pb2, drive_pb2, lease_pb2, live_pb2, machine_pb2, trace_pb2

PAUSE = 0.05
"""Seconds between two attacks."""
DEADLINE = 1.0
STREAMS = 8
Call = Callable[..., Any]
FORGED = trace_pb2.Stamp(run=1, owner="not the driver")


def _stream(channel: grpc.Channel, method: str, *frames: bytes) -> str:
    """Send raw frames and read to the end: the status of the call."""
    call = channel.stream_stream(f"/lbrlab.v1.{method}", None, None)(iter(frames), timeout=DEADLINE)
    return _status(lambda: list(call))


def _unary(channel: grpc.Channel, method: str, request: bytes) -> str:
    return _status(lambda: channel.unary_unary(f"/lbrlab.v1.{method}", None, None)(request, timeout=DEADLINE))


def _status(act: Callable[[], object]) -> str:
    try:
        act()
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def garbage(channel: grpc.Channel) -> str:
    return _stream(channel, "ContractService/Attach", b"\xff" * 4096)


def second_kvm(channel: grpc.Channel) -> str:
    """Attach under a name that is taken."""
    first = contract_pb2.AttachRequest(kvm="kvm0", protocol=PROTOCOL_VERSION, instance="another")
    return _stream(channel, "ContractService/Attach", first.SerializeToString())


def forged_messages(channel: grpc.Channel) -> str:
    """Attach under a name of its own, and speak for another session."""
    first = contract_pb2.AttachRequest(kvm="mallory", protocol=PROTOCOL_VERSION, instance="mallory")
    ack = contract_pb2.Envelope(
        session="kvm0", to_host=True, epoch=1, seq=1 << 20, ack=contract_pb2.Ack(grant=1), order=1 << 20
    )
    forged = contract_pb2.AttachRequest(kvm="mallory", run=1, envelopes=[ack])
    return _stream(channel, "ContractService/Attach", first.SerializeToString(), forged.SerializeToString())


def forged_step(channel: grpc.Channel) -> str:
    """Begin a step of another's vCPU, which would hold the perf core."""
    begin = machine_pb2.RunRequest(stamp=FORGED, n=1, token="guess", begin_step={"vcpu": "vm0/0", "cpu": 0})
    call = channel.stream_stream("/lbrlab.v1.MachineService/Run", None, machine_pb2.RunResponse.FromString)
    answers: list[Any] = []
    status = _status(lambda: answers.extend(call(iter([begin.SerializeToString()]), timeout=DEADLINE)))
    return _only(answers, lambda answer: answer.failure.code, grpc.StatusCode.PERMISSION_DENIED) or status


def _only(answers: list[Any], code: Callable[[Any], int], wanted: grpc.StatusCode) -> str:
    """The status of the one answer; "" where none came."""
    if not answers:
        return ""
    return wanted.name if [code(answer) for answer in answers] == [wanted.value[0]] else f"answers: {answers}"


def free_run(channel: grpc.Channel) -> str:
    go = live_pb2.LiveRequest(go=live_pb2.Go(stamp=FORGED, speed=1))
    return _stream(channel, "LiveService/Live", go.SerializeToString())


def halt(channel: grpc.Channel) -> str:
    """Halt a free run that another has begun."""
    return _stream(channel, "LiveService/Live", live_pb2.LiveRequest(halt=live_pb2.Halt()).SerializeToString())


def lease(channel: grpc.Channel) -> str:
    request = lease_pb2.AcquireRequest(owner="mallory", holder="mallory")
    return _unary(channel, "LeaseService/Acquire", request.SerializeToString())


def odd_commands(channel: grpc.Channel) -> str:
    """The failure of a command is in its response."""
    request = drive_pb2.DriveRequest(method="Decide", request=b"\x00\x01\x02").SerializeToString()
    call = channel.stream_stream("/lbrlab.v1.DriveService/Drive", None, drive_pb2.DriveResponse.FromString)
    answers: list[Any] = []
    status = _status(lambda: answers.extend(call(iter([request]), timeout=DEADLINE)))
    return _only(answers, lambda answer: answer.failure.code, grpc.StatusCode.INVALID_ARGUMENT) or status


def idle_streams(channel: grpc.Channel) -> str:
    """Open streams that say nothing, and leave them."""

    def silent() -> Iterator[bytes]:
        over.wait(PAUSE)
        yield from ()

    over = threading.Event()
    open_stream = channel.stream_stream("/lbrlab.v1.DriveService/Drive", None, None)
    calls = [open_stream(silent(), timeout=DEADLINE) for _ in range(STREAMS)]
    over.wait(PAUSE)
    for call in calls:
        call.cancel()
    return "CANCELLED"


AT_PERFCORE = (garbage, second_kvm, forged_messages, forged_step, free_run, halt, lease, odd_commands, idle_streams)
AT_KVM = (free_run, halt, odd_commands, idle_streams)
HARMLESS = {"INVALID_ARGUMENT", "ALREADY_EXISTS", "PERMISSION_DENIED", "ABORTED", "RESOURCE_EXHAUSTED", "CANCELLED"}
"""The statuses with which an attack ends that has changed nothing."""
AWAY = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
"""The statuses while the service is killed, or for the stream of a name that nobody has taken."""
NAME_IS_FREE = "second_kvm", "OK"
"""While a KVM is killed its name is free: without TLS anyone may take it, until its stream ends."""


class Hostile:
    """Attacks the services at these addresses until the block ends. ``statuses``: attack and status to how often."""

    def __init__(self, perfcore: str, kvms: Sequence[str]) -> None:
        self.statuses: Counter[tuple[str, str]] = Counter()
        self._over = threading.Event()
        self._targets = [(perfcore, AT_PERFCORE), *((kvm, AT_KVM) for kvm in kvms)]
        self._thread = threading.Thread(target=self._attack, name="hostile", daemon=True)

    def __enter__(self) -> Hostile:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _attack(self) -> None:
        channels = [grpc.insecure_channel(address) for address, _ in self._targets]
        for turn in count():
            for channel, (_, attacks) in zip(channels, self._targets, strict=True):
                if self._over.wait(PAUSE):
                    for each in channels:
                        each.close()
                    return
                attack = attacks[turn % len(attacks)]
                self.statuses[attack.__name__, attack(channel)] += 1

    @property
    def harmful(self) -> dict[tuple[str, str], int]:
        """Attacks with a status that no harmless attack has."""
        return {
            key: times for key, times in self.statuses.items() if key[1] not in HARMLESS | AWAY and key != NAME_IS_FREE
        }
