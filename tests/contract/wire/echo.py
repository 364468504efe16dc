"""A service whose core does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from contract.control import RunTask
from contract.effects import StepResult
from contract.messages import Drain, Envelope
from contract.results import AnyResult, Done
from contract.trace import Recorder, Send, Warn
from contract.wire.free_part import FreePart
from contract.wire.records import RecordBlock
from contract.wire.service_run import ServiceRun
from contract.wire.shell import Shell
from contract.wire.status import CallError
from lbrlab.v1 import trace_pb2

COMMAND = RunTask("t0", 0)


def note(log: Recorder) -> None:
    log.add(Warn(vcpu="vm0/0", text="note"))


def notes(log: Recorder, count: int) -> None:
    for _ in range(count):
        note(log)


class Core:
    def take(self, envelope: Envelope, now: int) -> StepResult[None]:
        return StepResult(None, [], now)


def says(*numbers: int) -> StepResult[None]:
    """A step that sends messages of these numbers."""
    return StepResult(None, [Send("kvm0", True, 1, n, 0, Drain()) for n in numbers], 0)


Act = Callable[[ServiceRun[Core]], Any]


class EchoPart(FreePart[Core]):
    def firing(self, session: str, timer: str) -> Any:
        return session, timer


class Echo(Shell[Core]):
    """``act`` gives the result of the next command."""

    service = "echo"
    is_host = True
    arrival_timeout = 0.01

    def __init__(self) -> None:
        super().__init__()
        self.free_part = EchoPart()
        self.sent: list[Envelope] = []
        self.drained = 0
        self.act: Act = lambda run: note(run.log)

    async def carry_out(self, run: ServiceRun[Core], command: Any, block: RecordBlock) -> AnyResult:
        run.core = Core()
        if asyncio.iscoroutine(done := self.act(run)):
            await done
        return Done()

    def drain(self, run: ServiceRun[Core]) -> bool:
        self.drained += 1
        note(run.log)
        return self.drained >= 3

    def send(self, run: ServiceRun[Core], envelopes: list[Envelope]) -> None:
        self.sent += envelopes


def stamp(run: int = 1, clock: int = 0, now: int = 0, owner: str = "me") -> trace_pb2.Stamp:
    return trace_pb2.Stamp(run=run, clock=clock, now_ns=now, owner=owner)


def message(n: int, session: str = "kvm0") -> Envelope:
    return Envelope(session, True, 1, n, Drain())


async def configured() -> Echo:
    """In run 1."""
    shell = Echo()
    await shell.configure(stamp(), COMMAND)
    return shell


async def failing(shell: Echo, act: Act, run: int = 1) -> CallError:
    shell.act = act
    with pytest.raises(CallError) as caught:
        await shell.command(stamp(run, 7), COMMAND)
    return caught.value
