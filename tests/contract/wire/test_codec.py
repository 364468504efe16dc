"""The codec: what goes in comes out, and what cannot go over the wire is named."""

from __future__ import annotations

import timeit
import typing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contract.control import AnyKvmCommand, AnyPerfCommand, Retire, RunTask
from contract.machine import AnyOp, AnyReply, AnyRequest, Controls, Enter
from contract.messages import CreateEvent, Envelope
from contract.network import Fate
from contract.results import PerfView
from contract.wire.codec import descriptor_of, from_proto, to_proto, type_fields, union_fields, union_from_proto
from contract.wire.errors import WireValueError
from contract.wire.methods import Decide, command_types
from lbrlab.v1 import contract_pb2, control_pb2, kvm_control_pb2, machine_pb2, perf_control_pb2
from tests.cases import cases
from tests.contract.wire.structs import STRUCTS, message_of, structs
from tests.designs import DESIGNS

AXES = DESIGNS["v7"].axes()
CASES = [(struct, message_of(struct)) for struct in STRUCTS]


@cases(("struct", "message"), CASES)
def test_identity(struct: Any, message: Any) -> None:
    @settings(max_examples=25, deadline=None)
    @given(structs(struct, message.DESCRIPTOR))
    def holds(value: Any) -> None:
        raw = to_proto(value, message).SerializeToString()
        assert from_proto(message.FromString(raw), struct) == value

    holds()


@cases(("struct", "message"), CASES)
def test_a_message_says_no_more_than_its_struct(struct: Any, message: Any) -> None:
    """Fields of a message that no struct field fills would be lost on the way; only a request's stamp may be."""
    known = set(struct.__struct_fields__) | {"stamp"}
    more = {f.name for f in message.DESCRIPTOR.fields if f.name not in known}
    more -= {m.name for o in message.DESCRIPTOR.oneofs if o.name in known for m in o.fields}

    assert more == set()


def test_every_request_and_reply_has_its_place_in_the_machine_stream() -> None:
    requests = union_fields(AnyRequest, machine_pb2.RunRequest)
    replies = union_fields(AnyReply, machine_pb2.RunResponse)

    steps, failure = {"BeginStep", "EndStep", "StepBegun"}, {"MachineFailure"}
    asked = type_fields(descriptor_of(machine_pb2.RunRequest)).keys() - steps
    answered = type_fields(descriptor_of(machine_pb2.RunResponse)).keys() - steps - failure
    assert {request.__name__ for request in requests} == asked
    assert {reply.__name__ for reply in replies} == answered


@cases(
    ("service", "commands"),
    [
        (perf_control_pb2.DESCRIPTOR.services_by_name["PerfControlService"], AnyPerfCommand),
        (kvm_control_pb2.DESCRIPTOR.services_by_name["KvmControlService"], AnyKvmCommand),
    ],
)
def test_every_command_has_one_method(service: Any, commands: Any) -> None:
    found = command_types(service, typing.get_args(commands))

    assert set(found.values()) == {*typing.get_args(commands), Decide}


def test_a_command_without_a_method_is_named() -> None:
    service = perf_control_pb2.DESCRIPTOR.services_by_name["PerfControlService"]
    with pytest.raises(TypeError, match="Enter"):
        command_types(service, (*typing.get_args(AnyPerfCommand), Enter))


@given(st.dictionaries(st.text(max_size=3), st.text(max_size=3)))
def test_the_order_of_a_dict_survives(states: dict[str, str]) -> None:
    view = from_proto(to_proto(PerfView([], states, {}, {}), perf_control_pb2.PerfView), PerfView)

    assert list(view.host_events.items()) == list(states.items())


@cases("design", DESIGNS.values(), ids=str)
def test_every_design_survives(design: Any) -> None:
    """No service reads a design's claims, and the wire does not carry them."""
    assert from_proto(to_proto(design, control_pb2.Design), type(design)) == replace(design, claims=())


