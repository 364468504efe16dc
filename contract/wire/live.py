"""A free run: a service acts on its own, on wall time, and reports what it did (``live.proto``).

Theory of operation. One task takes the inputs of a service one by one: messages that have arrived, timers that are due,
commands of the driver. Each input is the same call of the core that a driver's decision makes otherwise, and its
records are one block. The task holds the lock of the service during a turn, so a block is never mixed with another.

Virtual time follows wall time in steps of ``QUANTUM``. It never stays behind a time that came with a frame or a request
of another service, and the logical clock likewise. So (time, clock) of blocks orders a cause before its effect. Records
are handed over with their block and are not kept.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import msgspec
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from contract.messages import Envelope
from contract.network import Fate
from contract.trace import Timer
from contract.wire.codec import from_proto, to_proto
from contract.wire.errors import WireValueError
from contract.wire.methods import Decide
from contract.wire.records import record_to_proto
from contract.wire.refusal import ERRNO
from contract.wire.status import CallError, parse
from lbrlab.v1 import control_pb2, drive_pb2, live_pb2, trace_pb2

if TYPE_CHECKING:
    from contract.wire.service_run import ServiceRun
    from contract.wire.shell import Shell

QUANTUM = 100_000
"""Virtual nanoseconds by which time moves. A tape has one decision for each time at which something happens."""
PULSE = 0.01
"""Seconds after which a service that has nothing to do says how far its time is."""
TAKEN_AT_ONCE = 64
"""The most messages of one direction that are taken in one turn."""
COMMANDS_LIMIT = 4096
"""The most commands that may wait."""
BLOCKS_OF_A_RESPONSE = 256
MILLION = 1_000_000

Methods = Mapping[str, tuple[MethodDescriptor, type[msgspec.Struct]]]
"""Name of a method to its descriptor and to the command that it carries."""


class Command(msgspec.Struct):
    id: int
    method: MethodDescriptor
    command: Any


class ServiceFreeRun:
    """``heard``: the latest virtual time that another service has told."""

    def __init__(self, shell: Shell[Any], run: ServiceRun[Any], go: live_pb2.Go, methods: Methods) -> None:
        self.shell, self.run = shell, run
        self.methods = methods
        self.speed = go.speed
        self.chances = go.chances
        self.rng = Random(go.chances.seed)
        self.base, self.since = go.stamp.now_ns, time.monotonic_ns()
        self.heard = go.stamp.now_ns
        self.wake = asyncio.Event()
        self.halt: live_pb2.Halt | None = None
        self._commands: deque[Command] = deque()
        self._blocks: list[live_pb2.LiveBlock] = []
        self._not_begun: list[int] = []
        self._released: dict[int, int] = {}
        """Message that has arrived, by its identity, to the time from which it can be taken."""

    def hear(self, clock: int, now: int) -> None:
        """Another service has told its clock and its time."""
        log = self.run.log
        log.clock = max(log.clock, clock)
        self.heard = max(self.heard, now)
        self.wake.set()

    async def reach(self, stamp: trace_pb2.Stamp) -> None:
        """A step of a KVM begins at the perf core, not before the KVM's own clock and time. The lock is held."""
        self.hear(stamp.clock, stamp.now_ns)
        await self._pass_time(self.now())
        self.run.log.clock += 1

    def ask(self, asked: live_pb2.LiveCommand) -> None:
        """A command of the driver. Raises CallError if it cannot be one of a free run."""
        if asked.method not in self.methods:
            known = ", ".join(sorted(self.methods))
            why = f"{asked.method!r} is no command of a free run, expected one of {known}"
            raise CallError(grpc.StatusCode.INVALID_ARGUMENT, why)
        if len(self._commands) >= COMMANDS_LIMIT:
            raise CallError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"more than {COMMANDS_LIMIT} commands wait")
        method, struct = self.methods[asked.method]
        request: Any = parse(GetMessageClass(method.input_type), asked.request)
        self.shell.current(request.stamp)
        try:
            self._commands.append(Command(asked.id, method, from_proto(request, struct)))
        except WireValueError as error:
            raise CallError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None
        self.wake.set()

    def now(self) -> int:
        """Virtual nanoseconds."""
        passed = (time.monotonic_ns() - self.since) * self.speed // MILLION
        wall = self.base + passed
        return max(wall - wall % QUANTUM, self.heard, self.run.log.now)

    async def serve(self, context: grpc.aio.ServicerContext) -> None:
        """Act and report until the driver halts it. Raises CallError if the run fails."""
        while self.halt is None:
            self.wake.clear()
            async with self.shell.lock:
                busy = await self._turn(self.now())
            await self._report(context)
            if not busy and self.halt is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(PULSE):
                        await self.wake.wait()
        async with self.shell.lock:
            await self.shell.free_part.leave(self.run)
            await self._pass_time(max(self.now(), self.halt.now_ns))
            self._not_begun += [command.id for command in self._commands]
            self._commands.clear()
            await self._report(context, halted=True)

    async def _report(self, context: grpc.aio.ServicerContext, *, halted: bool = False) -> None:
        log = self.run.log
        while True:
            blocks, self._blocks = self._blocks[:BLOCKS_OF_A_RESPONSE], self._blocks[BLOCKS_OF_A_RESPONSE:]
            last = not self._blocks
            # Blocks that follow have a clock and a time that are not below those of the blocks here.
            clock, now = (log.clock, log.now) if last else (blocks[-1].clock, blocks[-1].time_ns)
            response = live_pb2.LiveResponse(
                clock=clock, now_ns=now, blocks=blocks, halted=halted and last, lost=sorted(self.run.cut)
            )
            if last:
                response.not_begun.extend(self._not_begun)
                self._not_begun.clear()
                if halted:
                    self.release()
            await context.write(response)
            if last:
                return

    def release(self) -> None:
        """The free run is over. From here on the driver's clock counts, which numbers the records of all services."""
        if self.run.free is self:
            self.run.free = None
            self.run.log.clock = 0

    # One turn ----------------------------------------------------------------------------------------------

    async def _turn(self, now: int) -> bool:
        """Time passes, then: the messages that have arrived, every timer that is due, one command. True if more may be
        possible at once."""
        run, shell = self.run, self.shell
        run.check()
        await shell.free_part.keep(run)
        await self._pass_time(now)
        self._delay()
        busy = False
        for way in list(run.network.queues):
            for _ in range(TAKEN_AT_ONCE):
                waiting = run.network.waiting(*way)
                # A message that has come in this turn may be of a later time: then it is for the next turn.
                if not waiting or self._is_late(waiting[0]) or self.heard > run.log.now:
                    break
                await self._take(waiting[0])
                busy = True
        for (session, timer), due in sorted(run.timers.items(), key=lambda item: item[1]):
            if due <= run.log.now:
                await self._fire(session, timer)
                busy = True
        if self._commands:
            await self._carry_out(self._commands.popleft())
            busy = True
        return busy

    async def _pass_time(self, now: int) -> None:
        run = self.run
        block = live_pb2.LiveBlock(until_ns=now)
        for command in self.shell.free_part.passing(run, now):
            await self._perform(block, command)
        run.log.witness(0, now)
        if block.records:
            self._blocks.append(block)

    async def _take(self, envelope: Envelope) -> None:
        fate, other = self._fate(envelope)
        block = live_pb2.LiveBlock()
        block.take.CopyFrom(
            live_pb2.LiveTake(fate=_FATES[fate], session=other.session, n=other.seq, message=other.kind)
        )
        await self._perform(block, Decide(other.session, other.seq, fate))
        self._blocks.append(block)

    def _fate(self, envelope: Envelope) -> tuple[Fate, Envelope]:
        """The fate that is drawn, and the message that meets it."""
        chances, drawn = self.chances, self.rng.randrange(MILLION)
        for fate in (Fate.DROP, Fate.DUPLICATE, Fate.CORRUPT, Fate.OVERTAKE):
            drawn -= getattr(chances, fate)
            if drawn < 0:
                if fate is not Fate.OVERTAKE:
                    return fate, envelope
                waiting = self.run.network.waiting(envelope.session, envelope.to_host)
                behind = next((other for other in waiting[1:] if other.seq != envelope.seq), None)
                return (Fate.TAKE, envelope) if behind is None else (fate, behind)
        return Fate.TAKE, envelope

    def _is_late(self, envelope: Envelope) -> bool:
        """Whether the message still waits on its way."""
        return self._released.get(id(envelope), 0) > self.run.log.now

    def _delay(self) -> None:
        """Draw how long each message that has just arrived waits on its way. None overtakes another."""
        limit, now, known = self.chances.delay_ns, self.run.log.now, self._released
        if limit:
            waiting = [envelope for queue in self.run.network.queues.values() for envelope in queue]
            self._released = {id(e): known.get(id(e)) or now + self.rng.randrange(limit) for e in waiting}

    async def _fire(self, session: str, timer: str) -> None:
        block = live_pb2.LiveBlock()
        block.timer.CopyFrom(live_pb2.LiveTimer(session=session, timer=timer))
        await self._perform(block, self.shell.free_part.firing(session, timer))
        self._blocks.append(block)

    async def _carry_out(self, asked: Command) -> None:
        run, shell = self.run, self.shell
        if not await shell.free_part.begin_step(run, asked.command):
            self._not_begun.append(asked.id)
            return
        block = live_pb2.LiveBlock(command=asked.id)
        try:
            result = await self._perform(block, asked.command)
            response = GetMessageClass(asked.method.output_type)()
            if result is not None:
                into: Any = response
                into.result.CopyFrom(to_proto(result, type(into.result)))
            block.outcome.response = response.SerializeToString()
        except CallError as error:
            if ERRNO not in dict(error.metadata) or block.records:
                raise
            metadata = [drive_pb2.DriveMetadata(key=key, value=value) for key, value in error.metadata]
            block.outcome.failure.CopyFrom(
                drive_pb2.DriveFailure(code=error.code.value[0], message=error.message, metadata=metadata)
            )
        finally:
            await shell.free_part.end_step(run, asked.command)
        self._blocks.append(block)

    async def _perform(self, block: live_pb2.LiveBlock, command: Any) -> Any:
        """One input of the core; its records go into the block."""
        run = self.run
        log = run.log
        self.note_timers(run, self.shell.is_host)  # Steps of KVMs have left records that were handed over.
        log.clock += 1
        block.clock, block.time_ns = log.clock, log.now
        stamp = trace_pb2.Stamp(run=run.number, clock=log.clock, now_ns=log.now, owner=run.owner)
        try:
            result, made = await self.shell.perform(run, stamp, command)
        except CallError:
            block.records.extend(map(record_to_proto, log.records))
            raise
        finally:
            self.note_timers(run, self.shell.is_host)
        block.records.extend(made.records)
        return result

    @staticmethod
    def note_timers(run: ServiceRun[Any], is_host: bool) -> None:
        """Remember the timers of this end, and forget the records."""
        for record in run.log.records:
            if type(record) is Timer and record.to_host is not is_host:
                run.timers.pop((record.session, record.timer), None)
                if record.due >= 0:
                    run.timers[record.session, record.timer] = record.due
        run.log.records.clear()


