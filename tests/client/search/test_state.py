"""The state of a campaign: each run is begun once and counted once, and forms of violations stay few."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from client.search.chunk import ChunkPart, RunNumber, Summary, Suspect
from client.search.plan import CANARY_EVERY
from client.search.state import FORMS_LIMIT, TRIES_LIMIT, CampaignState, DesignState, load_state, save_state
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
    earlier = replace(shown("s", 2), run=RunNumber(0, 5))
    assert state.find(earlier, 1) is state.findings["s"]
    assert state.find(shown("s", 2), 1) is None
    assert state.unshrunk() == []


def test_many_forms_need_no_more_memory() -> None:
    state = CampaignState(small())
    for n in range(200):
        part = state.begin_part(None)
        assert part is not None
        state.add(part, Summary("d", runs=3, suspects=[suspect(f"form {n}")]))
    assert len(state.watched) == FORMS_LIMIT
    assert state.further == {"d; one-owner": 200 - FORMS_LIMIT}


def test_a_campaign_has_played_when_its_parts_are_counted_and_its_findings_shrunk() -> None:
    state = CampaignState(small(canary=None))
    first, second = state.begin_part(6), state.begin_part(6)
    assert first is not None
    assert second is not None
    state.add(first, Summary("d", runs=6, suspects=[suspect("a")]))
    assert not state.has_played(6)
    state.todo.clear()
    assert not state.has_played(6)
    state.settle(suspect("a"), shown("s"))
    assert state.has_played(6)
    state.todo.append(second)
    assert not state.has_played(6)


def test_the_counts_of_a_design_are_sums() -> None:
    state = CampaignState(small(canary=None))
    for _ in range(2):
        part = state.begin_part(None)
        assert part is not None
        state.add(part, Summary("d", runs=3, broken=2, faulted=1, both=1, decisions=9, items={"rule R1": part.chunk}))
    assert state.designs == {"d": DesignState(6, 4, 2, 2)}
    assert (state.runs, state.faulted, state.decisions) == (6, 2, 18)
    assert state.items == {"rule R1": RunNumber(0, 0)}


def watched(state: CampaignState, *suspects: Suspect) -> int:
    """How many of them are to be shrunk."""
    part = state.begin_part(None)
    assert part is not None
    return len(state.add(part, Summary("d", runs=3, suspects=list(suspects))))


def test_each_invariant_of_a_design_has_its_forms() -> None:
    state = CampaignState(small())
    other = [replace(suspect(f"{n}"), invariant="no-loss") for n in range(FORMS_LIMIT)]
    assert watched(state, *[suspect(f"{n}") for n in range(FORMS_LIMIT)]) == FORMS_LIMIT
    assert watched(state, *other) == FORMS_LIMIT


def test_where_one_witness_is_wanted_a_few_are_tried_until_one_needs_a_fault() -> None:
    several = [replace(suspect(f"{n}"), invariant=name) for n, name in enumerate(["one-owner", "no-loss"] * 3)]
    assert watched(CampaignState(small(one_witness=True)), *several) == TRIES_LIMIT
    assert watched(CampaignState(small(kinds=(), one_witness=True)), *several) == 1
    for faults, more in (([], TRIES_LIMIT - 1), (["drop Revoke"], 0)):
        state = CampaignState(small(one_witness=True))
        assert watched(state, several[0]) == 1
        state.settle(several[0], replace(shown("s"), faults=faults))
        assert watched(state, *several[1:]) == more


def test_a_file_gives_the_state_back(tmp_path: Path) -> None:
    state = CampaignState(small())
    state.begin_part(None)
    save_state(state, tmp_path / "a.json")
    assert load_state(tmp_path / "a.json") == state
    for content in (b"{", b'{"format": "x", "version": 1}', b"[]"):
        (tmp_path / "b.json").write_bytes(content)
        with pytest.raises(InputError, match=r"b\.json"):
            load_state(tmp_path / "b.json")
