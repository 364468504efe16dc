"""The compiled rules of the schema: they take and refuse what protovalidate does, and look at sizes first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import protovalidate
import pytest
from buf.validate import validate_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given, settings

from contract.wire.field_rules import keeps_rules, too_long
from contract.wire.status import CallError, parse
from lbrlab.v1 import (
    contract_pb2,
    control_pb2,
    drive_pb2,
    info_pb2,
    kvm_control_pb2,
    lease_pb2,
    live_pb2,
    machine_pb2,
    perf_control_pb2,
    trace_pb2,
)
from tests.cases import cases
from tests.integration.test_fuzz_control import messages

FILES = (
    contract_pb2,
    control_pb2,
    drive_pb2,
    info_pb2,
    kvm_control_pb2,
    lease_pb2,
    live_pb2,
    machine_pb2,
    perf_control_pb2,
    trace_pb2,
)
SCHEMA = Path(contract_pb2.__file__).parent
TYPES = [d for file in FILES for d in file.DESCRIPTOR.message_types_by_name.values()]


@cases("descriptor", TYPES, ids=lambda d: d.name)
def test_a_message_is_valid_where_protovalidate_says_so(descriptor: Descriptor) -> None:
    @settings(max_examples=15, deadline=None)
    @given(messages(descriptor))
    def holds(message: object) -> None:
        try:
            protovalidate.validate(message)  # type: ignore[arg-type]
            valid = True
        except protovalidate.ValidationError:
            valid = False
        assert keeps_rules(message) == valid

    holds()


def test_each_field_that_can_grow_has_a_bound() -> None:
    """A list, a map, a text or bytes without a bound is a way to fill the memory of its receiver."""
    assert {file.DESCRIPTOR.name.rpartition("/")[2] for file in FILES} == {path.name for path in SCHEMA.glob("*.proto")}
    assert [name for descriptor in TYPES for field in descriptor.fields for name in unbounded(field)] == []


def unbounded(field: FieldDescriptor) -> Iterator[str]:
    """The parts of a field that have no bound on their size."""
    rules: Any = field.GetOptions().Extensions[validate_pb2.field]  # type: ignore[index]
    parts = [(rules, field, "")]
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        if not rules.map.HasField("max_pairs"):
            yield field.full_name
        entry = field.message_type.fields_by_name
        parts = [(rules.map.keys, entry["key"], "keys"), (rules.map.values, entry["value"], "values")]
    elif field.is_repeated:
        if not rules.repeated.HasField("max_items"):
            yield field.full_name
        parts = [(rules.repeated.items, field, "items")]
    for own, part, place in parts:
        is_text = part.type == FieldDescriptor.TYPE_STRING
        if is_text and not (own.string.HasField("max_len") or getattr(own.string, "in")):
            yield f"{field.full_name} {place}"
        if part.type == FieldDescriptor.TYPE_BYTES and not own.bytes.HasField("max_len"):
            yield f"{field.full_name} {place}"


def test_rules_of_an_absent_field_do_not_hold() -> None:
    request = kvm_control_pb2.SetCpuidRequest(vcpu="vm0/0")
    request.stamp.owner = "t0"
    assert keeps_rules(request)
    request.model = ""
    assert not keeps_rules(request)


SMALL = {
    "counter": contract_pb2.Envelope(create_counter=contract_pb2.CreateCounter(vcpu="v", levels=["bogus"], period=1)),
    "period": contract_pb2.Envelope(create_counter=contract_pb2.CreateCounter(vcpu="v", levels=["user"])),
    "vcpu": contract_pb2.Envelope(register_vcpu=contract_pb2.RegisterVcpu(task="t")),
    "kvm": contract_pb2.Envelope(hello=contract_pb2.Hello()),
    "task": contract_pb2.Envelope(create_event=contract_pb2.CreateEvent(vcpu="v", task="t" * 129)),
}


@cases("field", SMALL)
def test_a_small_frame_keeps_the_nested_rules(field: str) -> None:
    frame = contract_pb2.AttachRequest(kvm="kvm0", envelopes=[SMALL[field]])
    frame.envelopes[0].MergeFrom(contract_pb2.Envelope(session="kvm0", epoch=1, seq=1))
    with pytest.raises(CallError, match=rf"^envelopes\[0\]\.\S*{field}"):
        parse(contract_pb2.AttachRequest, frame.SerializeToString())


def test_a_list_that_is_too_long_is_not_looked_into() -> None:
    frame = contract_pb2.AttachRequest(kvm="kvm0", envelopes=[contract_pb2.Envelope()] * 257)

    assert not keeps_rules(frame)
    assert too_long(frame) == "envelopes: must contain no more than 256 item(s)"


def test_a_nested_list_that_is_too_long_is_named() -> None:
    request = kvm_control_pb2.StepVcpuRequest(ops=[machine_pb2.GuestOp()] * 4097)
    image = contract_pb2.LbrImage(from_ip=[0] * 65)
    frame = contract_pb2.AttachResponse(envelopes=[contract_pb2.Envelope(sched_out=contract_pb2.SchedOut(lbr=image))])

    assert too_long(request) == "ops: must contain no more than 4096 item(s)"
    assert too_long(frame) == "envelopes[0].sched_out.lbr.from_ip: must contain no more than 64 item(s)"


Label, Type = FieldDescriptorProto.Label, FieldDescriptorProto.Type


@cases(
    ("kind", "label", "rules", "named"),
    [
        ("TYPE_STRING", "LABEL_OPTIONAL", {"string": {"pattern": "a+"}}, "string.pattern"),
        ("TYPE_STRING", "LABEL_OPTIONAL", {"required": True}, "required"),
        ("TYPE_UINT32", "LABEL_OPTIONAL", {"uint32": {"const": 3}}, "uint32.const"),
        ("TYPE_FLOAT", "LABEL_OPTIONAL", {"float": {"gt": 1.0}}, "float.gt"),
        ("TYPE_STRING", "LABEL_REPEATED", {"repeated": {"items": {"string": {"prefix": "x"}}}}, "string.prefix"),
    ],
)
def test_a_rule_without_a_check_is_refused_by_its_name(kind: str, label: str, rules: Any, named: str) -> None:
    file = FileDescriptorProto(name="unknown.proto", package="unknown", syntax="proto3")
    field = file.message_type.add(name="Odd").field.add(name="it", number=1)
    field.type, field.label = Type.Value(kind), Label.Value(label)
    json_format.ParseDict(rules, field.options.Extensions[validate_pb2.field])  # type: ignore[index]
    pool = DescriptorPool()
    pool.Add(file)
    odd = GetMessageClass(pool.FindMessageTypeByName("unknown.Odd"))
    with pytest.raises(TypeError, match=f"unknown.Odd.it: no check for {re.escape(named)}"):
        keeps_rules(odd())


def test_the_text_of_a_failure_keeps_its_bound() -> None:
    failure = CallError(grpc.StatusCode.INTERNAL, "é" * 5000)

    assert len(failure.message) == 1024
    assert failure.message.endswith("é...")
    assert CallError(grpc.StatusCode.INTERNAL, "é" * 1024).message == "é" * 1024
