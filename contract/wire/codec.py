"""Between msgspec structs and the protobuf messages that mirror them.

Theory of operation. A struct and a message belong together by the names of their fields; the message may have
more (the stamp of a request). How to convert a pair is worked out once from the struct's type hints and the
message's descriptor, and kept. What is not one to one:

    union of structs      a oneof: its member whose message type has the class's name; the oneof lies in the
                          enclosing message under the field's name, or is the only one of a message of its own
    X | None              presence
    tuple                 a message, elements by field number
    dict[K, V]            repeated messages of two fields: a protobuf map would lose the order
    StrEnum               an enum value <ENUM_NAME>_<MEMBER>
    Design                its axes by name, see ``contract.wire.design``
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache, reduce
from operator import attrgetter, or_
from typing import Any, TypeVar, Union, cast

import msgspec
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from contract.design import Design
from contract.wire.design import design_from_axes
from contract.wire.errors import WireValueError

Convert = Callable[[Any], Any]
Pair = tuple[Convert, Convert]
S = TypeVar("S", bound=msgspec.Struct)
M = TypeVar("M", bound=Message)


def to_proto(value: msgspec.Struct, message: type[M]) -> M:
    """The struct as a ``message``. Raises WireValueError naming the field whose value the wire cannot carry."""
    try:
        made: M = _plan(type(value), descriptor_of(message))[0](value)
    except (TypeError, ValueError, KeyError) as error:
        raise WireValueError(_blame(value, message, error)) from None
    return made


def from_proto(message: Message, struct: type[S]) -> S:
    """The message as a ``struct``. Raises WireValueError for an unknown enum value, axis or an empty oneof."""
    made: S = _plan(struct, descriptor_of(type(message)))[1](message)
    return made


def union_from_proto(message: Message, structs: Any) -> Any:
    """The struct that the only oneof of ``message`` holds, one of the union ``structs``."""
    return _union(structs, descriptor_of(type(message)))[1](message)


def union_fields(structs: Any, message: type[Message]) -> dict[type, tuple[str, Convert]]:
    """For each struct of the union: the oneof member of ``message`` that carries it, and how to make its value."""
    return _members(structs, type_fields(descriptor_of(message)))[0]


def descriptor_of(message: type[Message]) -> Descriptor:
    return cast(Descriptor, message.DESCRIPTOR)


def type_fields(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    """The oneof members of a message that are messages, by the names of their types."""
    return {f.message_type.name: f for f in descriptor.fields if f.containing_oneof and f.message_type}


def _blame(value: msgspec.Struct, message: type[Message], error: Exception) -> str:
    name = type(value).__name__
    for field in value.__struct_fields__:
        content = getattr(value, field)
        if isinstance(content, str | int) and field in message.DESCRIPTOR.fields_by_name:
            try:
                message(**{field: content})
            except (TypeError, ValueError):
                return f"{name}.{field} = {content!r} does not fit: {error}"
    return f"{name}: {error}"


@lru_cache(maxsize=512)
def _plan(struct: type[msgspec.Struct], descriptor: Descriptor) -> Pair:
    message: Callable[..., Message] = GetMessageClass(descriptor)
    if struct is Design:
        return _design(message)
    fields = struct.__struct_fields__
    hints = typing.get_type_hints(struct)
    encoders: list[tuple[str, Convert]] = []
    decoders: list[tuple[int, Convert]] = []
    inline: list[tuple[str, dict[type, tuple[str, Convert]]]] = []
    direct: list[str] = []
    for place, name in enumerate(fields):
        hint = hints[name]
        if name in descriptor.oneofs_by_name:
            members, decode_oneof = _members(hint, type_fields(descriptor))
            inline.append((name, members))
            decoders.append((place, _oneof_reader(name, decode_oneof, descriptor)))
            direct.append("DESCRIPTOR")
            continue
        field = descriptor.fields_by_name.get(name)
        if field is None:
            raise TypeError(f"{descriptor.full_name} has no field {name} of {struct.__name__}")
        direct.append(name)
        inner, optional = _without_none(hint)
        encode, decode = _field(inner, field)
        if encode is not None:
            encoders.append((name, encode))
        if optional:
            decoders.append((place, _optional_reader(name, decode)))
        elif decode is not None:
            decoders.append((place, _value_reader(name, decode)))
    read = _all_of(direct)
    take = _all_of(list(fields))

    def to_message(value: Any) -> Message:
        content = dict(zip(fields, take(value), strict=True))
        for name, encode in encoders:
            if (v := content[name]) is not None:
                content[name] = encode(v)
        for name, members in inline:
            v = content.pop(name)
            member, encode = members[type(v)]
            content[member] = encode(v)
        return message(**content)

    def to_struct(made: Message) -> msgspec.Struct:
        values = list(read(made))
        for place, decode in decoders:
            values[place] = decode(made)
        return struct(*values)

    def to_plain_struct(made: Message) -> msgspec.Struct:
        return struct(*read(made))

    return to_message, to_struct if decoders else to_plain_struct


def _all_of(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if not names:
        return lambda _: ()
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda owner: (get(owner),)


def _value_reader(name: str, decode: Convert) -> Convert:
    return lambda made: decode(getattr(made, name))


def _optional_reader(name: str, decode: Convert | None) -> Convert:
    if decode is None:
        return lambda made: getattr(made, name) if made.HasField(name) else None
    return lambda made: decode(getattr(made, name)) if made.HasField(name) else None


def _oneof_reader(oneof: str, decode: dict[str, Convert], descriptor: Descriptor) -> Convert:
    def read(made: Message) -> Any:
        member = made.WhichOneof(oneof)
        if member is None:
            raise WireValueError(f"{descriptor.name}: none of {', '.join(decode)} is set")
        if member not in decode:
            raise WireValueError(f"{descriptor.name}: {member} does not belong here")
        return decode[member](getattr(made, member))

    return read


def _without_none(hint: Any) -> tuple[Any, bool]:
    args = typing.get_args(hint) if _is_union(hint) else ()
    if types.NoneType not in args:
        return hint, False
    rest = [a for a in args if a is not types.NoneType]
    return reduce(or_, rest), True


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (types.UnionType, Union)


def _field(hint: Any, field: FieldDescriptor) -> tuple[Convert | None, Convert | None]:
    """Both converters of one field; None where its value goes as it is."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is list:
        encode, decode = _single(args[0], field)
        return (_each(encode) if encode else None), (_each(decode) if decode else list)
    if origin is dict:
        encode_item, decode_item = _tuple(args, _message_type(field))
        return _each(encode_item, dict.items), lambda items: dict(map(decode_item, items))
    return _single(hint, field)


