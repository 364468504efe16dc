"""The pairs of a campaign: one that fails is left out, unless nothing else can play."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from client.drive.wire import Wire
from client.search import pairs
from client.search.pairs import Pairs
from client.search.plan import Plan
from contract.errors import SystemFailedError
from tests.client.search.plans import small


class NamedWire:
    def __init__(self, name: str) -> None:
        self.name = name

    def close(self) -> None:
        pass


WIRES: Any = [NamedWire("a"), NamedWire("b")]
PLAN = small()


def playing(fails: Callable[[str, int], bool]) -> Callable[[Plan, Sequence[int], Wire], str]:
    """The stand-in for the playing of parts. ``fails``: whether the nth play on a wire of that name does."""
    counts = {"a": 0, "b": 0}

    def play_parts(plan: Plan, parts: Sequence[int], wire: Wire) -> str:
        counts[wire.name] += 1
        if fails(wire.name, counts[wire.name]):
            raise SystemFailedError("kvm", f"died on {wire.name}")
        return wire.name

    return play_parts


def results(monkeypatch: pytest.MonkeyPatch, fails: Callable[[str, int], bool]) -> tuple[list[Any], list[str]]:
    """Of 20 calls: the wire on which each was played or its error; and what was lost."""
    play = playing(fails)
    monkeypatch.setattr(pairs, "play_parts", play)
    lost: list[str] = []
    pool = Pairs(WIRES, lost.append)
    try:
        futures = [pool.submit(play, PLAN, [n]) for n in range(20)]
        return [str(future.exception() or future.result()) for future in futures], lost
    finally:
        pool.close()


def test_the_calls_of_a_pair_that_fails_are_played_on_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    told, lost = results(monkeypatch, lambda name, n: name == "b" and n > 1)
    assert set(told) <= {"a", "b"}
    assert told.count("b") == 1
    assert lost == ["kvm: died on b"]


def test_a_pair_that_has_never_played_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    told, lost = results(monkeypatch, lambda name, n: name == "b")
    assert "kvm: died on b" in told
    assert lost == []


def test_the_last_pair_that_fails_is_an_error_for_all_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    told, lost = results(monkeypatch, lambda name, n: n > 1)
    assert told.count("a") == told.count("b") == 1
    assert len(lost) == 1
    assert sum("died on" in each for each in told) == 18
