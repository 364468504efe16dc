"""The look at serialized messages before they are parsed: it refuses what the rules refuse, and stops early."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from hypothesis import given, settings

from contract.wire import scan
from contract.wire.field_rules import too_long
from contract.wire.scan import SINGLE, crowded
from contract.wire.status import CallError, parse
from lbrlab.v1 import contract_pb2, kvm_control_pb2, machine_pb2, perf_control_pb2, trace_pb2
from tests.cases import cases
from tests.contract.wire.test_field_rules import TYPES
from tests.integration.test_fuzz_control import messages

BROKEN = b"\xff" * 16
"""Bytes at which the walk would end."""


def empties(count: int) -> list[Any]:
    return [machine_pb2.GuestOp()] * count


@cases(
    ("message", "said"),
    [
        (
            contract_pb2.AttachRequest(envelopes=[contract_pb2.Envelope()] * 257),
            "envelopes: must contain no more than 256",
        ),
        (kvm_control_pb2.StepVcpuRequest(ops=empties(4097)), "ops: must contain no more than 4096"),
        (
            machine_pb2.RunRequest(enter=machine_pb2.Enter(ops=empties(4097))),
            "enter.ops: must contain no more than 4096",
        ),
        (trace_pb2.Stamp(lost=["x"] * 4097), "lost: must contain no more than 4096"),
    ],
)
def test_a_list_that_is_too_long_is_found_before_it_is_parsed(
    message: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "SMALL", 0)
    raw = message.SerializeToString()

    assert crowded(message.DESCRIPTOR, raw).startswith(said)
    if message.ListFields()[0][0].is_repeated:
        assert crowded(message.DESCRIPTOR, raw + BROKEN).startswith(said), "it stops at the first too many"
    with pytest.raises(CallError, match=said):
        parse(type(message), raw)


def test_fields_that_belong_to_no_list_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field can come again and again, and one that nobody knows too."""
    monkeypatch.setattr(scan, "SMALL", 0)
    frame = contract_pb2.AttachRequest.DESCRIPTOR
    for again in (b"\x10\x01", b"\xf2\x06\x00"):
        assert crowded(frame, again * SINGLE) == ""
        assert crowded(frame, again * (SINGLE + 1)) == f"AttachRequest: must contain no more than {SINGLE} item(s)"


def test_a_list_inside_a_large_message_is_found() -> None:
    raw = machine_pb2.RunRequest(enter=machine_pb2.Enter(ops=empties(9000))).SerializeToString()
    assert len(raw) > scan.SMALL
    assert crowded(machine_pb2.RunRequest.DESCRIPTOR, raw).startswith("enter.ops: must contain no more than 4096")


def test_the_look_ends_at_a_number_that_is_too_long() -> None:
    """Else a number of some megabytes would keep the service busy."""
    number = b"\x10" + b"\x80" * 10 + b"\x01"
    assert crowded(contract_pb2.AttachRequest.DESCRIPTOR, number * (SINGLE + 1)) == ""


@cases("descriptor", TYPES, ids=lambda d: d.name)
def test_no_message_that_keeps_its_rules_is_crowded(descriptor: Descriptor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "SMALL", 0)

    @settings(max_examples=5, deadline=None)
    @given(messages(descriptor))
    def holds(message: Any) -> None:
        assert too_long(message) or not crowded(descriptor, message.SerializeToString())

    holds()


def test_the_largest_configure_is_not_crowded() -> None:
    names = [f"{n:0128}" for n in range(4096)]
    request = perf_control_pb2.PerfControlServiceConfigureRequest(tasks=names, vcpus=names)

    assert len(request.SerializeToString()) > scan.SMALL
    assert crowded(request.DESCRIPTOR, request.SerializeToString()) == ""


@cases("raw", [b"", b"\x0a", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x22\x7f", b"\x07", b"\x80" * 20])
def test_bytes_that_are_no_message_are_left_to_the_parser(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "SMALL", -1)
    assert crowded(contract_pb2.AttachRequest.DESCRIPTOR, raw) == ""