def _each(convert: Convert, of: Convert = iter) -> Convert:
    return lambda values: [convert(v) for v in of(values)]


def _single(hint: Any, field: FieldDescriptor) -> tuple[Convert | None, Convert | None]:
    origin = typing.get_origin(hint)
    if _is_union(hint):
        return _union(hint, _message_type(field))
    if origin is tuple:
        return _tuple(typing.get_args(hint), _message_type(field))
    if issubclass(hint, StrEnum):
        return _enum(hint, cast(EnumDescriptor, field.enum_type))
    if issubclass(hint, msgspec.Struct):
        return _plan(hint, _message_type(field))
    return None, None


def _message_type(field: FieldDescriptor) -> Descriptor:
    return cast(Descriptor, field.message_type)


def _tuple(hints: tuple[Any, ...], descriptor: Descriptor) -> Pair:
    fields = sorted(descriptor.fields, key=lambda f: f.number)
    if len(fields) != len(hints) or any(_single(h, f) != (None, None) for h, f in zip(hints, fields, strict=True)):
        raise TypeError(f"{descriptor.full_name} does not match {hints}")
    names = [f.name for f in fields]
    message = GetMessageClass(descriptor)
    return lambda values: message(**dict(zip(names, values, strict=True))), attrgetter(*names)


def _members(
    union: Any, fields: dict[str, FieldDescriptor]
) -> tuple[dict[type, tuple[str, Convert]], dict[str, Convert]]:
    encoders: dict[type, tuple[str, Convert]] = {}
    decoders: dict[str, Convert] = {}
    for struct in typing.get_args(union):
        field = fields[struct.__name__]
        encode, decode = _plan(struct, _message_type(field))
        encoders[struct] = field.name, encode
        decoders[field.name] = decode
    return encoders, decoders


@lru_cache(maxsize=64)
def _union(union: Any, descriptor: Descriptor) -> Pair:
    """A message whose only oneof is the union."""
    (oneof,) = descriptor.oneofs_by_name
    members, decode = _members(union, type_fields(descriptor))
    message = GetMessageClass(descriptor)

    def to_message(value: Any) -> Message:
        member, encode = members[type(value)]
        return message(**{member: encode(value)})

    return to_message, _oneof_reader(oneof, decode, descriptor)


def _enum(enum: type[StrEnum], descriptor: EnumDescriptor) -> Pair:
    prefix = "".join("_" + c if c.isupper() else c for c in descriptor.name).lstrip("_").upper() + "_"
    encode = {member: descriptor.values_by_name[prefix + member.name].number for member in enum}
    decode = {number: member for member, number in encode.items()}

    def to_member(number: int) -> StrEnum:
        if number not in decode:
            raise WireValueError(f"{descriptor.name} {number} is unknown, expected one of {', '.join(enum)}")
        return decode[number]

    return encode.__getitem__, to_member


def _design(message: Callable[..., Message]) -> Pair:
    return (
        lambda design: message(name=design.name, about=design.about, axes=design.axes()),
        lambda made: design_from_axes(made.name, made.about, dict(made.axes)),
    )
