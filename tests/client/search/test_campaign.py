"""A campaign finds what breaks, shrinks it, and can be interrupted at any point without losing or doubling a run."""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from junitparser import JUnitXml

import client.search.campaign as campaign_file
from client.coverage import exercised
from client.drive.play import InterruptedRunError
from client.report.campaign_documents import campaign_document, junit
from client.run.file import load_run
from client.search import chunk
from client.search.campaign import Campaign, CampaignLimits
from client.search.chunk import FAILED, ChunkPart, RunNumber, against, form_of, play_part, play_parts, play_run
from client.search.corpus import FILES_LIMIT, Corpus
from client.search.plan import Plan
from client.search.state import CampaignState
from client.search.witness import replay, run_file, witness
from client.workers import tasks
from client.workers.pool import InThisProcess
from contract.errors import InputError
from tests.client.search.plans import small
from tests.designs import FENCED, REVOKE_GP

R = TypeVar("R")
RUNS = 18


def nothing(_: Campaign) -> None:
    pass


def campaign(plan: Plan, folder: Path, told: Callable[[Campaign], None] = nothing) -> Campaign:
    return Campaign(plan, folder, InThisProcess(), Corpus(folder / "corpus"), told)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    played = campaign(small(REVOKE_GP, kinds=("drop",), seed=1), tmp_path_factory.mktemp("whole"))
    played.play(CampaignLimits(RUNS))
    return played


def a_witness(played: Campaign) -> bytes:
    path = played.witness_file(next(iter(played.state.findings.values())))
    assert path is not None
    return path.read_bytes()


def test_it_plays_as_many_runs_as_asked_and_the_canary(whole: Campaign) -> None:
    state = whole.state
    assert (state.runs, state.canary_runs, state.todo) == (RUNS, 3, [])
    assert 0 < state.faulted <= RUNS
    assert state.canary_caught


def test_findings_are_shrunk_and_kept_in_run_files_that_show_them(whole: Campaign) -> None:
    findings = whole.state.findings
    assert {found.witness.invariant for found in findings.values()} >= {"agreement"}
    for signature, found in findings.items():
        path = whole.witness_file(found)
        assert path is not None
        run = load_run(path)
        assert found.witness.invariant in run.broken()
        assert signature.startswith(f"revoke-gp; {found.witness.invariant}; ")
        assert found.witness.statements < 10
        assert found.witness.file == b""
    assert sum(watched.count for watched in whole.state.watched) == sum(found.count for found in findings.values())


def test_a_folder_that_was_moved_has_its_findings(whole: Campaign, tmp_path: Path) -> None:
    shutil.copytree(whole.folder, tmp_path / "moved")
    moved = campaign(whole.state.plan, tmp_path / "moved")
    paths = {moved.witness_file(found) for found in moved.state.findings.values()}
    assert paths == set((tmp_path / "moved" / "findings").iterdir())
    shutil.rmtree(tmp_path / "moved" / "findings")
    assert {moved.witness_file(found) for found in moved.state.findings.values()} == {None}


def test_a_witness_that_could_not_be_written_is_written_when_the_campaign_goes_on(
    whole: Campaign, tmp_path: Path
) -> None:
    (tmp_path / "findings").touch()
    first = campaign(whole.state.plan, tmp_path)
    with pytest.raises(InputError, match="findings"):
        first.play(CampaignLimits(RUNS))
    assert [found.file for found in first.state.findings.values()] == [None]
    (tmp_path / "findings").unlink()
    again = campaign(whole.state.plan, tmp_path)
    again.play(CampaignLimits(RUNS))
    assert again.state.findings.keys() == whole.state.findings.keys()
    assert all(again.witness_file(found) for found in again.state.findings.values())


def test_coverage_grows_into_the_corpus(whole: Campaign) -> None:
    assert whole.state.coverage()["rule"][0] > 5
    assert 0 < len(whole.corpus.names) <= FILES_LIMIT
    assert all(load_run(whole.corpus.folder / name).failure is None for name in whole.corpus.names)


def test_an_interrupted_campaign_goes_on_to_the_same_result(whole: Campaign, tmp_path: Path) -> None:
    """Interrupted behind each result: what was begun is played again, and nothing twice."""
    results = 0

    def interrupt(now: Campaign) -> None:
        nonlocal results
        results += 1
        if results % 7 == 3:
            raise KeyboardInterrupt

    plan = whole.state.plan
    for _ in range(100):
        now = campaign(plan, tmp_path, interrupt)
        now.corpus.names = []
        try:
            now.play(CampaignLimits(RUNS))
        except KeyboardInterrupt:
            continue
        break
    assert results > 7
    assert now.state.replayed == 0
    assert now.state.wanted == []
    assert {path.name for path in now.corpus.folder.iterdir()} == set(whole.corpus.names)
    for name in ("runs", "faulted", "decisions", "canary_runs", "canary_caught", "designs", "items"):
        assert getattr(now.state, name) == getattr(whole.state, name), name
    assert {s: f.count for s, f in now.state.findings.items()} == {s: f.count for s, f in whole.state.findings.items()}


