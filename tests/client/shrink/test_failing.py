"""A run that failed is shrunk to a run that fails alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from client import api
from client.litmus import library_path, load
from client.run.failure import CoreFailedError, failure_form
from client.run.inputs import Inputs
from client.run.run import Run, run, run_or_failure
from client.schedule.schedule import Schedule
from client.search.chunk import FAILED, ChunkPart, play_part
from client.search.witness import witness
from client.shrink.budget import Budget
from client.shrink.shrink import Shrinker
from client.shrink.shrunk import shrink
from client.shrink.target import Target, target_of
from contract.errors import InputError, PeerContractError, RefusedError, SystemFailedError
from contract.session.session import Session
from contract.trace import canonical
from kvm_svc.hypervisor.claim import CLAIM, ClaimInput, GuestClaim
from tests.client.search.plans import small
from tests.designs import FENCED, REVOKE_GP

LOSING = ["run vm0/0 on cpu0", "open cpu0 pinned branch any", "rdmsr LBR_TOS"]
"""A guest asks for the LBR while a host event has it."""
INPUTS = Inputs(load(library_path("central-story")), REVOKE_GP)
Method = Callable[..., Any]


def losing(self: GuestClaim, given: ClaimInput) -> bool:
    """Raises where a guest loses its LBR."""
    if given is ClaimInput.LOSS:
        raise ZeroDivisionError(f"{given} (of {self.phase})")
    self.phase = CLAIM.after(self.phase, given)
    return True


def refusing(_: Session, *given: object) -> None:
    raise PeerContractError("host sent message 7 in place of 6")


@pytest.fixture
def failed(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(GuestClaim, "move", losing)
    return run_or_failure(INPUTS)


def statements(of: Run) -> list[str]:
    return [step.stmt.text() for step in of.scenario.steps()]


def test_an_error_of_a_core_is_a_failure_with_its_class_and_place(failed: Run) -> None:
    assert isinstance(failed.failure, CoreFailedError)
    assert "ZeroDivisionError: " in failed.failure.reason
    assert failed.failure.reason.endswith("(in tests.client.shrink.test_failing.losing)")
    assert (failed.verdict.verdict, failed.records[-1].seq) == (FAILED, len(failed.records))


def test_an_error_of_a_core_is_raised_where_nobody_asks_for_a_failure(failed: Run) -> None:
    with pytest.raises(ZeroDivisionError):
        run(INPUTS)


def test_an_error_has_the_same_form_whatever_it_says(failed: Run) -> None:
    assert failed.failure is not None
    other = failed.failure.reason.replace("held", "a) (in b")
    assert other != failed.failure.reason
    assert failure_form(SystemFailedError("lbrlab", other)) == failure_form(failed.failure)
    assert failure_form(failed.failure) == "lbrlab: ZeroDivisionError in tests.client.shrink.test_failing.losing"
    assert failure_form(SystemFailedError("contract", "message 7 of host1")) == "contract: message N of hostN"


def test_a_failed_run_is_shrunk(failed: Run) -> None:
    shrunk = shrink(failed)
    assert [text.split(" = ")[-1] for text in statements(shrunk.run)] == LOSING
    assert shrunk.run.failure is not None
    assert failure_form(shrunk.run.failure) == str(shrunk.target)
    assert shrunk.complete
    assert len(shrunk.run.records) < len(failed.records)


def test_a_shrunk_run_that_fails_is_shrunk_to_itself(failed: Run) -> None:
    once = shrink(failed).run
    twice = shrink(once).run
    assert canonical(twice.records) == canonical(once.records)


def test_another_error_does_not_take_the_place_of_the_first(failed: Run) -> None:
    target = target_of(failed)
    other = replace(
        failed, failure=SystemFailedError("lbrlab", "KeyError: 3 (in tests.client.shrink.test_failing.losing)")
    )
    assert target.kept_by(failed)
    assert not target.kept_by(other)
    assert not target.kept_by(replace(failed, failure=None))
    assert [target.avoided_by(each) for each in (failed, other, replace(failed, failure=None))] == [False, False, True]


def test_a_broken_rule_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "resume", refusing)
    first = run(Inputs(INPUTS.scenario, FENCED, Schedule((api.fault("cut kvm0 at Revoke 1"),))))
    shrunk = shrink(first)
    assert str(shrunk.run.failure) == "contract: host sent message 7 in place of 6"
    (fault,) = shrunk.faults
    assert fault.startswith("cut kvm0")
    assert statements(shrunk.run) == []


def test_a_violation_is_not_shrunk_to_a_failure(failed: Run) -> None:
    assert not Target(("one-owner",)).kept_by(replace(failed, failure=SystemFailedError("kvm0", "gone")))
    with pytest.raises(InputError, match="did not come to its end"):
        target_of(failed, "one-owner")


def test_the_death_of_a_process_is_refused() -> None:
    """It does not happen on the simulated wire."""
    first = replace(run(INPUTS), failure=SystemFailedError("kvm0", "UNAVAILABLE"), wire="grpc")
    with pytest.raises(InputError, match="its replay does not fail alike"):
        shrink(first)


def test_a_failure_of_a_service_is_that_of_its_core(failed: Run) -> None:
    """A service tells the class and the message, and not the place."""
    told = replace(failed, failure=SystemFailedError("kvm0", "INTERNAL: ZeroDivisionError: 1"), wire="grpc")
    assert shrink(told).run.failure is not None
    with pytest.raises(InputError, match="its replay does not fail alike"):
        shrink(replace(told, wire="sim"))


def test_a_campaign_shrinks_a_failure(failed: Run) -> None:
    plan = small(FENCED, kinds=())
    summaries = (play_part(plan, ChunkPart(chunk, 0, 3)) for chunk in range(1, 9))
    suspect = next(each for summary in summaries for each in summary.suspects)
    found = witness(plan, suspect)
    assert (found.invariant, found.shrunk, found.statements) == (FAILED, True, 3)
    assert suspect.form in found.signature


def test_a_refusal_of_what_was_possible_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not end the search, as a bad input does."""

    def busy(self: GuestClaim, given: ClaimInput) -> bool:
        if given is ClaimInput.LOSS:
            raise RefusedError("vm0/0 is busy 7", "EBUSY")
        self.phase = CLAIM.after(self.phase, given)
        return True

    monkeypatch.setattr(GuestClaim, "move", busy)
    first = run(INPUTS)
    assert str(first.failure) == "kvm0: take host>kvm0 4 Revoke: vm0/0 is busy 7"
    plan = small(FENCED, kinds=())
    summaries = (play_part(plan, ChunkPart(chunk, 0, 3)) for chunk in range(1, 9))
    suspect = next(each for summary in summaries for each in summary.suspects)
    found = witness(plan, suspect)
    assert (found.invariant, found.shrunk, found.statements) == (FAILED, True, 3)


def test_a_shrinking_that_ends_at_its_limit_says_so(failed: Run) -> None:
    shrinker = Shrinker(failed, target_of(failed), budget=Budget(decisions=40))
    assert shrinker.target.kept_by(shrinker.shrink().run)
    assert not shrinker.complete
    assert shrinker.player.budget.decisions <= 0
