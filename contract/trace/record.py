"""The base of records."""

from __future__ import annotations

from typing import ClassVar

import msgspec


def _kebab(name: str) -> str:
    return "".join("-" + c.lower() if c.isupper() else c for c in name).lstrip("-")


class Record(msgspec.Struct, kw_only=True, tag_field="kind", tag=_kebab, gc=False):
    """Base of all records. No record is part of a cycle, so the garbage collector need not follow it; the same goes
    for messages, commands and decisions."""

    source: ClassVar[str]
    """The source of the record: ``driver``, ``wire``, ``silicon``, ``perf`` or ``kvm``."""

    seq: int = 0
    time: int = 0

    @property
    def lane(self) -> int:
        """The CPU that the record belongs to; -1: none."""
        cpu: int = getattr(self, "cpu", -1)
        return cpu


def kind_of(record: type[Record]) -> str:
    """The name of a type of record in a trace, such as ``vm-entry``."""
    return str(record.__struct_config__.tag)