@cases(
    ("axes", "message"),
    [
        ({"colour": "red"}, "unknown axis 'colour', expected one of event, admission, "),
        ({"event": "many"}, "event = 'many', expected one of none, task-flexible, task-pinned"),
        ({"event": "none", "shut-out": "perhaps"}, "shut-out = 'perhaps', expected one of yes, no"),
        ({"event": "none", "passthrough": "at-entry"}, "no value for axis 'admission'"),
    ],
)
def test_a_bad_design_is_named(axes: dict[str, str], message: str) -> None:
    made = control_pb2.Design(name="mine", axes=axes)
    with pytest.raises(WireValueError, match=f"^design 'mine': {message}"):
        from_proto(made, type(DESIGNS["v7"]))


@cases("axis", AXES)
def test_no_axis_has_a_default(axis: str) -> None:
    made = control_pb2.Design(name="mine", axes={other: value for other, value in AXES.items() if other != axis})
    with pytest.raises(WireValueError, match=f"^design 'mine': no value for axis '{axis}'$"):
        from_proto(made, type(DESIGNS["v7"]))


@cases("fate", [0, 99])
def test_an_unknown_enum_value_is_named(fate: int) -> None:
    made = perf_control_pb2.PerfControlServiceDecideRequest(session="kvm0", n=1, fate=fate)  # type: ignore[arg-type]
    with pytest.raises(
        WireValueError, match=f"Fate {fate} is unknown, expected one of take, drop, duplicate, overtake"
    ):
        from_proto(made, Decide)


@cases("fate", Fate)
def test_fates_go_by_name(fate: Fate) -> None:
    made = to_proto(Decide("kvm0", 1, fate), perf_control_pb2.PerfControlServiceDecideRequest)

    assert made.fate == control_pb2.Fate.Value(f"FATE_{fate.name}")


def test_an_empty_oneof_is_named() -> None:
    with pytest.raises(WireValueError, match=r"Envelope: none of hello, resume, .* is set"):
        from_proto(contract_pb2.Envelope(), Envelope)
    told = "GuestOp: none of rdmsr, wrmsr, rdpmc, branch, cpuid, hlt, out, nop is set"
    with pytest.raises(WireValueError, match=told):
        union_from_proto(machine_pb2.GuestOp(), AnyOp)


def test_a_oneof_member_of_another_union_is_named() -> None:
    made = machine_pb2.RunResponse(failure=machine_pb2.MachineFailure(message="no"))
    with pytest.raises(WireValueError, match="RunResponse: failure does not belong here"):
        union_from_proto(made, AnyReply)


@cases(
    ("value", "field"),
    [
        (Retire(0, -1), "Retire.count = -1"),
        (Retire(2**31, 1), "Retire.cpu = 2147483648"),
        (RunTask(7, 1), "RunTask.task = 7"),  # type: ignore[arg-type]
    ],
)
def test_a_value_that_does_not_fit_is_named(value: Any, field: str) -> None:
    with pytest.raises(WireValueError) as caught:
        to_proto(value, message_of(type(value)))
    assert field in str(caught.value)


def test_nested_values_that_do_not_fit_are_caught() -> None:
    with pytest.raises(WireValueError):
        to_proto(Enter("vm0/0", 0, Controls(2**64, True), []), machine_pb2.Enter)


def test_a_small_message_takes_microseconds() -> None:
    """About 3 each way; the bound leaves room for a busy machine."""
    envelope = Envelope("kvm0", True, 1, 3, CreateEvent("vm0/0", 3))
    made = to_proto(envelope, contract_pb2.Envelope)
    there = min(timeit.repeat(lambda: to_proto(envelope, contract_pb2.Envelope), number=200, repeat=9)) / 200
    back = min(timeit.repeat(lambda: from_proto(made, Envelope), number=200, repeat=9)) / 200

    assert max(there, back) < 30e-6
