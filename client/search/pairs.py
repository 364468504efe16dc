"""A pool whose workers are running services: each plays one run at a time on its perf core and KVMs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock
from typing import Any, TypeVar

from client.drive.play import layout_of
from client.drive.wire import Wire
from client.litmus import Scenario
from client.litmus.fault_kinds import FAULT_KINDS
from client.schedule.schedule import KINDS_THAT_END
from client.search.chunk import ChunkPart, play_parts
from client.search.plan import Plan
from contract.errors import SystemFailedError

R = TypeVar("R")
AHEAD = 2
KINDS = tuple(kind for kind in FAULT_KINDS if kind not in KINDS_THAT_END)
"""The kinds of faults that services can have which this process has not started."""


class Pairs:
    """Runs of a campaign are played on ``wires``, each on one of them. All else, such as shrinking, is carried out in a
    thread of this process on the simulated wire, which gives the same records.

    A pair that fails after it has played is left out, and its runs are played on another one: ``lost`` is told why. One
    that has never played, and the last one, end the campaign."""

    def __init__(self, wires: Sequence[Wire], lost: Callable[[str], None] = lambda why: None) -> None:
        self._wires = list(wires)
        self._lost = lost
        self._free: SimpleQueue[Wire | SystemFailedError] = SimpleQueue()
        for wire in wires:
            self._free.put(wire)
        self._lock = Lock()
        self._alive = len(wires)
        self._played: set[int] = set()
        """Indexes of the wires that have played."""
        self._executor = ThreadPoolExecutor(len(wires), "pair")

    together = 1

    def ahead(self) -> int:
        return AHEAD * len(self._wires)

    def submit(self, call: Callable[..., R], *given: Any) -> Future[R]:
        return self._executor.submit(self._play if call is play_parts else call, *given)

    def _play(self, plan: Plan, parts: Sequence[ChunkPart]) -> Any:
        while True:
            wire = self._free.get()
            if isinstance(wire, SystemFailedError):
                self._free.put(wire)
                raise wire
            try:
                played = play_parts(plan, parts, wire)
            except SystemFailedError as error:
                self._leave_out(wire, error)
                continue
            except BaseException:
                self._free.put(wire)
                raise
            self._played.add(self._wires.index(wire))
            self._free.put(wire)
            return played

    def _leave_out(self, wire: Wire, error: SystemFailedError) -> None:
        """Play no more on a wire. Raises the error where that does not help; then all who wait for a wire get it."""
        with self._lock:
            self._alive -= 1
            if not self._alive or self._wires.index(wire) not in self._played:
                self._free.put(error)
                raise error
        self._lost(str(error))

    def check(self) -> None:
        """A pair that does not answer ends its run."""

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
