"""A look at a serialized message before it is parsed: are its lists too long?

Parsing makes an object for each element of a list. A frame of 2 MiB can have a million empty elements, which takes
seconds and hundreds of megabytes before a rule is checked. This walk counts elements and stops at the first too many.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor

SMALL = 16 << 10
"""Bytes of a message that is parsed without a look."""
SINGLE = 4096
"""The most fields of a message that belong to no list with a bound. No sound sender has more."""


class ScannedField(NamedTuple):
    """A field that the walk looks at. ``most``: elements of the list, 0 if it is no list or has packed numbers."""

    name: str
    most: int
    inner: Descriptor | None


def crowded(descriptor: Any, raw: bytes) -> str:
    """The path of a list with too many elements, and the rule; "" if there is none. Bytes that are no such message, and
    messages of at most SMALL bytes, are left to the parser."""
    return _crowded(descriptor, memoryview(raw), "") if len(raw) > SMALL else ""


def _crowded(descriptor: Descriptor, raw: memoryview, path: str) -> str:
    parts = _parts(descriptor)
    counts: dict[int, int] = {}
    at, end = 0, len(raw)
    try:
        while at < end:
            tag, at = _varint(raw, at)
            number, kind = tag >> 3, tag & 7
            start = at
            if kind == 2:
                size, start = _varint(raw, at)
                at = start + size
            elif kind == 0:
                _, at = _varint(raw, at)
            elif kind in (1, 5):
                at += 8 if kind == 1 else 4
            else:
                return ""
            part = parts.get(number) if kind == 2 else None
            most, name = (part.most, part.name) if part is not None and part.most else (SINGLE, "")
            key = number if name else 0
            count = counts[key] = counts.get(key, 0) + 1
            if count > most:
                return f"{path}{name or descriptor.name}: must contain no more than {most} item(s)"
            if part is None:
                continue
            if part.inner is not None and at - start > SMALL // 4:
                index = f"[{count - 1}]" if part.most else ""
                if found := _crowded(part.inner, raw[start:at], f"{path}{part.name}{index}."):
                    return found
    except IndexError:
        pass
    return ""


def _varint(raw: memoryview, at: int) -> tuple[int, int]:
    """A number, and where it ends. Raises IndexError if it does not."""
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError


@lru_cache(maxsize=512)
def _parts(descriptor: Descriptor) -> dict[int, ScannedField]:
    found = {}
    for field in descriptor.fields:
        rules: Any = field.GetOptions().Extensions[validate_pb2.field]  # type: ignore[index]
        inner = field.message_type
        is_map = inner is not None and inner.GetOptions().map_entry
        most = (rules.map.max_pairs if is_map else rules.repeated.max_items) if field.is_repeated else 0
        is_text = field.type in (field.TYPE_STRING, field.TYPE_BYTES)
        if inner is not None or (most and is_text):
            found[field.number] = ScannedField(field.name, most, None if is_map else inner)
    return found
