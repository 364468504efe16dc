"""One line for each change of state, none for a message, and no line that a peer can repeat for ever."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from contract.effects import StepResult
from contract.session import Session, SessionPhase
from contract.trace import SessionChange
from contract.wire import log as wire_log
from contract.wire.lease import Lease
from contract.wire.service_run import ServiceRun
from contract.wire.status import CallError
from lbrlab.v1 import trace_pb2
from tests.cases import cases
from tests.contract.wire.echo import COMMAND, Core, Echo, configured, failing, says, stamp
from tests.lines import Lines


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    wire_log.log.cache_clear()


class Call:
    def peer(self) -> str:
        return "ipv4:10.0.0.7:4711"


async def test_a_run_begins_and_ends_with_a_line_and_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines(monkeypatch)
    shell = await configured()
    shell.act = lambda run: shell.done(run, says(1))
    for clock in range(1, 20):
        await shell.command(stamp(clock=clock), COMMAND)
    await shell.configure(stamp(), COMMAND)
    await failing(shell, lambda run: 1 / 0, run=2)
    await failing(shell, lambda run: None, run=2)

    assert lines.of("run-begun", "run-ended") == [
        {"event": "run-begun", "run": 1},
        {"event": "run-ended", "run": 1, "reason": "echo: run 2 has begun"},
        {"event": "run-begun", "run": 2},
        {"event": "run-ended", "run": 2, "reason": "echo: internal error: ZeroDivisionError: division by zero"},
    ]
    assert {line["event"] for line in lines.of()} == {"run-begun", "run-ended", "internal-error"}


async def test_a_run_that_is_refused_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines(monkeypatch)

    async def busy(stamp: trace_pb2.Stamp) -> int:
        raise CallError(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy")

    shell = Echo()
    monkeypatch.setattr(shell, "prepare", busy)
    wire_log.PEER.set("ipv4:10.0.0.7:4711")
    with pytest.raises(CallError):
        await shell.configure(stamp(), COMMAND)
    assert lines.of() == [{"event": "run-refused", "reason": "busy", "peer": "ipv4:10.0.0.7:4711"}]


async def test_each_phase_of_a_session_has_one_line_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines(monkeypatch)
    shell = await configured()
    session = Session("kvm0", is_host=True, epoch=3)
    monkeypatch.setattr(shell, "sessions", lambda run: [session])
    change = SessionChange("kvm0", True, 3, "open", "lost", "cut")

    def lose(run: ServiceRun[Core]) -> None:
        shell.done(run, StepResult(None, [change, *says(1).effects], 0))

    steps = [SessionPhase.CLOSED, SessionPhase.GREETING, SessionPhase.OPEN, SessionPhase.OPEN, SessionPhase.LOST]
    for clock, phase in enumerate(steps):
        session.phase = phase
        shell.act = lose if phase is SessionPhase.LOST else lambda run: None
        await shell.command(stamp(clock=10 * clock), COMMAND)

    common = {"event": "session", "session": "kvm0", "run": 1, "epoch": 3}
    assert lines.of("session") == [
        {**common, "old": "greeting", "new": "open"},
        {**common, "old": "open", "new": "lost", "reason": "cut"},
    ]


def test_the_lease_of_a_driver_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines(monkeypatch)
    lease = Lease(60)
    lease.take("a", "ann")
    lease.take("a", "ann")
    lease.take("b", "bob", take_over=True)
    lease.release("a")
    lease.release("b")

    assert lines.of() == [
        {"event": "lease-taken", "holder": "ann"},
        {"event": "lease-taken", "holder": "bob", "instead_of": "ann"},
        {"event": "lease-released", "holder": "bob"},
    ]


@cases("event", ["kvm-refused", "internal-error", "link-up", "link-lost", "attached"])
def test_a_peer_cannot_fill_the_log(event: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines(monkeypatch)
    clock = [0.0]
    monkeypatch.setattr("contract.wire.log.time.monotonic", lambda: clock[0])
    for _ in range(1000):
        wire_log.log().info(event, session="kvm0")
    wire_log.log().info(event, session="kvm1")
    clock[0] = 61.0
    for session in ("kvm0", "kvm0", "kvm1"):
        wire_log.log().info(event, session=session)

    told = lines.of(event)
    assert [line["session"] for line in told] == ["kvm0"] * 10 + ["kvm1", "kvm0", "kvm0", "kvm1"]
    assert [line.get("left_out") for line in told] == [None] * 11 + [990, None, None]


def test_what_is_remembered_of_sessions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = wire_log._Limiter(LookupError)
    for number in range(5000):
        limiter(None, "", {"event": "kvm-refused", "session": f"kvm{number}"})
    assert len(limiter._seen) == wire_log.REMEMBERED
