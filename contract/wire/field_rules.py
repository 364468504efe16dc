"""The rules of the schema (buf.validate options), compiled from the descriptors into plain checks.

protovalidate walks every element of a list that is already too long, and takes milliseconds for a small frame. These
checks look at the lengths of lists first and cost microseconds. A rule without a check here is a TypeError when the
type is compiled; so no rule is skipped. The error texts come from protovalidate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from operator import attrgetter
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor

Check = Callable[[Any], bool]
"""Whether a value keeps its rules."""
_INTEGERS = ("uint32", "uint64", "int32", "int64")
_BOUNDS: dict[str, Callable[[Any], Check]] = {
    "gt": lambda least: lambda value: value > least,
    "gte": lambda least: lambda value: value >= least,
    "lt": lambda most: lambda value: value < most,
    "lte": lambda most: lambda value: value <= most,
}
_TEXT: dict[str, Callable[[Any], Check]] = {
    "min_len": lambda least: lambda value: len(value) >= least,
    "max_len": lambda most: lambda value: len(value) <= most,
    "in": lambda allowed: frozenset(allowed).__contains__,
}

_SIZES = frozenset({"min_len", "max_len"})


def keeps_rules(message: Any) -> bool:
    """Whether a message and its nested messages keep the rules. Raises TypeError for an unknown rule."""
    return all(check(message) for check in _checks(message.DESCRIPTOR))


def too_long(message: Any) -> str:
    """The path of a list with more items than its rule allows, and the rule; "" if there is none.

    It does not look into a list that is too long."""
    for field, limit in _lists(message.DESCRIPTOR):
        value = getattr(message, field.name)
        if limit is not None and len(value) > limit:
            return f"{field.name}: must contain no more than {limit} item(s)"
        if field.message_type is None or _is_map(field):
            continue
        for index, item in enumerate(value):
            if found := too_long(item):
                return f"{field.name}[{index}].{found}"
    for field in _messages(message.DESCRIPTOR):
        if message.HasField(field.name) and (found := too_long(getattr(message, field.name))):
            return f"{field.name}.{found}"
    return ""


@lru_cache(maxsize=512)
def _lists(descriptor: Descriptor) -> tuple[tuple[FieldDescriptor, int | None], ...]:
    found = []
    for field in descriptor.fields:
        if field.is_repeated:
            rules = _rules(field)
            kind = rules.repeated if rules.HasField("repeated") else rules.map
            name = "max_items" if rules.HasField("repeated") else "max_pairs"
            found.append((field, getattr(kind, name) if kind.HasField(name) else None))
    return tuple(found)


@lru_cache(maxsize=512)
def _messages(descriptor: Descriptor) -> tuple[FieldDescriptor, ...]:
    return tuple(field for field in descriptor.fields if field.message_type is not None and not field.is_repeated)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _rules(field: FieldDescriptor) -> Any:
    return field.GetOptions().Extensions[validate_pb2.field]  # type: ignore[index]


@lru_cache(maxsize=512)
def _checks(descriptor: Descriptor) -> tuple[Check, ...]:
    return tuple(_of_message(descriptor))


def _of_message(descriptor: Descriptor) -> Iterator[Check]:
    alternatives = [f for oneof in descriptor.oneofs if _is_choice(oneof) for f in oneof.fields]
    for field in sorted(descriptor.fields, key=lambda f: not f.is_repeated):
        if field not in alternatives:
            yield from _of_field(field)
    for oneof in descriptor.oneofs:
        required = bool(oneof.GetOptions().Extensions[validate_pb2.oneof].required)  # type: ignore[index]
        if _is_choice(oneof):
            yield _of_choice(oneof, required=required)
        elif required:
            yield _is_set(oneof.name)


def _is_set(oneof: str) -> Check:
    return lambda message: message.WhichOneof(oneof) is not None


def _is_choice(oneof: OneofDescriptor) -> bool:
    """True if each alternative is a message: one look tells which alternative is set."""
    return all(field.message_type is not None for field in oneof.fields)


def _of_choice(oneof: OneofDescriptor, *, required: bool) -> Check:
    name, getters = oneof.name, {field.name: attrgetter(field.name) for field in oneof.fields}
    for field in oneof.fields:
        _expect_none({rule.name for rule, _ in _rules(field).ListFields()}, field)

    def check(message: Any) -> bool:
        chosen = message.WhichOneof(name)
        return not required if chosen is None else keeps_rules(getters[chosen](message))

    return check


def _of_field(field: FieldDescriptor) -> Iterator[Check]:
    rules = _rules(field)
    set_rules = {rule.name for rule, _ in rules.ListFields()}
    kinds = set_rules - {"required"}
    get = attrgetter(field.name)
    if field.is_repeated:
        yield from _of_list(field, rules, kinds, get)
        return
    if field.message_type is not None:
        yield _of_nested(field, required=rules.required)
        _expect_none(kinds, field)
        return
    if rules.required:
        raise TypeError(f"{field.full_name}: no check for required")
    if not (checks := _of_scalar(field, rules, kinds)):
        return
    if field.has_presence:
        # The rules of an optional field apply only if it is set.
        yield lambda message: not message.HasField(field.name) or all(check(get(message)) for check in checks)
    elif len(checks) == 1:
        (only,) = checks
        yield lambda message: only(get(message))
    else:
        yield lambda message: all(check(get(message)) for check in checks)


def _of_nested(field: FieldDescriptor, *, required: bool) -> Check:
    name, get = field.name, attrgetter(field.name)

    def check(message: Any) -> bool:
        return keeps_rules(get(message)) if message.HasField(name) else not required

    return check


def _of_list(field: FieldDescriptor, rules: Any, kinds: set[str], get: Callable[[Any], Any]) -> Iterator[Check]:
    is_map = _is_map(field)
    own = rules.map if is_map else rules.repeated
    _expect_none(kinds - {"map" if is_map else "repeated"}, field)
    counts = {"min_items": "gte", "max_items": "lte", "min_pairs": "gte", "max_pairs": "lte"}
    parts = {rule.name: value for rule, value in own.ListFields()}
    _expect_none(set(parts) - {*counts, "unique", "items", "keys", "values"}, field)
    for name, bound in counts.items():
        if name in parts:
            within = _BOUNDS[bound](parts[name])
            yield lambda message, within=within: within(len(get(message)))  # type: ignore[misc]
    if parts.get("unique"):
        yield lambda message: len(set(get(message))) == len(get(message))
    if is_map:
        of_key, of_value = (
            _of_scalar(field, getattr(own, part), {rule.name for rule, _ in getattr(own, part).ListFields()})
            for part in ("keys", "values")
        )
        yield lambda message: all(
            all(check(key) for check in of_key) and all(check(value) for check in of_value)
            for key, value in get(message).items()
        )
        return
    checks = _of_scalar(field, own.items, {rule.name for rule, _ in own.items.ListFields()})
    if field.message_type is not None:
        checks = (*checks, keeps_rules)
    if checks:
        yield lambda message: all(check(value) for value in get(message) for check in checks)


def _of_scalar(field: FieldDescriptor, rules: Any, kinds: set[str]) -> tuple[Check, ...]:
    found: list[Check] = []
    if kinds == {"string"} and {rule.name for rule, _ in rules.string.ListFields()} == {"min_len", "max_len"}:
        least, most = rules.string.min_len, rules.string.max_len
        return (lambda value: least <= len(value) <= most,)
    for kind in kinds:
        for rule, value in getattr(rules, kind).ListFields():
            if kind in _INTEGERS and rule.name in _BOUNDS:
                found.append(_BOUNDS[rule.name](value))
            elif (kind == "string" and rule.name in _TEXT) or (kind == "bytes" and rule.name in _SIZES):
                found.append(_TEXT[rule.name](value))
            elif kind == "enum" and rule.name == "defined_only":
                assert field.enum_type is not None
                found.append(frozenset(field.enum_type.values_by_number).__contains__)
            elif kind == "enum" and rule.name == "not_in":
                found.append(lambda number, out=frozenset(value): number not in out)  # type: ignore[misc]
            else:
                raise TypeError(f"{field.full_name}: no check for {kind}.{rule.name}")
    return tuple(found)


def _expect_none(kinds: set[str], field: FieldDescriptor) -> None:
    if kinds:
        raise TypeError(f"{field.full_name}: no check for {', '.join(sorted(kinds))}")
