"""A recording: a live run from its begin to its end, as one run that replays on any wire.

It begins as every run does. Then the services run freely for a while, and monitors watch. At the end each thread ends
its loop with the turn under way, and the default schedule plays what is left, so that the run comes to rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from msgspec.structs import replace

from client.check.judge import Checker
from client.drive.grpc_wire import GrpcWire
from client.drive.play import Player
from client.drive.wire import perfcores_of
from client.litmus import Scenario
from client.litmus.ast import LitmusStep, Repeat
from client.litmus.limits import MAX_EXECUTED
from client.live.free_run import FreeRun
from client.live.wire import LiveWire
from client.live.workload import turns_of
from client.run.run import Run
from client.schedule.choices import fire, onward
from client.schedule.decisions import Decision, Step
from client.schedule.incidents import Crash, Restart
from client.schedule.strategies import DefaultStrategy
from contract.design import Design
from contract.invariants import VIOLATED
from contract.trace import SessionChange, Setup
from lbrlab.v1 import live_pb2

Progress = Callable[["Recording"], None]
PROGRESS_PAUSE = 0.2
"""Seconds between two reports of the progress."""
ALONE = 0.2
"""Seconds that the other services run freely without a service that was killed."""
RESERVE = 200
"""Statements that a thread may still carry out when its loop ends."""


@dataclass(slots=True)
class Options:
    """``duration``: seconds of free running. ``speed``: virtual nanoseconds in a nanosecond of wall time. ``chances``:
    of faults of messages. ``kill_every``: seconds between two services that are killed, 0: none is. ``victim``: the
    number of the first, of the KVMs and then the hosts."""

    duration: float
    speed: float = 1.0
    chances: live_pb2.Chances = field(default_factory=live_pb2.Chances)
    kill_every: float = 0.0
    victim: int = 0


class Recording(Player):
    """``elapsed``: seconds of free running. ``live_steps``: the steps of threads in that time. ``broken``: the
    invariants that the monitors have seen broken. ``kills``: the services that were killed, in order. ``lost``: the
    sessions that lost their link, or ended, though no service was killed."""

    def __init__(
        self, wire: GrpcWire, scenario: Scenario, design: Design, options: Options, progress: Progress | None = None
    ) -> None:
        self.live = LiveWire(wire)
        super().__init__(self.live, scenario, design, DefaultStrategy())
        self.options = options
        self.progress = progress
        self.monitors: Checker | None = None
        self.broken: list[str] = []
        self.kills: list[str] = []
        self.lost: list[str] = []
        self.elapsed = 0.0
        self.live_steps = 0
        self._seen = 0
        """The number of records that the monitors have taken in."""
        self._killing = False
        self._until = 0.0
        """Seconds of free running after which the present free run ends."""
        self._began = 0.0
        self._told = 0.0

    def begin(self) -> None:
        super().begin()
        self._see()
        options = self.options
        every = options.kill_every or options.duration
        kills = ceil(options.duration / every) - 1  # A busy machine is late with them, but leaves none out.
        try:
            while True:
                self._run_free(min(every * (len(self.kills) + 1), options.duration))
                if self.broken or len(self.kills) == kills:
                    break
                self._kill()
        finally:
            self._end_loops()

    def recorded(self) -> Run:
        """Play the run, and give it as far as it came: ``Run.failure`` says why it ended early."""
        failure = self.play()
        self._see()
        return Run(self.scenario, self.design, self.live.name, (), self.tape, self.wire.log.records, failure)

    def _run_free(self, until: float) -> None:
        """Run freely until so many seconds of free running are over. A link that is lost meanwhile interrupts it: both
        ends are told, as in every other run, and KVM resumes its session."""
        self._until = until
        while self.elapsed < until and not (self.broken or self._is_done):
            self._began = time.monotonic() - self.elapsed
            free = FreeRun(self, self.live, self.options.speed, self.options.chances, self._ends, self._see)
            try:
                free.run()
            finally:
                self.elapsed = time.monotonic() - self._began
            if free.loses_links:
                while (decision := self.incidents.happened()) is not None:
                    self.carry_out(decision)
                self._see()

    @property
    def _is_done(self) -> bool:
        """True if no thread has a statement left."""
        return all(thread.program.current is None for thread in self.threads.values())

    def _ends(self) -> bool:
        now = time.monotonic()
        self.elapsed = now - self._began
        if self.progress is not None and now - self._told > PROGRESS_PAUSE:
            self._told = now
            self.progress(self)
        for name, thread in self.threads.items():
            if thread.program.executed > MAX_EXECUTED - RESERVE:
                self._end_loop(name)
        return bool(self.broken) or self.elapsed >= self._until or self._is_done

    # Kills -------------------------------------------------------------------------------------------------

    def _kill(self) -> None:
        """Kill the next service, KVMs first, let the others run on for a while, and start it again. The kill has its
        place between two steps, because all services stand still then."""
        services = [*self.kvms, *perfcores_of(self.layout)]
        service = services[(self.options.victim + len(self.kills)) % len(services)]
        self.kills.append(service)
        self._killing = True
        self.carry_out(Crash(service))
        if service in self.kvms and len(self.kvms) > 1:
            self._run_free(self.elapsed + ALONE)
        self.carry_out(Restart(service))
        self._settle()
        self._see()
        self._killing = False

    def _settle(self) -> None:
        """Until the KVMs of a host that began again have greeted it, only messages and timers go on. The threads of
        their vCPUs run again only then."""
        flight = self.flight
        while flight.outages.adrift or flight.outages.homeless:
            if heads := flight.heads():
                self.carry_out(onward(flight, heads[0]))
            elif armed := flight.armed():
                self.carry_out(fire(armed[0]))
            else:
                return

    # Records -----------------------------------------------------------------------------------------------

    def _see(self) -> None:
        """The monitors take in the new records in their order."""
        records = self.wire.log.records
        for record in records[self._seen :]:
            if isinstance(record, Setup):
                self.monitors = Checker(record, evidence=False)
            elif isinstance(record, SessionChange) and not self._killing:
                self.lost.append(record.session)
            assert self.monitors is not None
            self.monitors.take(record)
        self._seen = len(records)
        if self.monitors is not None and not self.broken:
            self.broken = [name for name, verdict in self.monitors.verdicts().items() if verdict == VIOLATED]

    def carry_out(self, decision: Decision) -> None:
        self.live_steps += self.live.free and isinstance(decision, Step)
        super().carry_out(decision)

    def _end_loops(self) -> None:
        """Each loop ends with the turn under way. The scenario says how many turns each thread has made."""
        for name in self.threads:
            self._end_loop(name)

    def _end_loop(self, name: str) -> None:
        let = turns_of(name)
        if let not in self.scenario.lets:
            return
        program = self.threads[name].program
        loop = next((frame for frame in program.frames if _is_of(frame.loop, let)), None)
        if loop is not None:
            self._set(let, self.scenario.lets[let] - loop.left)
            loop.left = 0
        elif program.current is not None:  # It has not come to its loop.
            self._set(let, 0)

    def _set(self, let: str, turns: int) -> None:
        self.scenario = replace(self.scenario, lets=self.scenario.lets | {let: turns})
        for actor in {actor for block in self.scenario.blocks for actor in block.actors}:
            self.state.registers.put(actor, let, turns)


def _is_of(loop: LitmusStep | None, let: str) -> bool:
    return loop is not None and isinstance(loop.stmt, Repeat) and loop.stmt.count == let
