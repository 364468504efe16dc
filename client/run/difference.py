"""The first record in which two traces differ."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from operator import ne

from contract.trace import AnyRecord


@dataclass(frozen=True, slots=True)
class Difference:
    seq: int
    """The number of the record."""
    one: AnyRecord | None
    """The record of the first trace; None if the trace has ended."""
    other: AnyRecord | None


def first_difference(one: list[AnyRecord], other: list[AnyRecord]) -> Difference | None:
    """None if the traces are equal."""
    pairs = enumerate(zip_longest(one, other), 1)
    return next((Difference(seq, *pair) for seq, pair in pairs if ne(*pair)), None)
