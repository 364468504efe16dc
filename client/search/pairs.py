"""A pool whose workers are running services: each plays one run at a time on its perf core and KVMs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, TypeVar

from client.drive.play import layout_of
from client.drive.wire import Wire
from client.litmus import Scenario
from client.litmus.fault_kinds import FAULT_KINDS
from client.schedule.schedule import KINDS_THAT_END
from client.search.chunk import ChunkPart, play_parts
from client.search.plan import Plan

R = TypeVar("R")
AHEAD = 2
KINDS = tuple(kind for kind in FAULT_KINDS if kind not in KINDS_THAT_END)
"""The kinds of faults that services can have which this process has not started."""


class Pairs:
    """Runs of a campaign are played on ``wires``, each on one of them. All else, such as shrinking, is carried out in a
    thread of this process on the simulated wire, which gives the same records."""

    def __init__(self, wires: Sequence[Wire]) -> None:
        self._wires = list(wires)
        self._free: SimpleQueue[Wire] = SimpleQueue()
        for wire in wires:
            self._free.put(wire)
        self._executor = ThreadPoolExecutor(len(wires), "pair")

    together = 1

    def ahead(self) -> int:
        return AHEAD * len(self._wires)

    def submit(self, call: Callable[..., R], *given: Any) -> Future[R]:
        return self._executor.submit(self._play if call is play_parts else call, *given)

    def _play(self, plan: Plan, parts: Sequence[ChunkPart]) -> Any:
        wire = self._free.get()
        try:
            return play_parts(plan, parts, wire)
        finally:
            self._free.put(wire)

    def renew(self) -> None:
        pass

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)
        for wire in self._wires:
            wire.close()


def fits(scenario: Scenario, kvms: int) -> bool:
    """Whether a pair of one perf core and so many KVMs has the services for a scenario."""
    layout = layout_of(scenario)
    return layout.hosts == 1 and len(layout.kvms) <= kvms
