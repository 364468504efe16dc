"""A recording: a live run from its begin to its end, as one run that replays on any wire.

It begins as every run does. Then the services run freely for a while, and monitors watch. At the end each thread ends
its loop with the turn under way, and the default schedule plays what is left, so that the run comes to rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from client.check.judge import Checker
from client.drive.grpc_wire import GrpcWire
from client.drive.play import Player
from client.litmus import Scenario
from client.litmus.ast import Repeat
from client.litmus.limits import MAX_EXECUTED
from client.live.free_run import FreeRun
from client.live.wire import LiveWire
from client.live.workload import turns_of
from client.run.run import Run
from client.schedule.decisions import Step
from client.schedule.strategies import DefaultStrategy
from contract.design import Design
from contract.invariants import VIOLATED
from contract.trace import AnyRecord, Setup
from lbrlab.v1 import live_pb2

Progress = Callable[["Recording"], None]
PROGRESS_PAUSE = 0.2
"""Seconds between two reports of the progress."""
RESERVE = 200
"""Statements that a thread may still carry out when its loop ends."""


@dataclass(slots=True)
class Options:
    """``duration``: seconds of free running. ``speed``: virtual nanoseconds in a nanosecond of wall time. ``chances``:
    of faults of messages."""

    duration: float
    speed: float = 1.0
    chances: live_pb2.Chances = field(default_factory=live_pb2.Chances)


class Recording(Player):
    """``elapsed``: seconds of free running. ``live_steps``: the steps of threads in that time. ``broken``: the
    invariants that the monitors have seen broken."""

    def __init__(
        self, wire: GrpcWire, scenario: Scenario, design: Design, options: Options, progress: Progress | None = None
    ) -> None:
        self.live = LiveWire(wire)
        super().__init__(self.live, scenario, design, DefaultStrategy())
        self.options = options
        self.progress = progress
        self.monitors: Checker | None = None
        self.broken: list[str] = []
        self.elapsed = 0.0
        self.live_steps = 0
        self._since = 0.0
        self._told = 0.0

    def begin(self) -> None:
        super().begin()
        self._see(self.wire.log.records)
        self._since = time.monotonic()
        try:
            FreeRun(self, self.live, self.options.speed, self.options.chances, self._ends, self._see).run()
        finally:
            self.elapsed = time.monotonic() - self._since
            self.live_steps = self._steps()
            self._end_loops()

    def recorded(self) -> Run:
        """Play the run, and give it as far as it came: ``Run.failure`` says why it ended early."""
        failure = self.play()
        return Run(self.scenario, self.design, self.live.name, (), self.tape, self.wire.log.records, failure)

    def _ends(self) -> bool:
        now = time.monotonic()
        if self.progress is not None and now - self._told > PROGRESS_PAUSE:
            self._told, self.elapsed, self.live_steps = now, now - self._since, self._steps()
            self.progress(self)
        for name, thread in self.threads.items():
            if thread.program.executed > MAX_EXECUTED - RESERVE:
                self._end_loop(name)
        return bool(self.broken) or now - self._since > self.options.duration

    def _steps(self) -> int:
        return sum(isinstance(decision, Step) for decision in self.tape)

    def _see(self, records: list[AnyRecord]) -> None:
        """The monitors take in records in their order."""
        for record in records:
            if isinstance(record, Setup):
                self.monitors = Checker(record, evidence=False)
            assert self.monitors is not None
            self.monitors.take(record)
        if self.monitors is not None and not self.broken:
            self.broken = [name for name, verdict in self.monitors.verdicts().items() if verdict == VIOLATED]

    def _end_loops(self) -> None:
        """Each loop ends with the turn under way. The scenario says how many turns each thread has made."""
        for name in self.threads:
            self._end_loop(name)

    def _end_loop(self, name: str) -> None:
        let = turns_of(name)
        frames = self.threads[name].program.frames
        loop = next((frame for frame in frames if frame.loop is not None and isinstance(frame.loop.stmt, Repeat)), None)
        if let in self.scenario.lets and loop is not None and loop.left:
            self.scenario = replace(self.scenario, lets=self.scenario.lets | {let: self.scenario.lets[let] - loop.left})
            loop.left = 0
