"""The part of a service around its core: runs, refusals, failures."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import grpc
import pytest
from msgspec.structs import replace

from contract.checksum import checksum
from contract.errors import RefusedError
from contract.network import CAPACITY
from contract.wire import log as wire_log
from contract.wire.limits import Limits
from contract.wire.refusal import CLOCK, ERRNO, NOW
from contract.wire.service_run import ServiceRun
from contract.wire.status import CallError
from lbrlab.v1 import info_pb2, trace_pb2
from tests.contract.wire.echo import COMMAND, Act, Core, Echo, configured, failing, message, note, notes, says, stamp


@pytest.fixture
async def shell() -> Echo:
    return await configured()


async def test_a_command_brings_back_its_records_after_the_callers_clock(shell: Echo) -> None:
    run, _, block = await shell.command(stamp(clock=41, now=900), COMMAND)

    assert [(r.seq, r.time_ns, r.kind) for r in block.records] == [(42, 900, "warn")]
    assert shell.stamp(run) == stamp(clock=42, now=900)


@pytest.mark.parametrize("number", [0, 2, 99])
async def test_another_run_is_aborted(shell: Echo, number: int) -> None:
    with pytest.raises(CallError, match=f"echo: run {number} is not current, the current run is 1") as caught:
        await shell.command(stamp(number), COMMAND)
    assert caught.value.code is grpc.StatusCode.ABORTED


async def test_the_service_gives_out_the_numbers(shell: Echo) -> None:
    numbers = [(await shell.configure(stamp(0), COMMAND))[0].number for _ in range(3)]

    assert numbers == [2, 3, 4]


async def test_the_run_of_another_driver_is_aborted(shell: Echo) -> None:
    with pytest.raises(CallError, match="the current run is 1, which another driver has begun") as caught:
        await shell.command(stamp(owner="you"), COMMAND)
    assert caught.value.code is grpc.StatusCode.ABORTED


async def test_records_that_cannot_be_encoded_fail_the_run(shell: Echo) -> None:
    error = await failing(shell, lambda run: run.log.witness(2**64, 0))

    assert error.code is grpc.StatusCode.INTERNAL
    assert (await shell.info(info_pb2.GetInfoRequest())).run_failed == error.message


async def test_the_stamp_names_the_links_that_are_lost_until_the_core_is_told(shell: Echo) -> None:
    for session in ("kvm1", "kvm0", "kvm0"):
        shell.run.lose(session, True)
    for clock in (41, 50):
        run, _, block = await shell.command(stamp(clock=clock), COMMAND)
        assert ([r.seq for r in block.records], list(shell.stamp(run).lost)) == ([clock + 1], ["kvm0", "kvm1"])
    shell.part(run, "kvm0")
    assert list(shell.stamp(run).lost) == ["kvm1"]


async def test_a_process_that_ends_waits_until_its_sessions_have_drained(shell: Echo) -> None:
    shell.drivers = 1
    closing = asyncio.create_task(shell.close())
    await asyncio.sleep(0)
    first = (await shell.command(stamp(clock=41), COMMAND))[2]
    await asyncio.sleep(0)
    assert (len(first.records), closing.done()) == (3, False)
    last = (await shell.command(stamp(clock=50), COMMAND))[2]
    async with asyncio.timeout(0.5):
        await closing
    assert len(last.records) == 3
    assert (await failing(shell, lambda run: None)).message == "echo: is stopping"


@pytest.mark.parametrize("why", ["no driver", "no run", "failed"])
async def test_there_is_nothing_to_wait_for(why: str) -> None:
    shell = Echo() if why == "no run" else await configured()
    shell.drivers = int(why != "no driver")
    if why == "failed":
        await failing(shell, stumble)
    async with asyncio.timeout(0.5):
        await shell.close()


async def test_a_process_that_ends_does_not_wait_for_ever(shell: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contract.wire.shell.DRAIN_TIMEOUT", 0.01)
    shell.drivers = 1
    async with asyncio.timeout(0.5):
        await shell.close()


async def test_configure_starts_afresh(shell: Echo) -> None:
    shell.run.receive([message(1)])
    before = shell.run
    await shell.configure(stamp(2), COMMAND)

    assert shell.run is not before
    assert [r.seq for r in shell.run.log.records] == [1]
    assert shell.run.network.queues == {}


def refuse(run: ServiceRun[Core]) -> None:
    raise RefusedError("no such task", "ESRCH")


async def test_a_refusal_leaves_the_clock_alone(shell: Echo) -> None:
    error = await failing(shell, refuse)

    assert (error.code, error.message) == (grpc.StatusCode.FAILED_PRECONDITION, "no such task")
    assert dict(error.metadata) == {ERRNO: "ESRCH", CLOCK: "7", NOW: "0"}
    assert (shell.run.log.clock, shell.run.failed) == (1, None)


async def test_a_refusal_after_records_tells_the_clock(shell: Echo) -> None:
    def note_and_refuse(run: ServiceRun[Core]) -> None:
        note(run.log)
        refuse(run)

    error = await failing(shell, note_and_refuse)

    assert dict(error.metadata)[CLOCK] == "8"


async def test_a_refused_configure_keeps_the_run(shell: Echo) -> None:
    shell.act = refuse
    with pytest.raises(CallError, match="no such task"):
        await shell.configure(stamp(2), COMMAND)
    shell.act = lambda run: note(run.log)

    assert (await shell.command(stamp(1), COMMAND))[0].number == 1


def stumble(run: ServiceRun[Core]) -> None:
    note(run.log)
    raise KeyError("surprise")


async def test_an_error_nobody_foresaw_ends_the_run_and_is_logged_once(
    shell: Echo, capsys: pytest.CaptureFixture[str]
) -> None:
    wire_log.log.cache_clear()
    error = await failing(shell, stumble)
    again = await failing(shell, lambda run: None)
    written = capsys.readouterr().err
    wire_log.log.cache_clear()

    assert (error.code, error.message) == (grpc.StatusCode.INTERNAL, "echo: internal error: KeyError: 'surprise'")
    assert (again.code, again.message) == (error.code, error.message)
    assert [line.split("event=")[1].split()[0] for line in written.splitlines()] == ["internal-error", "run-ended"]
    assert (await shell.info(info_pb2.GetInfoRequest())).run_failed == error.message


async def test_after_any_failure_the_next_configure_works(shell: Echo) -> None:
    await failing(shell, stumble)
    shell.act = lambda run: note(run.log)
    await shell.configure(stamp(2), COMMAND)

    assert shell.run.failed is None


async def test_an_error_in_configure_keeps_the_run(shell: Echo) -> None:
    shell.act = stumble
    with pytest.raises(CallError, match="KeyError"):
        await shell.configure(stamp(2), COMMAND)

    assert (shell.run.number, shell.run.failed) == (1, None)


async def test_a_command_that_is_cancelled_halfway_ends_the_run(shell: Echo) -> None:
    begun = asyncio.Event()

    async def hang(run: ServiceRun[Core]) -> None:
        begun.set()
        await asyncio.Event().wait()

    shell.act = hang
    task = asyncio.create_task(shell.command(stamp(), COMMAND))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    error = await failing(shell, lambda run: None)
    assert error.message == "echo: a command was cancelled halfway"


async def test_commands_do_not_overlap(shell: Echo) -> None:
    """KVM's may wait for the silicon in the middle."""
    inside: list[int] = []

    async def look(run: ServiceRun[Core]) -> None:
        inside.append(1)
        assert len(inside) == 1
        await asyncio.sleep(0)
        inside.pop()

    shell.act = look
    await asyncio.gather(*(shell.command(stamp(), COMMAND) for _ in range(5)))


