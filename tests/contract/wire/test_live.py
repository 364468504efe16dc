"""A free run of one service: time, messages, timers, commands, and what it reports."""

from __future__ import annotations

import time
from typing import Any

import grpc
import pytest

from contract.errors import RefusedError
from contract.messages import Envelope
from contract.network import Fate
from contract.results import Done
from contract.trace import Timer
from contract.wire import live
from contract.wire.live import QUANTUM, ServiceFreeRun
from contract.wire.service_run import ServiceRun
from contract.wire.status import CallError
from lbrlab.v1 import live_pb2, perf_control_pb2
from tests.contract.wire.echo import Core, Echo, configured, message, note, notes, stamp

CONTROL = perf_control_pb2.DESCRIPTOR.services_by_name["PerfControlService"]


class Command:
    pass


METHODS: Any = {"Close": (CONTROL.methods_by_name["Close"], Command)}


class Context:
    """The driver's stream."""

    def __init__(self) -> None:
        self.written: list[live_pb2.LiveResponse] = []

    async def write(self, response: live_pb2.LiveResponse) -> None:
        self.written.append(response)

    @property
    def blocks(self) -> list[live_pb2.LiveBlock]:
        return [block for response in self.written for block in response.blocks]


def free(shell: Echo, now: int = 0, **chances: int) -> ServiceFreeRun:
    """A free run in which time stands still."""
    go = live_pb2.Go(stamp=stamp(now=now), speed=1, chances=live_pb2.Chances(**chances))
    run = shell.run.free = ServiceFreeRun(shell, shell.run, go, METHODS)
    return run


async def turn(run: ServiceFreeRun, now: int = 0) -> list[live_pb2.LiveBlock]:
    """The blocks of one turn."""
    async with run.shell.lock:
        await run._turn(now)
    context: Any = Context()
    await run._report(context)
    return context.blocks


async def test_each_message_is_a_block_with_a_higher_clock() -> None:
    shell = await configured()
    run = free(shell)
    shell.run.receive([message(1), message(2), message(1, "kvm1")])

    blocks = await turn(run, 5 * QUANTUM)

    assert [(b.take.session, b.take.n) for b in blocks] == [("kvm0", 1), ("kvm0", 2), ("kvm1", 1)]
    assert [b.time_ns for b in blocks] == [5 * QUANTUM] * 3
    assert [len(b.records) for b in blocks] == [1, 1, 1]
    clocks = [b.clock for b in blocks]
    assert clocks == sorted(set(clocks))
    assert shell.run.log.records == []  # They were handed over.


async def test_a_message_that_comes_in_a_turn_is_not_taken_before_it_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = await configured()
    run = free(shell)
    shell.run.receive([message(1)])

    def take(core: Core, envelope: Envelope, now: int) -> Any:
        if envelope.seq == 1:  # While the first is taken, the second comes, of a later time.
            shell.run.hear(90, 7 * QUANTUM)
            shell.run.receive([message(2)])
        return real(core, envelope, now)

    real = Core.take
    monkeypatch.setattr(Core, "take", take)

    first = await turn(run, 2 * QUANTUM)
    second = await turn(run, run.now())

    assert [(b.take.n, b.time_ns) for b in first] == [(1, 2 * QUANTUM)]
    assert [(b.take.n, b.time_ns) for b in second] == [(2, 7 * QUANTUM)]
    assert second[0].clock > 90


async def test_a_report_reaches_no_further_than_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BLOCKS_OF_A_RESPONSE", 2)
    shell = await configured()
    run = free(shell)
    shell.run.receive(map(message, range(1, 6)))
    async with shell.lock:
        await run._turn(QUANTUM)
    context: Any = Context()

    await run._report(context)

    assert [len(response.blocks) for response in context.written] == [2, 2, 1]
    for response in context.written:
        assert response.clock >= response.blocks[-1].clock
        later = [b for other in context.written[context.written.index(response) + 1 :] for b in other.blocks]
        assert all((b.time_ns, b.clock) > (response.now_ns, response.clock) for b in later)


async def test_clock_and_time_of_another_service_never_go_back() -> None:
    run = free(await configured())
    run.hear(900, 5 * QUANTUM)
    run.hear(4, 2 * QUANTUM)
    assert (run.run.log.clock, run.heard, run.now()) == (900, 5 * QUANTUM, 5 * QUANTUM)


async def test_a_step_of_a_kvm_does_not_begin_before_its_own_time() -> None:
    run = free(await configured())
    async with run.shell.lock:
        await run.reach(stamp(clock=6, now=3 * QUANTUM))
    assert (run.run.log.clock, run.run.log.now) == (7, 3 * QUANTUM)


