"""Random points of runs at which a service is killed and started again, on both wires."""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any, cast

from client.designs import DESIGNS
from client.drive.pair import Pair
from client.drive.play import Player
from client.drive.sim import SimWire
from client.drive.wire import SINGLE, Layout, Wire
from client.litmus import Scenario
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.schedule import Schedule, Tape
from client.schedule.strategies import DefaultStrategy
from contract.messages import Welcome
from contract.trace import Crash, Delivery, Send, canonical
from tests.crashes.schedule import crash_and_restart
from tests.library import library_scenario

STORIES = (
    "central-story",
    "thread-switch",
    "two-vms-one-cpu",
    "guest-counts-branches",
    "c24-notifier-is-lost-or-late",
    "r13-whole",
)
"""Stories of one host and one KVM."""


@dataclass(frozen=True)
class Point:
    """``record``: the crash comes at the end of the step that writes this record of the undisturbed run."""

    story: str
    design: str
    service: str
    record: int


@dataclass
class Outcome:
    point: Point
    same: bool
    failure: str = ""
    resumed: float | None = None
    """Seconds from SIGKILL to the Welcome of the new epoch, as its KVM has taken it; None: there was none."""
    records: int = 0


@cache
def story_of(name: str) -> Scenario:
    return library_scenario(name)


@cache
def ends(story: str, design: str) -> list[int]:
    """Number of the last record after the beginning and after each decision of the undisturbed run."""
    wire = SimWire()
    player = Player(wire, story_of(story), DESIGNS[design], DefaultStrategy())
    player.begin()
    found = [len(wire.log.records)]
    while (decision := player.choose()) is not None:
        player.carry_out(decision)
        found.append(len(wire.log.records))
    return found


def random_point(rng: Random) -> Point:
    story, design = rng.choice(STORIES), rng.choice(sorted(DESIGNS))
    return Point(story, design, rng.choice(("kvm0", "perfcore")), rng.randrange(1, ends(story, design)[-1] + 1))


def played(point: Point, wire: Wire | None = None) -> Run:
    """The run with the crash; without a wire it is simulated."""
    decision = bisect_left(ends(point.story, point.design), point.record) + 1
    schedule = Schedule(other=lambda: crash_and_restart(point.service, decision))
    return run(Inputs(story_of(point.story), DESIGNS[point.design], schedule, wire))


class Timed:
    """A wire to a pair that measures how long it takes from SIGKILL until the session is open again."""

    name = "grpc"

    def __init__(self, pair: Pair) -> None:
        self.inner = pair.wire
        self.resumed: float | None = None
        self._killed = 0.0
        self._from = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def begin(self, layout: Layout = SINGLE) -> None:
        self.inner.begin(layout)
        self.resumed, self._killed = None, 0.0

    def crash(self, service: str) -> None:
        self._killed, self._from = time.perf_counter(), len(self.inner.log.records)
        self.inner.crash(service)

    def decide(self, *given: Any) -> Any:
        step = self.inner.decide(*given)
        if self._killed and self.resumed is None and self._is_open():
            self.resumed = time.perf_counter() - self._killed
        return step

    def _is_open(self) -> bool:
        """Whether KVM has taken a Welcome that accepts it, since the crash."""
        sent: list[bool] = []
        for record in self.inner.log.records[self._from :]:
            if isinstance(record, Send) and isinstance(record.body, Welcome):
                sent.append(record.body.accepted)
            elif isinstance(record, Delivery) and record.message == Welcome.__name__ and sent.pop(0):
                return True
        return False


def compared(point: Point, wire: Timed) -> Outcome:
    """Play the point on both wires: the same schedule, then its tape on real processes."""
    simulated = played(point)
    tape = Schedule(tape=Tape(simulated.tape))
    real = run(Inputs(story_of(point.story), DESIGNS[point.design], tape, cast(Wire, wire)))
    same = canonical(real.records) == canonical(simulated.records)
    crashed = any(isinstance(record, Crash) for record in real.records)
    return Outcome(point, same and crashed, str(real.failure or ""), wire.resumed, len(real.records))