def results(of: Campaign) -> tuple[object, ...]:
    """All that a campaign has found."""
    findings = {s: (f.count, f.witness.text, f.witness.run) for s, f in of.state.findings.items()}
    return findings, of.state.further, of.state.designs, of.state.items, sorted(of.corpus.names)


def test_the_order_in_which_workers_end_changes_nothing(
    whole: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last call that was begun is always the first to end."""
    monkeypatch.setattr(tasks, "wait", lambda running, *_, **__: ([list(running)[-1]], []))
    monkeypatch.setattr(InThisProcess, "ahead", lambda self: 5)
    now = campaign(whole.state.plan, tmp_path)
    now.play(CampaignLimits(RUNS))
    assert results(now) == results(whole)


@pytest.mark.parametrize("where", [(CampaignState, "_watch"), (campaign_file, "write_file")])
def test_ctrl_c_amid_a_count_comes_after_it(
    where: tuple[object, str], whole: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a part is counted, and before the witness of a finding is in its file."""
    real, calls = getattr(*where), 0

    def interrupted(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            signal.raise_signal(signal.SIGINT)
        return real(*given)

    monkeypatch.setattr(*where, interrupted)
    with pytest.raises(KeyboardInterrupt):
        campaign(whole.state.plan, tmp_path).play(CampaignLimits(RUNS))
    now = campaign(whole.state.plan, tmp_path)
    now.corpus.names = []
    now.play(CampaignLimits(RUNS))
    assert results(now)[:4] == results(whole)[:4]
    assert all(found.file is not None for found in now.state.findings.values())


def test_a_run_that_ctrl_c_ends_is_no_witness(whole: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = whole.state.watched[0].suspect
    run = play_run(whole.state.plan, watched.run)
    cut_short = replace(run, tape=run.tape[:5], records=run.records[:9], failure=InterruptedRunError())
    monkeypatch.setattr(chunk, "run_or_failure", lambda inputs: cut_short)
    with pytest.raises(KeyboardInterrupt):
        witness(whole.state.plan, watched)
    with pytest.raises(KeyboardInterrupt):
        run_file(whole.state.plan, watched.run)


class SeveralAtOnce(InThisProcess):
    """``sizes``: the numbers of parts of all calls that played runs."""

    together = 4

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def submit(self, call: Callable[..., R], *given: Any) -> Future[R]:
        if call is play_parts:
            self.sizes.append(len(given[1]))
        return super().submit(call, *given)


def test_calls_of_several_parts_give_the_same_result(tmp_path: Path) -> None:
    """The last calls are small, so that no worker is still at work when the others have ended."""
    plan, pool, corpus = small(FENCED, kinds=("drop",)), SeveralAtOnce(), Corpus(tmp_path / "corpus", limit=0)
    one_by_one = Campaign(plan, tmp_path / "one", InThisProcess(), corpus)
    several = Campaign(plan, tmp_path / "several", pool, corpus)
    for each in (one_by_one, several):
        each.play(CampaignLimits(RUNS))
    assert several.state.todo == []
    assert (pool.sizes[0], pool.sizes[-1]) == (3, 1)
    assert pool.sizes == sorted(pool.sizes, reverse=True)
    for name in ("runs", "faulted", "decisions", "canary_runs", "canary_caught", "designs", "items"):
        assert getattr(several.state, name) == getattr(one_by_one.state, name), name


def test_more_runs_are_added_to_a_campaign_that_is_over(whole: Campaign) -> None:
    again = campaign(whole.state.plan, whole.folder)
    again.corpus.names = []
    again.play(CampaignLimits(RUNS + 1))
    assert again.state.runs == RUNS + 1
    with pytest.raises(InputError, match="other options"):
        campaign(small(REVOKE_GP, seed=9), whole.folder)


def test_a_campaign_that_continues_counts_no_run_of_its_corpus_again(whole: Campaign, tmp_path: Path) -> None:
    content = a_witness(whole)
    given = Corpus(tmp_path / "corpus")
    given.add(content)
    plan = small(REVOKE_GP, FENCED, kinds=("drop",), canary=None)
    counts = []
    for _ in range(3):
        now = campaign(plan, tmp_path)
        now.play(CampaignLimits(runs=6))
        assert now.state.has_played(6)
        counts.append((now.state.replayed, {s: f.count for s, f in now.state.findings.items()}))
    assert len(now.corpus.names) > 1
    assert counts[0][0] == 2
    assert counts[1:] == counts[:1] * 2
    assert not now.state.has_played(7)
    assert not now.state.has_played(None)


def test_the_corpus_is_replayed_first(whole: Campaign, tmp_path: Path) -> None:
    content = a_witness(whole)
    corpus = Corpus(tmp_path / "corpus")
    corpus.add(content)
    corpus.add(content)
    assert len(corpus.names) == 1
    played = Campaign(small(REVOKE_GP, FENCED, canary=None), tmp_path, InThisProcess(), corpus)
    played.play(CampaignLimits(runs=1))
    assert played.state.replayed == 2
    assert set(played.state.findings) >= {next(iter(whole.state.findings))}


def test_a_witness_of_the_corpus_has_the_number_of_its_file(whole: Campaign) -> None:
    """So that of two witnesses of one size the same is shown, whichever replay ends first."""
    content = a_witness(whole)
    shown = replay(small(REVOKE_GP), content, "a.json", 7, REVOKE_GP)
    assert {each.run for each in shown} == {RunNumber(-1, 7)}


def test_the_time_of_a_campaign_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run takes a second here. The part that has begun is played to its end."""
    monkeypatch.setattr(Campaign, "elapsed", property(lambda self: float(self.state.runs)))
    now = campaign(small(FENCED, kinds=()), tmp_path)
    now.play(CampaignLimits(runs=30, seconds=4))
    assert (now.state.runs, now.state.todo) == (6, [])


def test_a_campaign_without_a_run_is_undecided(tmp_path: Path) -> None:
    now = campaign(small(FENCED, kinds=()), tmp_path)
    now.state.canary_caught = 1
    told = campaign_document(now, finished=False, interrupted=False, baseline=None, known=set())
    assert (told.verdict, told.exit_code) == ("undecided", 4)


def test_further_forms_of_one_part_are_counted_and_fail_in_junit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk, "SUSPECTS_LIMIT", 0)
    now = campaign(small(REVOKE_GP, kinds=("drop",), seed=1), tmp_path)
    now.play(CampaignLimits(RUNS))
    assert now.state.designs["revoke-gp"].broken > 0
    assert now.state.further["revoke-gp; agreement"] > 0
    told = campaign_document(now, finished=True, interrupted=False, baseline=None, known=set())
    (suite,) = JUnitXml.fromstring(junit(told))
    (failed,) = [case for case in suite if case.name == "revoke-gp"]
    assert len(failed.result) == len(now.state.further)


def test_a_summary_tells_what_its_runs_tell() -> None:
    plan = small(REVOKE_GP, kinds=("drop", "delay"), seed=2, canary=None)
    runs = [play_run(plan, RunNumber(1, n)) for n in range(12)]
    found = [against(plan, run) for run in runs]
    faulted = [any(run.applied) for run in runs]
    summary = play_part(plan, ChunkPart(1, 0, 12))
    assert 0 < sum(faulted) < 12
    assert summary.broken == sum(map(bool, found))
    assert (summary.faulted, summary.both) == (
        sum(faulted),
        sum(f and bool(b) for f, b in zip(faulted, found, strict=True)),
    )
    forms: Counter[str] = Counter()
    for suspect in summary.suspects:
        forms[suspect.invariant] += suspect.count
    assert forms == Counter(name for each in found for name in each)
    for item, first in summary.items.items():
        assert item not in set().union(*(exercised(run.records) for run in runs[:first]))


def test_a_canary_is_caught_by_the_invariant_that_it_must_break() -> None:
    for breaks, caught in (("one-owner", True), ("stream-kept", False)):
        summary = play_part(small(FENCED, canary_breaks=breaks), ChunkPart(0, 0, 12))
        assert (summary.canary_runs, bool(summary.canary)) == (12, caught)


def test_an_error_of_a_core_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvm_svc.hypervisor.claim.GuestClaim.move", lambda *_: 1 / 0)
    summary = play_part(small(FENCED, kinds=()), ChunkPart(1, 0, 3))
    assert {suspect.invariant for suspect in summary.suspects} == {FAILED}
    assert "ZeroDivisionError" in summary.suspects[0].text


def test_a_form_has_no_numbers() -> None:
    assert form_of("vm0/0 reads 0x1f of 12") == "vmN/N reads N of N"
