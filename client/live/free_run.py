"""A free run as its driver sees it: many commands under way, blocks that come in, decisions that follow from them.

The driver has one stream to each service. It asks for the next step of every thread that can step, does not wait for
one answer before it asks for the next, and merges the blocks of all services. Each block in its place is one decision
of the run, which the player carries out against what has happened (``client.live.wire``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from client.drive.grpc_service import BrokenCallError, Service, printable, sound
from client.drive.play import Player
from client.litmus.arithmetic import NoNumberError
from client.litmus.ast import GuestStmt, HostStmt, OpenEvent
from client.litmus.execution import Execution
from client.live.blocks import Merge, Placed
from client.live.wire import Happened, LiveWire
from client.schedule.decisions import Decision, Deliver, Fire, Pass, Step
from contract.control import StepVcpu
from contract.errors import PeerContractError, SystemFailedError
from contract.network import Fate
from contract.results import Done
from contract.trace import AnyRecord
from contract.wire.errors import WireValueError
from contract.wire.options import CHANNEL
from contract.wire.records import record_from_proto, stamp_of
from lbrlab.v1 import control_pb2, live_pb2

SILENCE = 5.0
"""Seconds of silence after which a service has failed. It says how far it is a hundred times a second."""
RETRY = 0.005
"""Seconds until a step that a service could not begin is asked for again."""
LOOK = 0.05
"""Seconds after which the driver looks at the clock though nothing has come."""
MILLION = 1_000_000
HOST_SERVICE = "perfcore"
"""A live run has one host."""

LOST = "UNAVAILABLE", "INTERNAL: Internal error from Core"
"""The beginnings of the status of a stream whose connection has broken; the second is grpc.aio's own, for one that is
written to."""

_LIVE = live_pb2.DESCRIPTOR.services_by_name["LiveService"].full_name + "/Live"
_FATES = {control_pb2.Fate.Value(f"FATE_{fate.name}"): fate for fate in Fate}


class FreeRun:
    """One free run of a player. ``ends``: asked after each round; True ends the free run. ``see``: called after each
    decision. ``loses_links``: services have lost a link, which ends the free run, too."""

    def __init__(
        self,
        player: Player,
        wire: LiveWire,
        speed: float,
        chances: live_pb2.Chances,
        ends: Callable[[], bool],
        see: Callable[[], None],
    ) -> None:
        self.player, self.wire = player, wire
        self.speed, self.chances = speed, chances
        self.ends, self.see = ends, see
        self.services = wire.real.services()
        self.merge = Merge(list(self.services), wire.log.now)
        self._came: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._streams: dict[str, Any] = {}
        self._heard: dict[str, float] = {}
        self._halted: set[str] = set()
        self._asked = 0
        self._under_way: dict[int, tuple[str, Service, Any]] = {}
        """Number of a command to its thread, its service, and the command."""
        self._busy: set[str] = set()
        """The threads with a command under way."""
        self.loses_links = False
        self._later: dict[str, float] = {}
        """Threads whose step could not begin, and when to ask again."""

    def run(self) -> None:
        """Raises SystemFailedError, and KeyboardInterrupt; the player then has all decisions up to that moment."""
        self.wire.free = True
        try:
            asyncio.run(self._run())
        except SystemFailedError as error:
            self.wire.real.fail(error)
            raise
        finally:
            self.wire.free = False

    async def _run(self) -> None:
        listeners = []
        channels = []
        try:
            for number, (name, service) in enumerate(self.services.items()):
                channel = _channel(service)
                channels.append(channel)
                stream = channel.stream_stream(
                    f"/{_LIVE}", live_pb2.LiveRequest.SerializeToString, live_pb2.LiveResponse.FromString
                )()
                self._streams[name] = stream
                self._heard[name] = time.monotonic()
                chances = live_pb2.Chances()
                chances.CopyFrom(self.chances)
                chances.seed = self.chances.seed * len(self.services) + number
                stamp = stamp_of(service.run, self.wire.log, service.owner)
                await self._write(name, go=live_pb2.Go(stamp=stamp, speed=round(self.speed * MILLION), chances=chances))
                listeners.append(asyncio.create_task(self._listen(name, stream)))
            while not (self.loses_links or self.ends()):
                await self._ask_for_steps()
                await self._round(LOOK)
            await self._halt()
        finally:
            for task in listeners:
                task.cancel()
            await asyncio.gather(*listeners, return_exceptions=True)
            for channel in channels:
                await channel.close()

    # Reports ----------------------------------------------------------------------------------------------

    async def _listen(self, name: str, stream: Any) -> None:
        try:
            while (response := await stream.read()) is not grpc.aio.EOF:
                self._came.put_nowait((name, response))
            self._came.put_nowait((name, await _end_of(stream)))
        except (grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError) as error:
            self._came.put_nowait((name, error))

    async def _round(self, timeout: float) -> None:
        """Take in what has come, or wait a moment for it. Then take the decisions that have their place."""
        try:
            async with asyncio.timeout(timeout):
                self._take_in(*await self._came.get())
        except TimeoutError:
            pass
        while not self._came.empty():
            self._take_in(*self._came.get_nowait())
        now = time.monotonic()
        for name, heard in self._heard.items():
            if now - heard > SILENCE and name not in self._halted:
                raise SystemFailedError(name, f"has said nothing for {SILENCE:g} s of a free run")
        for placed in self.merge.ready():
            self._carry_out(placed)

    def _take_in(self, name: str, came: Any) -> None:
        if not isinstance(came, live_pb2.LiveResponse):
            if name in self._halted:
                return
            raise _failed(name, came)
        self._heard[name] = time.monotonic()
        self.merge.put(name, came)
        for asked in came.not_begun:
            thread = self._under_way.pop(asked)[0]
            self._busy.discard(thread)
            self._later[thread] = time.monotonic() + RETRY
        if came.lost:
            self.loses_links = True
            self.wire.real.note_losses(name, came.lost)
        if came.halted:
            self._halted.add(name)

    # Decisions ---------------------------------------------------------------------------------------------

    def _carry_out(self, placed: Placed) -> None:
        block, player, wire = placed.block, self.player, self.wire
        try:
            records = [sound(record_from_proto(record)) for record in block.records]
            kind = block.WhichOneof("input")
            if kind == "until_ns":
                wire.passed.extend(records)
                return
            if placed.place.time > player.flight.now:
                player.carry_out(Pass(placed.place.time))
            if kind == "command":
                self._step(block, records)
            else:
                wire.happened = Happened(None, Done(), records)
                player.carry_out(self._decision(placed, kind))
        except (WireValueError, DecodeError, BrokenCallError, PeerContractError, LookupError, ValueError) as error:
            why = f"its report cannot be right: {printable(str(error))}"
            raise SystemFailedError(placed.service, why) from None
        self.see()

    def _decision(self, placed: Placed, kind: str) -> Decision:
        is_host = placed.service not in self.player.layout.kvms
        if kind == "take":
            take = placed.block.take
            return Deliver(_FATES[take.fate], take.session, is_host, take.n, take.message)
        timer = placed.block.timer
        return Fire(timer.session, not is_host, timer.timer)

    def _step(self, block: live_pb2.LiveBlock, records: list[AnyRecord]) -> None:
        thread, service, command = self._under_way.pop(block.command)
        self._busy.discard(thread)
        outcome = service.outcome(command, block.outcome)
        if (why := self.player.obstacle(thread)) and records:
            raise PeerContractError(f"{thread} has stepped, though: {why}")
        if why:
            return  # A call that still sleeps.
        self.wire.happened = Happened(command, outcome, records)
        self.player.carry_out(Step(thread))

    # Commands ---------------------------------------------------------------------------------------------

    async def _ask_for_steps(self) -> None:
        """Ask for a step of each thread that can step and has no command under way."""
        player, now = self.player, time.monotonic()
        for name in player.threads:
            if name in self._busy or self._later.get(name, 0.0) > now or player.obstacle(name):
                continue
            try:
                at, command = command_of(player, name)
            except NoNumberError:  # No service has a part in it.
                player.carry_out(Step(name))
                self.see()
                continue
            if (service := self.services.get(at)) is None:
                continue
            self._asked += 1
            self._under_way[self._asked] = name, service, command
            self._busy.add(name)
            method, request = service.request(self.wire.log, command)
            await self._write(at, command=live_pb2.LiveCommand(id=self._asked, method=method, request=request))

    async def _write(self, name: str, **request: Any) -> None:
        try:
            await self._streams[name].write(live_pb2.LiveRequest(**request))
        except (grpc.aio.AioRpcError, grpc.aio.BaseError, asyncio.InvalidStateError):
            raise _failed(name, await _end_of(self._streams[name])) from None

    async def _halt(self) -> None:
        """Stop the KVMs, then the perf core, which moves to the latest time of all."""
        hosts = [name for name in self.services if name not in self.player.layout.kvms]
        kvms = [name for name in self.services if name in self.player.layout.kvms]
        for names in (kvms, hosts):
            for name in names:
                await self._write(name, halt=live_pb2.Halt(now_ns=self.merge.latest))
            while not self._halted.issuperset(names):
                await self._round(LOOK)
        left, time_reached = self.merge.end()
        for placed in left:
            self._carry_out(placed)
        if time_reached > self.player.flight.now:
            self.player.carry_out(Pass(time_reached))
            self.see()


def command_of(player: Player, name: str) -> tuple[str, Any]:
    """The command of a thread's next step, and the service that it is for."""
    thread = player.threads[name]
    step = thread.program.current
    assert step is not None
    stmt, actor = step.stmt, step.actor
    names = player.names
    if isinstance(stmt, OpenEvent) and not thread.running:
        names = names.clone()
        names.open(actor, stmt.register)
    at = Execution(player.model, player.state.registers.of(actor), partial(names.of, actor))
    if isinstance(stmt, GuestStmt):
        return player.places[actor], StepVcpu(actor, [] if thread.running else stmt.ops(at))
    assert isinstance(stmt, HostStmt)
    return HOST_SERVICE, stmt.command(at)


def _channel(service: Service) -> grpc.aio.Channel:
    if service.identity is None:
        return grpc.aio.insecure_channel(service.address, options=CHANNEL)
    return grpc.aio.secure_channel(service.address, service.identity.channel_credentials(), options=CHANNEL)


async def _end_of(stream: Any) -> str:
    code, details = await stream.code(), await stream.details()
    return f"{code.name}: {details}" if details else code.name


def _failed(name: str, why: object) -> SystemFailedError:
    """A service has ended its stream, or the driver has lost its link to it: nobody knows what it did since then."""
    told = f"{why.code().name}: {why.details()}" if isinstance(why, grpc.aio.AioRpcError) else str(why)
    if told.startswith(LOST):
        return SystemFailedError(name, f"the driver has lost its link to it in a free run ({printable(told)})")
    return SystemFailedError(name, f"ended a free run: {printable(told)}")
