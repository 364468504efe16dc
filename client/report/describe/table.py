"""The table of descriptions, one for each type of record."""

from __future__ import annotations

from functools import singledispatch

from client.report.describe.values import Values
from contract.trace import Record


@singledispatch
def text_of(record: Record, values: Values) -> str:
    """The record on one line. The module of each source registers the functions for its types."""
    raise TypeError(f"{type(record).__name__} has no description")