_FATES: dict[Fate, Any] = {fate: control_pb2.Fate.Value(f"FATE_{fate.name}") for fate in Fate}


async def serve_live(shell: Shell[Any], context: grpc.aio.ServicerContext, methods: Methods) -> None:
    """The handler of LiveService.Live."""
    first = await _read(context)
    if first is None:
        return
    if first.WhichOneof("request") != "go":
        raise CallError(grpc.StatusCode.INVALID_ARGUMENT, "the first message is no Go")
    async with shell.lock:
        run = shell.current(first.go.stamp)
        run.check()
        if run.free is not None:
            raise CallError(grpc.StatusCode.FAILED_PRECONDITION, f"{shell.service}: is in a free run already")
        ServiceFreeRun.note_timers(run, shell.is_host)
        run.log.witness(first.go.stamp.clock, first.go.stamp.now_ns)
        free = run.free = ServiceFreeRun(shell, run, first.go, methods)
        free.hear(*run.heard)
    tasks: list[asyncio.Task[Any]] = []
    shell.drivers += 1
    try:
        tasks = [asyncio.create_task(free.serve(context)), asyncio.create_task(_listen(context, free))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if free.halt is not None:
            await tasks[0]
        for task in tasks:
            if task.done():
                task.result()
    finally:
        shell.drivers -= 1
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        free.release()


async def _listen(context: grpc.aio.ServicerContext, free: ServiceFreeRun) -> None:
    """Take in what the driver asks until it halts, or is gone."""
    while (request := await _read(context)) is not None:
        match request.WhichOneof("request"):
            case "command":
                free.ask(request.command)
            case "halt":
                free.halt = request.halt
                free.wake.set()
                return
            case _:
                raise CallError(grpc.StatusCode.INVALID_ARGUMENT, "a second Go")


async def _read(context: grpc.aio.ServicerContext) -> Any:
    """The next valid message; None at the end of the stream."""
    raw = await context.read()
    return None if raw is grpc.aio.EOF else parse(live_pb2.LiveRequest, raw)
