"""Decisions about messages that may still be on their way."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from contract.network import Fate
from contract.wire.methods import Decide
from contract.wire.status import CallError
from tests.contract.wire.echo import COMMAND, Echo, configured, message, stamp


@pytest.fixture
async def shell() -> Echo:
    return await configured()


async def test_a_decision_waits_for_its_message(shell: Echo) -> None:
    shell.arrival_timeout = 5
    task = asyncio.create_task(shell.decide(stamp(), Decide("kvm0", 2, Fate.OVERTAKE)))
    await asyncio.sleep(0)
    shell.run.receive([message(1)])
    await asyncio.sleep(0)
    assert not task.done()
    shell.run.receive([message(2)])

    assert [r.kind for r in (await task)[2].records] == ["delivery"]


@pytest.mark.parametrize("n", [1, 2])
async def test_a_decision_on_a_message_that_does_not_come_is_refused(shell: Echo, n: int) -> None:
    with pytest.raises(CallError, match=f"no message {n} of session 'kvm0'") as caught:
        await shell.decide(stamp(), Decide("kvm0", n, Fate.TAKE))
    assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_message_that_is_lost_with_its_link_meets_no_fate(shell: Echo) -> None:
    shell.arrival_timeout = 3600
    shell.run.receive([message(1)])
    task = asyncio.create_task(shell.decide(stamp(), Decide("kvm0", 2, Fate.OVERTAKE)))
    await asyncio.sleep(0)
    shell.run.lose("kvm0", True)

    run, _, block = await task
    assert (block.records, run.network.heads(), run.cut) == ([], [], {"kvm0"})
    shell.arrival_timeout = 0.01
    with pytest.raises(CallError, match="no message 7 of session 'kvm1'"):
        await shell.decide(stamp(), Decide("kvm1", 7, Fate.TAKE))


async def test_a_message_that_is_missing_while_the_link_is_down_was_lost_too(shell: Echo) -> None:
    """The link was lost again, before the end at the host had anything over it."""
    shell.part(shell.run, "kvm0")
    shell.run.lose("kvm0", True)
    assert (shell.run.cut, (await shell.decide(stamp(), Decide("kvm0", 7, Fate.TAKE)))[2].records) == (set(), [])


@pytest.mark.parametrize("how", ["fails", "is over"])
async def test_a_decision_does_not_outwait_its_run(shell: Echo, how: str) -> None:
    shell.arrival_timeout = 3600
    task = asyncio.create_task(shell.decide(stamp(), Decide("kvm0", 1, Fate.TAKE)))
    await asyncio.sleep(0)
    if how == "fails":
        shell.run.fail(CallError(grpc.StatusCode.UNAVAILABLE, "kvm: gone"))
    else:
        await shell.configure(stamp(2), COMMAND)

    with pytest.raises(CallError, match="kvm: gone" if how == "fails" else "run 1 is not current"):
        await task
