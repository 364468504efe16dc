"""Nothing is given up without a record: in runs with random faults every message comes to an end that the trace
shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from contract.effects import Effects
from contract.messages import AnyMessage
from contract.network import UNMOVED, Fate
from contract.session import Session, SessionPhase
from contract.trace import AnyRecord, Crash, Delivery, Discard, Send, SessionChange
from tests.cases import cases
from tests.designs import DESIGNS
from tests.stories.faulted import play

SEEDS = range(40)
ENDED = (*range(20), 176, 193, 215, 243, 261, 265, 279, 283)
"""In the last of these a session ends while its host has messages that wait for the link."""
Way = tuple[str, bool]


def vanished(records: Iterable[AnyRecord]) -> list[str]:
    """The messages that are on their way at the end although nothing says so, and the fates of messages that were not
    on their way."""
    ways: dict[Way, list[int]] = {}
    wrong = []
    for r in records:
        if isinstance(r, Send):
            ways.setdefault((r.session, r.to_host), []).append(r.n)
        elif isinstance(r, Delivery):
            way = ways.setdefault((r.session, r.to_host), [])
            if r.n not in way:
                wrong.append(f"record {r.seq}: {r.message} {r.n} meets a fate and is not on its way")
            elif r.fate not in UNMOVED:
                way.remove(r.n)
        elif isinstance(r, SessionChange) and r.new == SessionPhase.LOST:
            ways.pop((r.session, r.to_host), None)
        elif isinstance(r, Crash):
            for session in r.sessions:
                ways.pop((session, True), None)
                ways.pop((session, False), None)
    return wrong + [f"{way} {n} is still on its way" for way, numbers in ways.items() for n in numbers]


@cases("name", ["fenced", "revoke-ack", "revoke-gp", "merged"])
def test_every_message_meets_a_fate_that_is_recorded(name: str) -> None:
    fates: Counter[str] = Counter()
    for seed in SEEDS:
        played = play(DESIGNS[name], seed)
        assert vanished(played.records) == [], seed
        fates.update(r.fate for r in played.of(Delivery))
    assert set(fates) >= set(Fate) - {Fate.LOSE}, "the runs have faults of messages of every kind"


def test_the_account_finds_what_vanishes() -> None:
    records = play(DESIGNS["fenced"], 6).records
    take = next(r for r in records if isinstance(r, Delivery) and r.fate == "take")
    assert vanished([r for r in records if r is not take]) != []
    sent = next(r for r in records if isinstance(r, Send))
    assert vanished([r for r in records if r is not sent]) != []


def test_what_an_end_never_sends_is_recorded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that waits for its link or for room is sent in the end, is discarded with its session, or is gone with
    its service."""
    waited: list[tuple[bool, AnyMessage]] = []
    wrap = Session.wrap

    def noting(self: Session, body: AnyMessage, effects: Effects) -> None:
        before = len(self.outgoing.waiting)
        wrap(self, body, effects)
        waited.extend((self.is_host, body) for body in self.outgoing.waiting[before:])

    monkeypatch.setattr(Session, "wrap", noting)
    discarded = 0
    for seed in ENDED:
        waited.clear()
        played = play(DESIGNS["fenced"], seed)
        gone = {r.host >= 0 for r in played.of(Crash)}
        sent = [r.body for r in played.of(Send)]
        left = [body for is_host, body in waited if is_host not in gone and not any(body is one for one in sent)]
        records = [r for r in played.of(Discard) if r.reason == "the session is over"]
        assert Counter(type(body).__name__ for body in left) <= Counter(r.message for r in records), seed
        discarded += len(left)
    assert discarded > 3, "the runs have such messages"
