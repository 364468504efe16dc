"""Streams and calls beyond a limit: the answer to the peer, and the lines in the log."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from contract.wire import admission
from contract.wire.admission import PAUSE, CallAdmission, Gate
from contract.wire.limits import Limits


class Aborted(Exception):
    pass


class Call:
    def __init__(self, host: str) -> None:
        self.host = host

    def peer(self) -> str:
        return f"ipv4:{self.host}:7000"

    def auth_context(self) -> dict[str, Any]:
        return {}

    async def abort(self, code: grpc.StatusCode, why: str) -> None:
        raise Aborted(code, why)


class Watched:
    """The pauses and the lines of the log."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self.lines: list[str] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def warning(self, event: str, peer: str, reason: str) -> None:
        self.lines.append(peer)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched()
    monkeypatch.setattr(admission, "asyncio", watched)
    monkeypatch.setattr(admission, "log", lambda: watched)
    return watched


async def refused(admitted: CallAdmission, gate: Gate, host: str) -> None:
    with pytest.raises(Aborted, match="RESOURCE_EXHAUSTED"):
        async with admitted._admitted(gate, Call(host)):
            pass


async def test_a_refusal_waits_and_is_logged_once_until_the_peer_has_left(watched: Watched) -> None:
    admitted = CallAdmission(Limits(peer_calls=4))
    gate = admitted.calls
    for lines in (1, 2):
        for _ in range(3):
            gate.enter("10.0.0.1")
        async with admitted._admitted(gate, Call("10.0.0.1")):
            await refused(admitted, gate, "10.0.0.1")
            await refused(admitted, gate, "10.0.0.1")
            for _ in range(3):
                gate.leave("10.0.0.1")
        assert len(watched.lines) == lines
    assert watched.pauses == [PAUSE] * 4
    assert (gate.total, dict(gate.open)) == (0, {})


async def test_a_flood_of_peers_has_as_many_lines_as_the_gate_has_places(watched: Watched) -> None:
    admitted = CallAdmission(Limits(calls=4, peer_calls=4))
    for _ in range(4):
        admitted.calls.enter("busy")
    for number in range(6):
        await refused(admitted, admitted.calls, f"10.0.0.{number}")
    assert len(watched.lines) == 4