async def test_a_full_inbox_is_refused_and_the_run_goes_on(shell: Echo) -> None:
    with pytest.raises(CallError) as caught:
        shell.run.receive(message(n) for n in range(1, CAPACITY + 2))
    shell.run.receive([message(1, "kvm1")])
    await shell.command(stamp(), COMMAND)

    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert caught.value.message == f"limit inbox: kvm0 has more than {CAPACITY} messages waiting (--max-inbox)"
    assert shell.run.network.has("kvm1", True, 1)


@pytest.mark.parametrize("act", [lambda run: None, refuse, stumble])
async def test_what_the_core_has_to_say_goes_out(shell: Echo, act: Act) -> None:
    def speak(run: ServiceRun[Core]) -> None:
        shell.done(run, says(1))
        act(run)

    shell.act = speak
    with suppress(CallError):
        await shell.command(stamp(), COMMAND)

    assert shell.sent == [replace(message(1), checksum=checksum(message(1)))]


async def test_before_configure_there_is_nothing_to_ask() -> None:
    with pytest.raises(RefusedError) as error:
        assert Echo().run.core
    assert error.value.errno == "ENXIO"


async def test_the_trace_is_told_in_pieces_from_where_it_is_asked(shell: Echo) -> None:
    shell.act = lambda run: notes(run.log, 600)
    await shell.command(stamp(), COMMAND)
    pieces = [p async for p in shell.trace(trace_pb2.GetTraceRequest(run=1, since_seq=5))]

    assert [r.seq for piece in pieces for r in piece.records] == list(range(6, 602))
    assert len(pieces) == 3


async def test_old_records_are_forgotten(shell: Echo) -> None:
    shell.limits = Limits(trace_records=100)
    shell.act = lambda run: notes(run.log, 60)
    seen = []
    for _ in range(4):
        _, _, block = await shell.command(stamp(), COMMAND)
        seen += [r.seq for r in block.records]

    assert seen == list(range(2, 242))
    assert len(shell.run.log.records) <= 125


async def test_a_service_that_stops_says_so(shell: Echo) -> None:
    await shell.close()
    error = await failing(shell, lambda run: None)

    assert (error.code, error.message) == (grpc.StatusCode.UNAVAILABLE, "echo: is stopping")
