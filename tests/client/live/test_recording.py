"""When a recording runs freely, kills and reports: on the simulated wire, where messages arrive and no thread steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from client.designs import design_named
from client.drive.sim import SimWire
from client.live import recording as module
from client.live.recording import Options, Progress, Recording
from client.live.workload import workload
from client.schedule.choices import onward
from client.schedule.decisions import Decision, Step
from client.schedule.incidents import Crash, Cut, Restart
from contract.trace import SessionChange, Statement

TICK = 1 / 16
"""Seconds between two looks at the clock."""


class Stage:
    """A clock, and what a recording does: free runs with their seconds, and kills."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 128.0
        self.done: list[Any] = []
        self.loses_links = False
        self.halting = 0.0
        """Seconds until all services have stopped at the end of a free run."""
        monkeypatch.setattr("client.live.recording.time.monotonic", lambda: self.now)
        monkeypatch.setattr(module, "FreeRun", self._free)

    def _free(self, player: Any, wire: Any, speed: float, chances: Any, ends: Callable[[], bool], see: Any) -> Any:
        stage = self

        class Quiet:
            loses_links = False

            def run(self) -> None:
                began = stage.now
                while heads := player.flight.heads():
                    player.carry_out(onward(player.flight, heads[0]))
                while not ends():
                    stage.now += TICK
                stage.now += stage.halting
                stage.done.append(round(stage.now - began, 3))
                self.loses_links, stage.loses_links = stage.loses_links, False

        return Quiet()

    def recording(self, kvms: int, options: Options, progress: Progress | None = None) -> Recording:
        wire: Any = SimWire()
        stage = self

        class Seen(Recording):
            def carry_out(self, decision: Decision) -> None:
                if isinstance(decision, Crash | Restart):
                    stage.done.append(f"{decision}")
                stage.now += isinstance(decision, Crash)  # A kill takes time, which is no free running.
                super().carry_out(decision)

        return Seen(wire, workload(kvms, kvms), design_named("fenced"), options, progress)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


def test_services_are_killed_in_turn_and_the_others_run_on_without_a_kvm(stage: Stage) -> None:
    recording = stage.recording(2, Options(2.0, kill_every=0.5, victim=1))
    run = recording.recorded().finished()

    assert stage.done == [
        0.5, "crash kvm1", 0.25, "restart kvm1",
        0.25, "crash perfcore", "restart perfcore",
        0.5, "crash kvm0", 0.25, "restart kvm0",
        0.25,
    ]  # fmt: skip
    assert recording.kills == ["kvm1", "perfcore", "kvm0"]
    assert recording.elapsed == pytest.approx(2.0)
    assert run.verdict.verdict == "held"


def test_the_time_until_all_have_stopped_counts(stage: Stage) -> None:
    stage.halting = 0.25
    recording = stage.recording(1, Options(0.5))
    recording.recorded()
    assert recording.elapsed == 0.75


def test_with_one_kvm_nobody_runs_on_without_it(stage: Stage) -> None:
    stage.recording(1, Options(1.0, kill_every=0.5)).recorded()
    assert stage.done == [0.5, "crash kvm0", "restart kvm0", 0.5]


def test_steps_of_the_default_schedule_are_not_counted(stage: Stage) -> None:
    recording = stage.recording(1, Options(0.5))
    run = recording.recorded().finished()
    assert any(isinstance(decision, Step) for decision in run.tape)
    assert recording.live_steps == 0


def test_progress_is_told_five_times_a_second(stage: Stage) -> None:
    told: list[float] = []
    stage.recording(1, Options(2.0), lambda now: told.append(now.elapsed)).recorded()
    assert 8 <= len(told) <= 10
    assert told == sorted(told)


def test_a_link_that_is_lost_by_itself_is_counted_and_one_that_is_killed_is_not(stage: Stage) -> None:
    stage.loses_links = True
    recording = stage.recording(1, Options(1.0, kill_every=0.5))
    losses = iter([Cut("kvm0", None)])
    happened = recording.incidents.happened
    recording.incidents.happened = lambda: next(losses, None) or happened()  # type: ignore[method-assign]
    recording.incidents.lost.add("kvm0")
    run = recording.recorded().finished()

    assert recording.lost == ["kvm0", "kvm0"]
    assert len(run.of(SessionChange)) > 2
    assert stage.done == [0.5, "crash kvm0", "restart kvm0", 0.5]


def test_a_loop_ends_before_the_bound_on_statements(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RESERVE", module.MAX_EXECUTED)
    recording = stage.recording(1, Options(0.5))
    super(Recording, recording).begin()
    recording._see()
    recording._until, recording._began = 1.0, stage.now
    assert not recording._ends()
    turns = {let: count for let, count in recording.scenario.lets.items() if let.startswith("turns_")}
    assert set(turns.values()) == {1}
    assert [frame.left for t in recording.threads.values() for frame in t.program.frames if frame.loop] == [0, 0]
    assert not [record for record in recording.wire.log.records if isinstance(record, Statement)]
