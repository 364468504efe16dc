"""``lbrlab shrink`` and ``lbrlab confirm``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from client import api
from client.cli import shrink as command
from client.drive.sim import SimWire
from client.run.file import load_run
from client.shrink import shrunk
from client.shrink.budget import Budget, EnoughError
from client.shrink.shrink import Shrinker
from contract.control import AnyKvmCommand, AnyPerfCommand, ConfigureKvm, ConfigurePerf
from contract.effects import StepResult
from contract.errors import InputError
from contract.results import AnyResult
from kvm_svc.hypervisor.claim import GuestClaim
from tests.client.cli.commands import document, lbrlab
from tests.designs import V7

KEPT = "lbrlab-runs/central-story-revoke-gp-shrunk-sim.json"


@pytest.fixture
def lost(in_tmp: Path) -> str:
    lbrlab("run", "central-story", "-d", "revoke-gp", "--fault", "drop Revoke 1", "-o", "a.json")
    return "a.json"


def test_it_says_what_is_left_and_what_is_necessary(lost: str) -> None:
    result = lbrlab("shrink", lost, "-i", "one-owner")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert [line for line in lines if len(line) > 80] == []
    assert lines[0] == "central-story under revoke-gp: one-owner violated"
    assert "Necessary: drop host>kvm0 4 Revoke f1.1; without it violated: nothing" in lines
    assert "LBR central-story" in lines
    assert "The nearest schedule that holds: without 'drop host>kvm0 4 Revoke f1.1'." in lines
    assert any(line.startswith("  violates: ") and line.endswith("Revoke: LOST, fault f1.1") for line in lines)
    assert any(line.startswith("  holds: ") and line.endswith("Revoke: taken") for line in lines)
    assert lines[-1] == f"run file: {KEPT}"
    assert lbrlab("check", KEPT).exit_code == 1


def test_the_document_is_that_of_python(lost: str) -> None:
    told = document(lbrlab("shrink", lost, "-o", "b.json", "--json"))
    found = api.shrink(lost, keep_at="c.json")
    assert Path("b.json").read_bytes() == Path("c.json").read_bytes()
    assert (told["run"], told["violated"]) == ("b.json", list(found.target.invariants))
    assert told["after"]["steps"] == found.after.steps < told["before"]["steps"]
    assert told["tape"] == json.loads(Path("b.json").read_text())["tape"]
    assert found.nearest is not None
    assert told["nearest"]["tape"] == [str(decision) for decision in found.nearest.case.run.tape]
    assert told["nearest"]["difference"]["record"] == found.nearest.difference.seq


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["good.json"], "error: good.json: the run violates nothing, so there is nothing to shrink"),
        (["good.json", "-i", "one-owner"], "error: --invariant: the run does not violate one-owner: it is held"),
        (["a.json", "-o", "a.json"], "is an input of this command"),
        (["none.json"], "cannot read"),
    ],
)
def test_bad_input_is_refused(arguments: list[str], error: str, lost: str) -> None:
    lbrlab("run", "central-story", "-d", "fenced", "-o", "good.json")
    result = lbrlab("shrink", *arguments)
    assert (result.exit_code, error in result.stderr) == (2, True)


def test_ctrl_c_leaves_the_smallest_run_so_far(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(shrinker: Shrinker) -> None:
        Shrinker._statements(shrinker)
        raise KeyboardInterrupt

    monkeypatch.setattr(Shrinker, "shrink", interrupted)
    result = lbrlab("shrink", lost)
    assert result.exit_code == 130
    assert KEPT in result.stderr
    kept, first = load_run(Path(KEPT)), load_run(Path(lost))
    assert set(first.broken()) <= set(kept.broken())
    assert len(list(kept.scenario.steps())) < len(list(first.scenario.steps()))


def test_a_limit_that_is_reached_is_said_plainly(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Budget, "begin", counted_down([5]))
    result = lbrlab("shrink", lost, "-i", "one-owner")
    assert result.exit_code == 0
    assert "Not finished after 5,000 runs or 500,000 decisions, which is the limit" in " ".join(result.stdout.split())
    assert document(lbrlab("shrink", KEPT, "--json"))["complete"] is True


def counted_down(left: list[int]) -> Callable[[Budget], None]:
    def begin(_: Budget) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise EnoughError

    return begin


def test_no_near_schedule_is_said_plainly(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrunk, "nearest", lambda *_: (None, command.SCHEDULES_LIMIT))
    text = " ".join(lbrlab("shrink", lost, "-i", "one-owner").stdout.split())
    assert (
        f"No schedule that holds was found near it; {command.SCHEDULES_LIMIT} were tried, which is the limit." in text
    )


def test_the_commands_keep_and_shrink_a_failed_run(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuestClaim, "move", lambda *_: 1 // 0)
    played = lbrlab("run", "central-story", "-d", "revoke-gp", "-o", "failed.json")
    assert (played.exit_code, "ZeroDivisionError" in played.stdout) == (3, True)
    result = lbrlab("shrink", "failed.json", "-o", "small.json")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert [line for line in lines if len(line) > 80] == []
    assert lines[0].startswith("central-story under revoke-gp: fails: lbrlab: ZeroDivisionError")
    told = document(lbrlab("shrink", "small.json", "-o", "smaller.json", "--json"))
    assert (told["violated"], told["complete"], told["after"]["statements"]) == ([], True, 2)
    assert "ZeroDivisionError" in told["failure"]
    assert Path("small.json").read_bytes() == Path("smaller.json").read_bytes()
    assert lbrlab("check", "small.json").exit_code == 3
    assert lbrlab("shrink", "failed.json", "-i", "one-owner").exit_code == 2


# Confirm -------------------------------------------------------------------------------------------------


def test_two_processes_give_the_same(lost: str) -> None:
    result = lbrlab("confirm", lost)
    assert (result.exit_code, result.stdout) == (
        0,
        f"central-story under revoke-gp: same, {len(load_run(Path(lost)).records)} records on two processes\n",
    )


def edited(lost: str, old: str, new: str) -> str:
    text = Path(lost).read_text()
    assert old in text
    Path("edited.json").write_text(text.replace(old, new))
    return "edited.json"


def test_the_first_difference_is_shown_with_both_records(lost: str) -> None:
    """The trace of the file says that another statement was carried out."""
    path = edited(lost, '"text": "branch 40"', '"text": "branch 41"')
    result = lbrlab("confirm", path)
    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert [line for line in lines if len(line) > 80] == []
    assert lines[0] == "central-story under revoke-gp: the two processes give another trace"
    told = document(lbrlab("confirm", path, "--json"))
    assert (told["verdict"], told["exit_code"]) == ("differs", 1)
    assert "branch 41" in told["difference"]["one"]
    assert "branch 40" in told["difference"]["other"]
    assert f"The first difference is record {told['difference']['record']}:" in lines


class OfAnotherDesign(SimWire):
    """Services that keep to the design v7, whatever they are told."""

    def perf(self, command: AnyPerfCommand, host: int = 0) -> StepResult[AnyResult]:
        return super().perf(replace(command, design=V7) if isinstance(command, ConfigurePerf) else command, host)

    def kvm(self, session: str, command: AnyKvmCommand) -> StepResult[AnyResult]:
        return super().kvm(session, replace(command, design=V7) if isinstance(command, ConfigureKvm) else command)


def test_a_tape_that_the_services_cannot_follow_differs_where_it_stops() -> None:
    run = api.run("central-story", "revoke-gp", faults=["drop Revoke 1"])
    told = api.confirm(run, wire=OfAnotherDesign())
    assert not told.same
    assert "is not possible here" in told.reason
    assert told.difference is not None
    assert told.difference.seq < len(run.records)


def test_a_tape_that_no_wire_can_follow_is_bad_input() -> None:
    run = api.run("central-story", "revoke-gp", faults=["drop Revoke 1"])
    run.tape = run.tape[:6]
    with pytest.raises(InputError, match="the tape ends"):
        api.confirm(run, wire=SimWire())


def test_the_same_wire_confirms_itself() -> None:
    told = api.confirm(api.run("central-story", "v7"), wire=SimWire())
    assert told.same


def test_a_run_without_an_end_is_refused() -> None:
    run = api.run("central-story", "v7")
    run.failure = api.SystemFailedError("kvm0", "gone")
    with pytest.raises(InputError, match="did not come to its end"):
        api.confirm(run, wire=SimWire())


def test_a_service_that_is_not_there_ends_with_3(lost: str) -> None:
    nowhere = ("--perfcore", "unix:none.sock", "--kvm", "unix:none-either.sock")
    result = lbrlab("confirm", lost, *nowhere)
    assert result.exit_code == 3
