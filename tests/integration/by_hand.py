"""A KVM played by hand: its streams to a perf core, frame by frame."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from typing import Any

import grpc
import pytest

from client.drive.grpc_service import Service
from contract.control import ConfigurePerf, MachineSpec
from contract.design import Design
from contract.messages import PROTOCOL_VERSION, Envelope
from contract.trace import Recorder
from contract.wire.codec import to_proto
from lbrlab.v1 import (
    contract_pb2,
    contract_pb2_grpc,
    lease_pb2,
    lease_pb2_grpc,
    machine_pb2_grpc,
    trace_pb2,
)
from tests.designs import REVOKE_GP
from tests.integration.story import VCPU

KVM = "kvm9"
TIMEOUT = 5.0


class Stream:
    """One bidirectional call: frames in, frames out."""

    def __init__(self, method: Any) -> None:
        self._out: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._call = method(iter(self._out.get, None), timeout=TIMEOUT)

    def send(self, frame: Any) -> None:
        self._out.put(frame)

    def receive(self) -> Any:
        return next(self._call)

    def status(self) -> tuple[grpc.StatusCode, str]:
        """How the server ends the call."""
        with pytest.raises(grpc.RpcError) as caught:
            for _ in self._call:
                pass
        error: Any = caught.value
        return error.code(), error.details()

    def close(self) -> None:
        self._out.put(None)
        self._call.cancel()


def attached(channel: grpc.Channel, name: str, instance: str) -> tuple[Stream, str]:
    """The contract stream of a KVM of that name, and its token."""
    stream = Stream(contract_pb2_grpc.ContractServiceStub(channel).Attach)
    stream.send(contract_pb2.AttachRequest(kvm=name, protocol=PROTOCOL_VERSION, instance=instance))
    first = stream.receive()
    assert first.protocol == PROTOCOL_VERSION
    return stream, first.token


class Host:
    """The perf core, seen by a KVM that we play ourselves."""

    def __init__(self, address: str, design: Design = REVOKE_GP, options: Sequence[tuple[str, int]] = ()) -> None:
        self.service = Service("perfcore", address)
        self.channel = grpc.insecure_channel(address, options=options)
        self.contract = contract_pb2_grpc.ContractServiceStub(self.channel)
        self.machine = machine_pb2_grpc.MachineServiceStub(self.channel)
        self.lease = lease_pb2_grpc.LeaseServiceStub(self.channel)
        self.log = Recorder()
        self.run = 0
        self.token = ""
        self.run = self.call(ConfigurePerf(MachineSpec(), design, [], [VCPU])).stamp.run

    def call(self, command: Any) -> Any:
        response = self.service.call(self.run, self.log, command, TIMEOUT)
        self.log.witness(response.stamp.clock, response.stamp.now_ns)
        return response

    def attach(self) -> Stream:
        """Attach as KVM, which takes part in the run."""
        stream, self.token = attached(self.channel, KVM, "mine")
        self.take_part()
        return stream

    def take_part(self) -> None:
        """Show the token of the driver, as a KVM does before it says Hello."""
        stamp = trace_pb2.Stamp(run=self.run, owner=self.service.owner)
        self.lease.Prolong(lease_pb2.ProlongRequest(stamp=stamp, kvm=KVM, token=self.token), timeout=TIMEOUT)

    def frame(self, *bodies: Any, run: int | None = None, session: str = KVM, first: int = 1) -> Any:
        envelopes = [
            to_proto(Envelope(session, True, 1, n, body), contract_pb2.Envelope) for n, body in enumerate(bodies, first)
        ]
        return contract_pb2.AttachRequest(kvm=KVM, run=run or self.run, envelopes=envelopes)

    def close(self) -> None:
        self.service.release(TIMEOUT)
        self.service.close()
        self.channel.close()
