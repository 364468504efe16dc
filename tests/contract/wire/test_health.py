"""The health of a service, and that a watcher who does not read holds up nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from contract.wire.health import ALWAYS, Health
from tests.contract.wire.echo import COMMAND, Echo, configured, failing, stamp

NAMES = ["lbrlab.v1.DriveService", *sorted(ALWAYS)]
EVERYTHING = {"liveness", "readiness", "", "run", *NAMES}
STATUS = health_pb2.HealthCheckResponse


class Caller:
    """``said``: the statuses that a watcher has got. ``is_deaf``: it reads nothing."""

    def __init__(self, *, is_deaf: bool = False) -> None:
        self.said: asyncio.Queue[int] = asyncio.Queue()
        self.is_deaf = is_deaf

    async def write(self, message: Any) -> None:
        self.said.put_nowait(message.status)
        if self.is_deaf:
            await asyncio.Event().wait()

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        raise LookupError(code, details)


async def asked(health: Health, name: str) -> int:
    context: Any = Caller()
    answer: Any = await health.Check(health_pb2.HealthCheckRequest(service=name), context)
    return int(answer.status)


async def serving(health: Health) -> set[str]:
    """The names whose status is SERVING; each of the others has to be NOT_SERVING."""
    found = {name: await asked(health, name) for name in EVERYTHING}
    assert set(found.values()) <= {STATUS.SERVING, STATUS.NOT_SERVING}
    return {name for name, status in found.items() if status == STATUS.SERVING}


async def test_a_failed_run_is_seen_until_the_next_one() -> None:
    shell = await configured()
    health = Health(shell, NAMES)
    assert await serving(health) == EVERYTHING
    await failing(shell, lambda run: 1 / 0)
    assert await serving(health) == EVERYTHING - {"run"}
    shell.act = lambda run: None
    await shell.configure(stamp(), COMMAND)
    assert await serving(health) == EVERYTHING


async def test_a_service_without_its_peer_is_alive_and_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Echo()
    monkeypatch.setattr(shell, "is_ready", lambda: False)
    assert await serving(Health(shell, NAMES)) == {"liveness", "run", *ALWAYS}


async def test_a_process_that_ends_is_only_alive() -> None:
    health = Health(Echo(), NAMES)
    health.is_ending = True
    assert await serving(health) == {"liveness"}


async def test_a_name_that_is_not_there_is_told_the_others() -> None:
    with pytest.raises(
        LookupError, match=r"expected one of liveness, readiness, run, lbrlab\.v1\.DriveService"
    ) as caught:
        await asked(Health(Echo(), NAMES), "readyness")
    assert caught.value.args[0] is grpc.StatusCode.NOT_FOUND


async def test_watchers_see_each_change_and_a_deaf_one_stops_only_itself() -> None:
    shell = await configured()
    health = Health(shell, NAMES)
    deaf, watcher = Caller(is_deaf=True), Caller()
    calls: list[Any] = [health.Watch(health_pb2.HealthCheckRequest(service="run"), each) for each in (deaf, watcher)]
    tasks = [asyncio.create_task(call) for call in calls]
    async with asyncio.timeout(5):
        assert await watcher.said.get() == STATUS.SERVING
        for _ in range(5):
            shell.touch()
            await asyncio.sleep(0)
        assert watcher.said.empty()
        await failing(shell, lambda run: 1 / 0)
        assert await watcher.said.get() == STATUS.NOT_SERVING
        shell.act = lambda run: None
        await shell.configure(stamp(), COMMAND)
        assert await watcher.said.get() == STATUS.SERVING
        health.is_ending = True
        shell.touch()
        assert await watcher.said.get() == STATUS.NOT_SERVING
    assert deaf.said.qsize() == 1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
