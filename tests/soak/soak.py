"""Live runs one after the other on the same services, with faults, kills and hostile peers, and what has to hold."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from client.designs import design_named
from client.drive.pair import Child, Pair
from client.drive.play import layout_of
from client.drive.sim import SimWire
from client.litmus.fault_rules import parse_fault
from client.live.faults import chances_of
from client.live.recording import Options, Recording
from client.live.workload import workload
from client.run.confirm import confirm
from contract.invariants import VIOLATED
from tests.soak.hostile import Hostile

FAULTS = ("drop p=0.002", "duplicate p=0.002", "corrupt p=0.002", "reorder p=0.005")
GROWTH = 1.5
"""The most by which the memory of a service may grow, after its first round."""
SLACK = 32.0
"""Megabytes that do not count."""


@dataclass(slots=True)
class Plan:
    """``seconds``: of free running in all. ``round_seconds``: of each live run; in its middle a service is killed."""

    seconds: float
    round_seconds: float = 60.0
    kvms: int = 4
    vcpus: int = 64
    speed: float = 1.0
    design: str = "fenced"
    faults: tuple[str, ...] = FAULTS


@dataclass(slots=True)
class Round:
    """One live run. ``memory``: service to megabytes at its end."""

    seconds: float
    steps: int
    messages: int
    records: int
    killed: list[str]
    lost: list[str]
    broken: list[str]
    verdict: str
    same: bool
    memory: dict[str, float]

    def __str__(self) -> str:
        memory = ", ".join(f"{name} {megabytes:.0f}" for name, megabytes in self.memory.items())
        replay = "same" if self.same else "DIFFERS"
        killed, lost = ", ".join(self.killed) or "none", ", ".join(self.lost) or "none"
        counts = f"{self.seconds:.0f} s, {self.steps} steps, {self.messages} messages, {self.records} records"
        return f"{counts}, killed {killed}, lost {lost}, {self.verdict}, replay {replay}, MB: {memory}"


@dataclass(slots=True)
class Soak:
    rounds: list[Round] = field(default_factory=list)
    attacks: int = 0
    harmful: dict[tuple[str, str], int] = field(default_factory=dict)
    driver_peak: float = 0.0
    """Megabytes."""

    def problems(self) -> list[str]:
        """A line for each thing that did not hold."""
        found = []
        for number, each in enumerate(self.rounds, 1):
            if each.lost:
                found.append(f"round {number}: lost {', '.join(each.lost)}")
            if each.broken or each.verdict != "held":
                found.append(f"round {number}: {each.verdict}, broken: {', '.join(each.broken) or 'none'}")
            if not each.same:
                found.append(f"round {number}: the replay differs")
        for service, first in self.rounds[0].memory.items() if self.rounds else ():
            most = max(each.memory[service] for each in self.rounds)
            if most > GROWTH * first + SLACK:
                found.append(f"{service}: grew from {first:.0f} to {most:.0f} MB")
        found += [f"{attack} ended with {status}, {times} times" for (attack, status), times in self.harmful.items()]
        return found


def soak(plan: Plan, told: Callable[[Round], None] = lambda done: None) -> Soak:
    scenario, design = workload(plan.kvms, plan.vcpus), design_named(plan.design)
    done = Soak()
    with Pair(layout_of(scenario)) as pair:
        services = {"perfcore": pair.perfcores[0], **pair.kvms}
        while sum(each.seconds for each in done.rounds) < plan.seconds:
            chances = chances_of([parse_fault(f"{rule} seed={len(done.rounds) + 1}") for rule in plan.faults])
            options = Options(plan.round_seconds, plan.speed, chances, plan.round_seconds / 2, len(done.rounds))
            recording = Recording(pair.wire, scenario, design, options)
            with Hostile(pair.perfcore.address, [child.address for child in pair.kvms.values()]) as hostile:
                run = recording.recorded().finished()
            done.attacks += hostile.statuses.total()
            for status, times in hostile.harmful.items():
                done.harmful[status] = done.harmful.get(status, 0) + times
            done.rounds.append(
                Round(
                    recording.elapsed,
                    recording.live_steps,
                    recording.flight.messages,
                    len(run.records),
                    recording.kills,
                    recording.lost,
                    [finding.invariant for finding in run.verdict.findings if finding.verdict == VIOLATED],
                    run.verdict.verdict,
                    confirm(run, SimWire()).same,
                    {name: resident(child) for name, child in services.items()},
                )
            )
            told(done.rounds[-1])
    done.driver_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return done


def resident(child: Child) -> float:
    """Megabytes of a service's process in memory."""
    status = Path(f"/proc/{child.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024
