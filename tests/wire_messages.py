"""Messages of the wire drawn from their descriptors: those that keep every rule, and those that break one.

A message that breaks one rule keeps all others, so the service has to name exactly this one. Rules are looked for at
every level below a request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

DEPTH = 5
"""Levels below a request. The deepest rule of the schema is the length of an LBR's list in a frame's envelope."""
WORDS = ("t0", "vm0/0", "h0", "kvm0", "any", "user", "jmp", "", "x", "\x1b[2J", "é" * 40)
NUMBERS = (0, 1, 2, 5, 0x1D9, 4096, 1_000_000, 2**31 - 1, 2**32 - 1, 2**63, 2**64 - 1, -1, -(2**31))
_RANGES = {
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
    "fixed64": (0, 2**64 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
}
_TYPES = {
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_FIXED64: "fixed64",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
}
Known = Mapping[str, st.SearchStrategy[Message]]
"""Strategies of messages that mean something to a service, by name of the type: stamps, designs, machines."""


def rules_of(field: FieldDescriptor) -> Any:
    return field.GetOptions().Extensions[validate_pb2.field]  # type: ignore[index]


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def is_required(oneof: Any) -> bool:
    return bool(oneof.GetOptions().Extensions[validate_pb2.oneof].required)


# Messages that keep the rules ------------------------------------------------------------------------------


@st.composite
def sound(draw: st.DrawFn, descriptor: Descriptor, known: Known, depth: int = DEPTH) -> Message:
    """A message that keeps every rule of the schema."""
    if descriptor.name in known and draw(st.integers(0, 4)):
        return draw(known[descriptor.name])
    made = GetMessageClass(descriptor)()
    chosen = {}
    for oneof in descriptor.oneofs:
        fields = [f for f in oneof.fields if depth or f.message_type is None] or list(oneof.fields)
        if is_required(oneof) or draw(st.booleans()):
            chosen[oneof.name] = draw(st.sampled_from(fields)).name
    for field in descriptor.fields:
        inside = field.containing_oneof
        if inside is not None and chosen.get(inside.name) != field.name:
            continue
        needed = rules_of(field).required or inside is not None or not field.has_presence
        if not needed and (not depth or not draw(st.integers(0, 2))):
            continue
        _set(draw, made, field, known, depth)
    return made


def _set(draw: st.DrawFn, made: Message, field: FieldDescriptor, known: Known, depth: int) -> None:
    rules = rules_of(field)
    if is_map(field):
        getattr(made, field.name).update(draw(_maps(field)))
    elif field.message_type is not None:
        one = sound(field.message_type, known, max(0, depth - 1))
        if not field.is_repeated:
            getattr(made, field.name).CopyFrom(draw(one))
        elif depth:
            getattr(made, field.name).extend(draw(st.lists(one, min_size=rules.repeated.min_items, max_size=2)))
    elif field.is_repeated:
        most = min(3, rules.repeated.max_items)
        getattr(made, field.name).extend(draw(st.lists(_scalars(field, "items"), max_size=most)))
    else:
        setattr(made, field.name, draw(_scalars(field, "")))


@cache
def _maps(field: FieldDescriptor) -> st.SearchStrategy[dict[Any, Any]]:
    assert field.message_type is not None
    parts = field.message_type.fields_by_name
    rules = rules_of(field).map
    keys, values = (_of_rules(parts[part], getattr(rules, part + "s")) for part in ("key", "value"))
    return st.dictionaries(keys, values, max_size=3)


@cache
def _scalars(field: FieldDescriptor, part: str) -> st.SearchStrategy[Any]:
    rules = rules_of(field)
    return _of_rules(field, rules.repeated.items if part else rules)


def _of_rules(field: FieldDescriptor, rules: Any) -> st.SearchStrategy[Any]:
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_ENUM:
        assert field.enum_type is not None
        return st.sampled_from([n for n in field.enum_type.values_by_number if n not in rules.enum.not_in])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=8)
    if field.type == FieldDescriptor.TYPE_STRING:
        if allowed := list(getattr(rules.string, "in")):
            return st.sampled_from(allowed)
        most = rules.string.max_len if rules.string.HasField("max_len") else 128
        words = [word[:most] for word in WORDS if len(word) >= rules.string.min_len]
        return st.sampled_from([*words, "y" * most])
    least, most = _bounds(field, rules)
    return st.sampled_from([n for n in (*NUMBERS, least, most) if least <= n <= most])


def _bounds(field: FieldDescriptor, rules: Any) -> tuple[int, int]:
    kind = _TYPES[field.type]
    least, most = _RANGES[kind]
    own = getattr(rules, kind)
    if own.HasField("gt"):
        least = own.gt + 1
    if own.HasField("gte"):
        least = own.gte
    if own.HasField("lt"):
        most = own.lt - 1
    if own.HasField("lte"):
        most = own.lte
    return least, most


# Messages that break one rule ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Break:
    """One way to break a rule of a message. ``path``: the fields down to it. ``spoil`` does so in the message that has
    the last field, or the oneof."""

    path: tuple[FieldDescriptor, ...]
    rule: str
    spoil: Callable[[Any], object]

    def __str__(self) -> str:
        return f"{'.'.join(field.name for field in self.path)} {self.rule}"

    def apply(self, message: Message, fill: Callable[[Descriptor], Message]) -> Message:
        """Break the rule in a sound message. ``fill`` gives sound messages for what it lacks on the way."""
        place: Any = message
        for field in self.path[: -1 if self.rule != "oneof" else None]:
            assert field.message_type is not None
            if field.is_repeated:
                items = getattr(place, field.name)
                if not items:
                    items.append(fill(field.message_type))
                place = items[0]
            else:
                if not place.HasField(field.name):
                    getattr(place, field.name).CopyFrom(fill(field.message_type))
                place = getattr(place, field.name)
        self.spoil(place)
        return message


def breaks(descriptor: Descriptor, path: tuple[FieldDescriptor, ...] = ()) -> Iterator[Break]:
    """Every way to break one rule of a message and of what is nested in it."""
    if len(path) > DEPTH or sum(field.message_type is descriptor for field in path) > 1:
        return
    for oneof in descriptor.oneofs:
        if is_required(oneof):
            yield Break(path, "oneof", _without(oneof.name))
    for field in descriptor.fields:
        here = (*path, field)
        yield from _of_field(field, here)
        if field.message_type is not None and not is_map(field):
            yield from breaks(field.message_type, here)


def _of_field(field: FieldDescriptor, path: tuple[FieldDescriptor, ...]) -> Iterator[Break]:
    rules, name = rules_of(field), field.name
    if field.message_type is not None and rules.required:
        yield Break(path, "required", lambda holder: holder.ClearField(name))
    if is_map(field):
        yield from _of_map(field, path, rules.map)
        return
    if field.is_repeated:
        most = rules.repeated.max_items
        if most <= 4096:
            yield Break(path, "max_items", lambda holder: _fill(holder, field, most + 1))
        if field.message_type is None:
            for rule, value in _bad(field, rules.repeated.items):
                yield Break(path, rule, _adding(name, value))
        return
    if field.message_type is None:
        for rule, value in _bad(field, rules):
            yield Break(path, rule, _setting(name, value))


Spoil = Callable[[Any], object]


def _without(oneof: str) -> Spoil:
    return lambda holder: holder.ClearField(holder.WhichOneof(oneof))


def _adding(field: str, value: Any) -> Spoil:
    return lambda holder: getattr(holder, field).append(value)


def _setting(field: str, value: Any) -> Spoil:
    return lambda holder: setattr(holder, field, value)


def _updating(field: str, content: Mapping[Any, Any]) -> Spoil:
    return lambda holder: getattr(holder, field).update(content)


def _fill(holder: Any, field: FieldDescriptor, count: int) -> None:
    items = getattr(holder, field.name)
    if field.message_type is not None:
        one = items[0] if items else GetMessageClass(field.message_type)()
        items.extend([one] * (count - len(items)))
        return
    allowed = list(getattr(rules_of(field).repeated.items.string, "in")) or ["x"]
    items.extend([allowed[0] if field.type == FieldDescriptor.TYPE_STRING else 1] * (count - len(items)))


def _of_map(field: FieldDescriptor, path: tuple[FieldDescriptor, ...], rules: Any) -> Iterator[Break]:
    assert field.message_type is not None
    name, parts = field.name, field.message_type.fields_by_name
    text = parts["value"].type == FieldDescriptor.TYPE_STRING
    many = {f"k{n}": "x" if text else 1 for n in range(rules.max_pairs + 1)}
    yield Break(path, "max_pairs", _updating(name, many))
    for rule, value in _bad(parts["key"], rules.keys):
        yield Break(path, f"key {rule}", _updating(name, {value: many["k0"]}))
    for rule, value in _bad(parts["value"], rules.values):
        yield Break(path, f"value {rule}", _updating(name, {"k0": value}))


def _bad(field: FieldDescriptor, rules: Any) -> Iterator[tuple[str, Any]]:
    """Values of a scalar that break one of its rules."""
    if field.type == FieldDescriptor.TYPE_STRING:
        if getattr(rules.string, "in"):
            yield "in", "no such word"
        if rules.string.min_len:
            yield "min_len", ""
        if rules.string.HasField("max_len"):
            yield "max_len", "é" * (rules.string.max_len + 1)
    elif field.type == FieldDescriptor.TYPE_ENUM:
        if rules.enum.defined_only:
            yield "defined_only", 99
        for number in rules.enum.not_in:
            yield "not_in", number
    elif field.type in _TYPES:
        least, most = _bounds(field, rules)
        lowest, highest = _RANGES[_TYPES[field.type]]
        if least > lowest:
            yield "least", least - 1
        if most < highest:
            yield "most", most + 1