async def test_time_moves_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    run = free(await configured())
    run.speed = live.MILLION // 2
    monkeypatch.setattr(time, "monotonic_ns", lambda: run.since + 7 * QUANTUM)
    assert run.now() == 3 * QUANTUM


async def test_timers_run_out_when_they_are_due() -> None:
    shell = await configured()

    def arm(run: ServiceRun[Core]) -> None:
        run.log.add(Timer("kvm0", False, "lease", 3 * QUANTUM, True))
        run.log.add(Timer("kvm0", True, "resend", 1, True))  # Of the other end.

    shell.act = arm
    await shell.command(stamp(1), object())
    ServiceFreeRun.note_timers(shell.run, shell.is_host)
    run = free(shell)
    shell.act = lambda run: run.log.add(Timer("kvm0", False, "lease", -1, True))

    assert await turn(run, 2 * QUANTUM) == []
    (block,) = await turn(run, 3 * QUANTUM)
    assert (block.timer.session, block.timer.timer) == ("kvm0", "lease")
    assert await turn(run, 9 * QUANTUM) == []


async def test_timers_that_are_due_together_run_out_in_order() -> None:
    shell = await configured()
    run = free(shell)
    shell.run.timers |= {("kvm0", "lease"): 3 * QUANTUM, ("kvm1", "resend"): QUANTUM}
    assert [block.timer.session for block in await turn(run, 4 * QUANTUM)] == ["kvm1", "kvm0"]


@pytest.mark.parametrize("fate", ["drop", "duplicate", "corrupt"])
async def test_a_fate_that_is_certain_meets_each_message(fate: str) -> None:
    shell = await configured()
    run = free(shell, **{fate: 1_000_000})
    shell.run.receive([message(1)])

    blocks = await turn(run)

    assert blocks[0].take.fate == live._FATES[Fate(fate)]
    assert shell.run.network.has("kvm0", True, 1) == (fate == "duplicate")


async def test_a_younger_message_overtakes_where_there_is_one() -> None:
    shell = await configured()
    run = free(shell, overtake=1_000_000)
    shell.run.receive([message(1), message(2), message(3)])

    assert [b.take.n for b in await turn(run)] == [2, 3, 1]


async def test_a_delay_keeps_the_order() -> None:
    shell = await configured()
    run = free(shell, delay_ns=10 * QUANTUM, seed=4)
    shell.run.receive(map(message, range(1, 9)))

    taken = [[b.take.n for b in await turn(run, at * QUANTUM)] for at in range(12)]

    assert [n for numbers in taken for n in numbers] == list(range(1, 9))
    assert sum(bool(numbers) for numbers in taken) > 1


def asked(id: int, method: str = "Close", run: int = 1) -> live_pb2.LiveCommand:
    request = perf_control_pb2.CloseRequest(stamp=stamp(run), event="h")
    return live_pb2.LiveCommand(id=id, method=method, request=request.SerializeToString())


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "from_proto", lambda request, struct: struct())


@pytest.mark.usefixtures("commands")
async def test_a_command_has_its_outcome_in_its_block() -> None:
    shell = await configured()
    run = free(shell)
    run.ask(asked(7))

    (block,) = await turn(run)

    response = perf_control_pb2.CloseResponse.FromString(block.outcome.response)
    assert (block.command, len(block.records), response.result.value) == (7, 1, Done().value)


@pytest.mark.usefixtures("commands")
async def test_a_refusal_is_an_outcome_whatever_was_on_record_before() -> None:
    shell = await configured()
    run = free(shell)
    note(shell.run.log)  # By a step of a KVM, which has handed it over.

    def refuse(run: ServiceRun[Core]) -> None:
        raise RefusedError("there is no event 'h'", "ENOENT")

    shell.act = refuse
    run.ask(asked(8))

    (block,) = await turn(run)

    assert (block.command, block.outcome.failure.message, len(block.records)) == (8, "there is no event 'h'", 0)


