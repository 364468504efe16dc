"""The table of descriptions, one for each type of record."""

from __future__ import annotations

from functools import singledispatch

from client.report.describe.values import Values
from contract.trace import Record


@singledispatch
def text_of(record: Record, values: Values) -> str:
    """The record on one line. Each type registers its own in the module of its source."""
    raise TypeError(f"{type(record).__name__} has no description")
