"""host-clean: a host sample holds only what its event asked for."""

from __future__ import annotations

import pytest

import perfcore_svc.perf.lbr
from contract.trace import EventOpen, SampleTaken
from perfcore_svc.perf.branch_filter import BranchFilter
from tests.cases import cases
from tests.client.check.runs import AGAIN, HELD, HOST, IDLE, USE, finding, first, ordered, trace
from tests.designs import KVM_SWITCH, MERGED, REVOKE_GP

NAME = "host-clean"
SAMPLE = "host: s0 = sample h0;"
TASKS = "machine { lbr = nehalem; depth = 8; }\ntask t0, t1;"
RELAY = (
    "host: h0 = open task t0 branch any; host: h1 = open task t1 branch any;"
    "host: run t0 on cpu0; host: branch 4; host: s0 = sample h0;"
    "host: run t1 on cpu0; host: branch 1; host: s1 = sample h1;"
)


def test_held() -> None:
    assert finding(trace(ordered(USE + HOST + AGAIN + SAMPLE), REVOKE_GP), NAME).verdict == HELD
    assert finding(trace(ordered(RELAY, actors="host", head=TASKS), MERGED), NAME).verdict == HELD


@cases("steps", [USE, USE + HOST, "host: h0 = open cpu0 branch any;" + SAMPLE])
def test_not_exercised(steps: str) -> None:
    assert finding(trace(ordered(steps), MERGED), NAME).verdict == IDLE


def test_shut_out_host_samples_nothing_new() -> None:
    """The last entries that perf read were its own, so the old stack is no pollution."""
    steps = HOST + SAMPLE + USE + "host: s1 = sample h0;"
    assert finding(trace(ordered(steps), MERGED), NAME).verdict == HELD


def test_violated_by_guest_branches() -> None:
    records = trace(ordered(USE + HOST + AGAIN + SAMPLE), KVM_SWITCH)
    violation, record = first(records, NAME)

    assert isinstance(record, SampleTaken)
    assert violation.text == "the sample of h0 holds a branch of guest vm0/0"
    assert isinstance(records[violation.because[0] - 1], EventOpen)


def test_violated_when_perf_forgets_to_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perfcore_svc.perf.lbr, "lbr_reset", lambda machine, pc, why: None)
    violation, record = first(trace(ordered(RELAY, actors="host", head=TASKS), MERGED), NAME)

    assert isinstance(record, SampleTaken)
    assert record.name == "h1"
    assert violation.text == "the sample of h1 holds a host branch (of thread t0)"


def test_violated_without_the_software_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nehalem's hardware filter lets jumps through with calls."""
    steps = "host: h0 = open cpu0 pinned branch any_call; host: branch 2 ind_call; host: branch 2 jmp;" + SAMPLE
    story = ordered(steps, actors="host", head=TASKS)
    assert finding(trace(story, MERGED), NAME).verdict == HELD

    monkeypatch.setattr(BranchFilter, "wants", lambda self, kind, privilege: True)
    assert isinstance(first(trace(story, MERGED), NAME)[1], SampleTaken)
