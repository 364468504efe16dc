"""The blocks of all services of a free run in one order.

A block has the clock and the virtual time of its beginning, and (time, clock) orders a cause before its effect. A
service says how far it is: every later block of it lies behind that. So a block has its final place as soon as all
services have passed it. Records of time that passed have each a time of their own, and come before all else that
happens at that time: a service lets time pass before it does anything.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lbrlab.v1 import live_pb2

PASSED, HAPPENED = 0, 1
"""The order of what lies at one time."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    time: int
    """Virtual nanoseconds."""
    rank: int
    """PASSED or HAPPENED."""
    clock: int
    service: int
    """The number of the service."""
    index: int
    """Distinguishes the records of one block of time that passed."""


@dataclass(frozen=True, slots=True, order=True)
class Placed:
    place: Place
    block: Any = field(compare=False)
    """The block; for time that passed, a block with one record."""
    service: str = field(compare=False)


class Merge:
    """``services``: the names of all that take part."""

    def __init__(self, services: list[str], time: int) -> None:
        self._numbers = {name: number for number, name in enumerate(services)}
        self._reached = dict.fromkeys(services, (time, 0))
        """Service to the time and clock that no later block of it is before."""
        self._waiting: list[Placed] = []

    def put(self, service: str, response: live_pb2.LiveResponse) -> None:
        """Take in a report of a service."""
        number = self._numbers[service]
        for block in response.blocks:
            for placed in _places(block, number, service):
                heapq.heappush(self._waiting, placed)
        self._reached[service] = response.now_ns, response.clock

    def ready(self) -> Iterator[Placed]:
        """The blocks that all services have passed, in order. Each is given once."""
        time, clock = min(self._reached.values())
        while self._waiting:
            place = self._waiting[0].place
            if (place.time, place.rank, place.clock) > (time, HAPPENED, clock):
                return
            yield heapq.heappop(self._waiting)

    @property
    def latest(self) -> int:
        """The latest time that a service has reached."""
        return max(time for time, _ in self._reached.values())

    def end(self) -> tuple[list[Placed], int]:
        """All services have stopped: the blocks that are left, in order, and the time that the last of them has
        reached."""
        left, self._waiting = sorted(self._waiting), []
        return left, self.latest


def _places(block: live_pb2.LiveBlock, number: int, service: str) -> Iterator[Placed]:
    if block.WhichOneof("input") != "until_ns":
        yield Placed(Place(block.time_ns, HAPPENED, block.clock, number, 0), block, service)
        return
    for index, record in enumerate(block.records):
        one = live_pb2.LiveBlock(until_ns=record.time_ns, records=[record])
        yield Placed(Place(record.time_ns, PASSED, block.clock, number, index), one, service)
