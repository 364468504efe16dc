"""Two traces side by side: which records belong together, and the first that differ."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from operator import ne

import msgspec

from contract import trace as t


class Segment(msgspec.Struct, array_like=True):
    """``count`` records from ``one`` in the first trace belong to as many from ``other`` in the other."""

    one: int
    other: int
    count: int


class Alignment(msgspec.Struct):
    """``first``: number of the first record in which the traces differ; 0: they are equal."""

    segments: list[Segment]
    first: int


def align(one: Sequence[t.AnyRecord], other: Sequence[t.AnyRecord]) -> Alignment:
    """Records up to the first difference belong together. Behind it, records do that are the same step of the schedule:
    the same statement of a thread, the same decision about a message, the same register; and records between two such
    steps as long as they are of one kind."""
    same = next((i for i, pair in enumerate(zip(one, other, strict=False)) if ne(*pair)), min(len(one), len(other)))
    pairs = [(i, i) for i in range(same)]
    anchors = _increasing(_common(one, other, same))
    at_one = at_other = same
    for i, j in [*anchors, (len(one), len(other))]:
        while at_one < i and at_other < j and type(one[at_one]) is type(other[at_other]):
            pairs.append((at_one, at_other))
            at_one, at_other = at_one + 1, at_other + 1
        if i < len(one) and j < len(other):
            pairs.append((i, j))
        at_one, at_other = i + 1, j + 1
    equal = same == len(one) == len(other)
    return Alignment(_segments(pairs), 0 if equal else same + 1)


def _common(one: Sequence[t.AnyRecord], other: Sequence[t.AnyRecord], start: int) -> list[tuple[int, int]]:
    """Places of the steps that both have, in the order of the first."""
    places = {key: i for i, key in _keys(other) if i >= start}
    return [(i, places[key]) for i, key in _keys(one) if i >= start and key in places]


def _keys(records: Sequence[t.AnyRecord]) -> list[tuple[int, Hashable]]:
    """Place and key of each step of the schedule. A key occurs once."""
    count: dict[Hashable, int] = {}
    found: list[tuple[int, Hashable]] = []
    for i, record in enumerate(records):
        key: Hashable = None
        if isinstance(record, t.Statement):
            key = "statement", record.thread, record.actor
        elif isinstance(record, t.Send | t.Delivery):
            what = record.message if isinstance(record, t.Delivery) else type(record.body).__name__
            key = type(record).__name__, record.session, record.to_host, what
        elif isinstance(record, t.Outcome):
            key = "outcome", record.actor, record.register
        if key is not None:
            count[key] = count.get(key, 0) + 1
            found.append((i, (key, count[key])))
    return found


def _increasing(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest part of the pairs in which both numbers grow. The first numbers grow already."""
    ends: list[int] = []
    at: list[int] = []
    before: list[int] = []
    for n, (_, j) in enumerate(pairs):
        place = bisect_left(ends, j)
        before.append(at[place - 1] if place else -1)
        ends[place:], at[place:] = [j, *ends[place + 1 :]], [n, *at[place + 1 :]]
    n = at[-1] if at else -1
    found = []
    while n >= 0:
        found.append(pairs[n])
        n = before[n]
    return found[::-1]


def _segments(pairs: list[tuple[int, int]]) -> list[Segment]:
    found: list[Segment] = []
    for i, j in pairs:
        last = found[-1] if found else None
        if last is not None and (i + 1, j + 1) == (last.one + last.count, last.other + last.count):
            last.count += 1
        else:
            found.append(Segment(i + 1, j + 1, 1))
    return found