@pytest.mark.usefixtures("commands")
@pytest.mark.parametrize("noted", [0, 1])
async def test_each_step_that_has_begun_ends(noted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is refused. A refusal that has had effects fails the run."""
    shell = await configured()
    run = free(shell)
    ended = []

    async def end(run: ServiceRun[Core], command: object) -> None:
        ended.append(command)

    def refuse(run: ServiceRun[Core]) -> None:
        notes(run.log, noted)
        raise RefusedError("there is no event 'h'", "ENOENT")

    monkeypatch.setattr(shell.free_part, "end_step", end)
    shell.act = refuse
    run.ask(asked(8))
    try:
        await turn(run)
    except CallError:
        assert noted
    else:
        assert not noted

    assert len(ended) == 1


@pytest.mark.usefixtures("commands")
async def test_a_step_that_cannot_begin_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = await configured()
    run = free(shell)

    async def not_now(run: ServiceRun[Core], command: object) -> bool:
        return False

    monkeypatch.setattr(shell.free_part, "begin_step", not_now)
    run.ask(asked(9))
    async with shell.lock:
        await run._turn(0)
    context: Any = Context()
    await run._report(context)

    assert (list(context.written[0].not_begun), context.blocks) == ([9], [])


@pytest.mark.usefixtures("commands")
async def test_commands_that_cannot_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "COMMANDS_LIMIT", 1)
    shell = await configured()
    run = free(shell)
    run.ask(asked(1))

    def code(command: live_pb2.LiveCommand) -> grpc.StatusCode:
        with pytest.raises(CallError) as caught:
            run.ask(command)
        return caught.value.code

    assert code(asked(2)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert code(asked(2, "Decide")) is grpc.StatusCode.INVALID_ARGUMENT
    monkeypatch.setattr(live, "COMMANDS_LIMIT", 9)
    assert code(asked(2, run=4)) is grpc.StatusCode.ABORTED
    assert code(live_pb2.LiveCommand(id=1, method="Close", request=b"\xff")) is grpc.StatusCode.INVALID_ARGUMENT


async def test_at_the_end_the_clock_of_the_driver_counts() -> None:
    shell = await configured()
    run = free(shell)
    run.halt = live_pb2.Halt(now_ns=8 * QUANTUM)

    class Watched(Context):
        async def write(self, response: live_pb2.LiveResponse) -> None:
            # The driver may ask at once.
            assert not response.halted or (shell.run.free is None and shell.run.log.clock == 0)
            await super().write(response)

    context: Any = Watched()
    await run.serve(context)

    assert [(r.halted, r.now_ns) for r in context.written] == [(True, 8 * QUANTUM)]
    assert len((await shell.command(stamp(clock=12), object()))[2].records) == 1
    assert shell.run.log.records[-1].seq == 13


@pytest.mark.usefixtures("commands")
async def test_commands_that_wait_at_the_end_have_not_begun() -> None:
    run = free(await configured())
    run.ask(asked(3))
    run.ask(asked(4))
    run.halt = live_pb2.Halt()
    context: Any = Context()

    await run.serve(context)

    assert [(list(r.not_begun), list(r.blocks)) for r in context.written] == [([3, 4], [])]


def requests(*given: live_pb2.LiveRequest) -> Any:
    """A driver's stream with these messages, then its end."""
    left = [request.SerializeToString() for request in given]

    class Stream(Context):
        async def read(self) -> Any:
            return left.pop(0) if left else grpc.aio.EOF

    return Stream()


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (live_pb2.LiveRequest(halt=live_pb2.Halt()), grpc.StatusCode.INVALID_ARGUMENT),
        (live_pb2.LiveRequest(go=live_pb2.Go(stamp=stamp(7), speed=1)), grpc.StatusCode.ABORTED),
        (live_pb2.LiveRequest(go=live_pb2.Go(stamp=stamp(owner="you"), speed=1)), grpc.StatusCode.ABORTED),
    ],
)
async def test_a_free_run_that_cannot_begin(first: live_pb2.LiveRequest, code: grpc.StatusCode) -> None:
    shell = await configured()
    with pytest.raises(CallError) as caught:
        await live.serve_live(shell, requests(first), METHODS)
    assert caught.value.code is code
    assert shell.run.free is None


async def test_there_is_one_free_run_at_a_time() -> None:
    shell = await configured()
    free(shell)
    go = live_pb2.LiveRequest(go=live_pb2.Go(stamp=stamp(), speed=1))
    with pytest.raises(CallError, match="already"):
        await live.serve_live(shell, requests(go), METHODS)


async def test_a_free_run_begins_not_before_what_others_have_told() -> None:
    shell = await configured()
    shell.run.heard = 50, 7 * QUANTUM
    go = live_pb2.LiveRequest(go=live_pb2.Go(stamp=stamp(), speed=1))
    driver = requests(go, live_pb2.LiveRequest(halt=live_pb2.Halt()))
    await live.serve_live(shell, driver, METHODS)
    assert driver.written[0].now_ns == 7 * QUANTUM


async def test_a_driver_that_goes_ends_the_free_run() -> None:
    shell = await configured()
    await live.serve_live(shell, requests(live_pb2.LiveRequest(go=live_pb2.Go(stamp=stamp(), speed=1))), METHODS)
    assert shell.run.free is None
    assert shell.drivers == 0
