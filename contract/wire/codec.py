"""Between msgspec structs and the protobuf messages that mirror them.

Theory of operation. A struct and a message belong together by the names of their fields; the message may have
more (the stamp of a request). How to convert a pair is worked out once from the struct's type hints and the
message's descriptor, and kept. A struct becomes the content of its message as nested dicts, and protobuf makes the
whole message of them in one call. What is not one to one:

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

from contract.design import Design
from contract.wire.design import design_from_axes
from contract.wire.errors import WireValueError

Convert = Callable[[Any], Any]
Pair = tuple[Convert, Convert]
"""To the content of a message, and from the message."""
S = TypeVar("S", bound=msgspec.Struct)
M = TypeVar("M", bound=Message)


def to_proto(value: msgspec.Struct, message: type[M]) -> M:
    """The struct as a ``message``. Raises WireValueError naming the field whose value the wire cannot carry."""
    try:
        return message(**_plan(type(value), descriptor_of(message))[0](value))
    except (TypeError, ValueError, KeyError) as error:
        raise WireValueError(_blame(value, message, error)) from None


def content_maker(struct: type[msgspec.Struct], message: type[Message]) -> Convert:
    """The function that gives the content of ``message`` for a value of ``struct``: the keywords for the message's
    class, or the value of a field that has this message. It does not check values; the message's class does."""
    return _plan(struct, descriptor_of(message))[0]


def from_proto(message: Message, struct: type[S]) -> S:
    """The message as a ``struct``. Raises WireValueError for an unknown enum value, axis or an empty oneof."""
    made: S = _plan(struct, descriptor_of(type(message)))[1](message)
    return made


def union_from_proto(message: Message, structs: Any) -> Any:
    """The struct that the only oneof of ``message`` holds, one of the union ``structs``."""
    return _union(structs, descriptor_of(type(message)))[1](message)


def union_fields(structs: Any, message: type[Message]) -> dict[type, tuple[str, Convert]]:
    """For each struct of the union: the oneof member of ``message`` that carries it, and the function that makes its
    content."""
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
    if struct is Design:
        return _DESIGN
    hints = typing.get_type_hints(struct)
    content, values = _Source("value"), _Source("made")
    for name in struct.__struct_fields__:
        if name in descriptor.oneofs_by_name:
            members, decode_oneof = _members(hints[name], type_fields(descriptor))
            content.choice(name, members)
            values.call(_oneof_reader(name, decode_oneof, descriptor), "made")
            continue
        field = descriptor.fields_by_name.get(name)
        if field is None:
            raise TypeError(f"{descriptor.full_name} has no field {name} of {struct.__name__}")
        inner, optional = _without_none(hints[name])
        encode, decode = _field(inner, field)
        content.entry(name, encode, optional=optional)
        if optional:
            values.call(_optional_reader(name, decode), "made")
        elif decode is not None:
            values.call(decode, f"made.{name}")
        else:
            values.parts.append(f"made.{name}")
    return content.function("{%s}"), values.function(f"{values.name(struct)}(%s)")


class _Source:
    """The source text of a function of one argument whose body is one expression of ``parts``.

    A loop over the fields would cost three to five times as much, and this runs for each message.
    """

    def __init__(self, argument: str) -> None:
        self.argument = argument
        self.parts: list[str] = []
        self._names: dict[str, Any] = {}

    def name(self, value: Any) -> str:
        """A name for ``value`` in the source text."""
        name = f"_{len(self._names)}"
        self._names[name] = value
        return name

    def call(self, convert: Convert, of: str) -> None:
        self.parts.append(f"{self.name(convert)}({of})")

    def entry(self, name: str, encode: Convert | None, *, optional: bool) -> None:
        """A field of the content."""
        value = f"{self.argument}.{name}"
        if encode is not None:
            value = f"{self.name(encode)}({value})" + (f" if {value} is not None else None" if optional else "")
        self.parts.append(f"{name!r}: {value}")

    def choice(self, name: str, members: dict[type, tuple[str, Convert]]) -> None:
        """A oneof of the content: the member for the type of the value."""
        value = f"{self.argument}.{name}"
        self.parts.append(f"(_m := {self.name(members)}[type({value})])[0]: _m[1]({value})")

    def function(self, form: str) -> Convert:
        source = f"lambda {self.argument}: {form % ', '.join(self.parts)}"
        made: Convert = eval(source, self._names)
        return made


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
    """Both converters of one field; None if its value needs no conversion."""
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
    return lambda values: dict(zip(names, values, strict=True)), attrgetter(*names)


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

    def to_content(value: Any) -> dict[str, Any]:
        member, encode = members[type(value)]
        return {member: encode(value)}

    return to_content, _oneof_reader(oneof, decode, descriptor)


def _enum(enum: type[StrEnum], descriptor: EnumDescriptor) -> Pair:
    prefix = "".join("_" + c if c.isupper() else c for c in descriptor.name).lstrip("_").upper() + "_"
    encode = {member: descriptor.values_by_name[prefix + member.name].number for member in enum}
    decode = {number: member for member, number in encode.items()}

    def to_member(number: int) -> StrEnum:
        if number not in decode:
            raise WireValueError(f"{descriptor.name} {number} is unknown, expected one of {', '.join(enum)}")
        return decode[number]

    return encode.__getitem__, to_member


_DESIGN: Pair = (
    lambda design: {"name": design.name, "about": design.about, "axes": design.axes()},
    lambda made: design_from_axes(made.name, made.about, dict(made.axes)),
)
