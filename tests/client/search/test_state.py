"""The state of a campaign: each run is begun once and counted once, and forms of violations stay few."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.search.chunk import ChunkPart, RunNumber, Summary, Suspect
from client.search.plan import CANARY_EVERY
from client.search.state import FORMS_LIMIT, CampaignState, load_state, save_state
from client.search.witness import Witness
from contract.errors import InputError
from tests.client.search.plans import small


def suspect(form: str, run: int = 0, count: int = 1) -> Suspect:
    return Suspect("d", "one-owner", form, form, RunNumber(1, run), count)


def shown(signature: str, statements: int = 5) -> Witness:
    return Witness(signature, "d", "one-owner", "text", [], 3, statements, True, RunNumber(1, 0))


def test_parts_cover_each_run_once_up_to_the_limit() -> None:
    state = CampaignState(small())
    parts = []
    while (part := state.begin_part(10)) is not None:
        parts.append(part)
    assert parts == [ChunkPart(0, 0, 3), ChunkPart(1, 0, 3), ChunkPart(2, 0, 3), ChunkPart(3, 0, 3), ChunkPart(4, 0, 1)]
    assert state.begun == 10
    for part in parts[:3]:
        state.add(part, Summary("d", runs=0 if part.chunk == 0 else part.count, canary_runs=3 * (part.chunk == 0)))
    assert (state.runs, state.begun, state.todo) == (6, 10, parts[3:])
    assert state.begin_part(11) == ChunkPart(4, 1, 1)
    assert state.begin_part(100) == ChunkPart(4, 2, 1)
    assert state.begin_part(100) == ChunkPart(5, 0, 3)


def test_the_canary_is_not_counted() -> None:
    state = CampaignState(small(), chunk=CANARY_EVERY)
    assert state.begin_part(1) == ChunkPart(CANARY_EVERY, 0, 3)
    assert (state.begun, state.begin_part(1)) == (0, ChunkPart(CANARY_EVERY + 1, 0, 1))


def test_a_part_is_not_counted_twice() -> None:
    state = CampaignState(small())
    state.begin_part(None)
    part = state.begin_part(None)
    assert part is not None
    state.add(part, Summary("d", runs=3))
    with pytest.raises(ValueError):
        state.add(part, Summary("d", runs=3))


def test_forms_are_counted_and_grouped_by_the_signature_of_their_shrunk_runs() -> None:
    state = CampaignState(small())
    for suspects, new in (([suspect("a"), suspect("b")], 2), ([suspect("a", 7, 4)], 0)):
        part = state.begin_part(None)
        assert part is not None
        assert len(state.add(part, Summary("d", runs=3, suspects=suspects))) == new
    assert [w.suspect.form for w in state.unshrunk()] == ["a", "b"]
    first = state.settle(suspect("a"), shown("s"))
    assert (first and first.count) == 5
    assert state.settle(suspect("b"), shown("s", 6)) is None
    assert state.findings["s"].count == 6
    assert state.settle(suspect("b"), shown("s", 2)) is state.findings["s"]
    assert state.unshrunk() == []


def test_many_forms_need_no_more_memory() -> None:
    state = CampaignState(small())
    for n in range(200):
        part = state.begin_part(None)
        assert part is not None
        state.add(part, Summary("d", runs=3, suspects=[suspect(f"form {n}")]))
    assert len(state.watched) == FORMS_LIMIT
    assert state.further == {"d; one-owner": 200 - FORMS_LIMIT}


def test_a_file_gives_the_state_back(tmp_path: Path) -> None:
    state = CampaignState(small())
    state.begin_part(None)
    save_state(state, tmp_path / "a.json")
    assert load_state(tmp_path / "a.json") == state
    for content in (b"{", b'{"format": "x", "version": 1}', b"[]"):
        (tmp_path / "b.json").write_bytes(content)
        with pytest.raises(InputError, match=r"b\.json"):
            load_state(tmp_path / "b.json")
