"""Every pair of struct and protobuf message, and hypothesis strategies for what the wire can carry."""

from __future__ import annotations

import types
import typing
from typing import Any, Union

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from contract import control, machine, messages, results
from contract.design import Design
from contract.wire.methods import Decide
from lbrlab.v1 import contract_pb2, control_pb2, kvm_control_pb2, machine_pb2, perf_control_pb2

INTEGERS = {
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
}
REQUESTS = {
    control.ConfigurePerf: "PerfControlServiceConfigureRequest",
    control.PerfSnapshot: "PerfControlServiceSnapshotRequest",
    control.ConfigureKvm: "KvmControlServiceConfigureRequest",
    control.KvmSnapshot: "KvmControlServiceSnapshotRequest",
    Decide: "KvmControlServiceDecideRequest",
}
MODULES = contract_pb2, control_pb2, kvm_control_pb2, machine_pb2, perf_control_pb2
STRUCTS: list[Any] = [
    *typing.get_args(messages.AnyMessage),
    *typing.get_args(machine.AnyRequest),
    *typing.get_args(machine.AnyReply),
    *typing.get_args(machine.AnyOp),
    *typing.get_args(control.AnyPerfCommand),
    *typing.get_args(control.AnyKvmCommand),
    *typing.get_args(results.AnyResult),
    messages.Envelope,
    Decide,
]


def message_of(struct: Any) -> type[Message]:
    """The message that mirrors a struct: of its name, or a request."""
    name = struct.__name__
    commands = (*typing.get_args(control.AnyPerfCommand), *typing.get_args(control.AnyKvmCommand))
    if struct in REQUESTS or struct in commands:
        name = REQUESTS.get(struct, f"{name}Request")
    for module in MODULES:
        if name in module.DESCRIPTOR.message_types_by_name:
            return getattr(module, name)
    raise LookupError(name)


def structs(struct: Any, descriptor: Any) -> st.SearchStrategy[Any]:
    """Values of ``struct`` with every field within what ``descriptor`` can carry."""
    if struct is Design:
        axes = {name: _enum_or_bool(hint) for name, hint in typing.get_type_hints(Design).items() if name != "claims"}
        return st.builds(Design, **{**axes, "name": st.text(), "about": st.text(), "claims": st.just(())})
    hints = typing.get_type_hints(struct)
    fields = {name: _field(hints[name], name, descriptor) for name in struct.__struct_fields__}
    return st.builds(struct, **fields)


def _enum_or_bool(hint: Any) -> st.SearchStrategy[Any]:
    return st.text() if hint is str else st.booleans() if hint is bool else st.sampled_from(hint)


def _field(hint: Any, name: str, descriptor: Any) -> st.SearchStrategy[Any]:
    if name in descriptor.oneofs_by_name:
        return _union(typing.get_args(hint), descriptor)
    field = descriptor.fields_by_name[name]
    args = typing.get_args(hint)
    if typing.get_origin(hint) in (types.UnionType, Union) and type(None) in args:
        (inner,) = (a for a in args if a is not type(None))
        return st.none() | _single(inner, field)
    if typing.get_origin(hint) is list:
        return st.lists(_single(args[0], field), max_size=4)
    if typing.get_origin(hint) is dict:
        key, value = (_single(a, f) for a, f in zip(args, _by_number(field.message_type), strict=True))
        return st.dictionaries(key, value, max_size=4)
    return _single(hint, field)


def _by_number(descriptor: Any) -> list[Any]:
    return sorted(descriptor.fields, key=lambda f: f.number)


def _single(hint: Any, field: Any) -> st.SearchStrategy[Any]:
    if typing.get_origin(hint) in (types.UnionType, Union):
        return _union(typing.get_args(hint), field.message_type)
    if typing.get_origin(hint) is tuple:
        pairs = zip(typing.get_args(hint), _by_number(field.message_type), strict=True)
        return st.tuples(*(_single(a, f) for a, f in pairs))
    if hint is int:
        return st.integers(*INTEGERS[field.type])
    if hint is str:
        return st.text(max_size=8)
    if hint is bool:
        return st.booleans()
    if issubclass(hint, msgspec.Struct):
        return structs(hint, field.message_type)
    return st.sampled_from(hint)


def _union(union: tuple[Any, ...], descriptor: Any) -> st.SearchStrategy[Any]:
    kinds = {f.message_type.name: f.message_type for f in descriptor.fields if f.containing_oneof}
    return st.one_of([structs(struct, kinds[struct.__name__]) for struct in union])
