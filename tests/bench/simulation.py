"""The central story on the simulated wire: runs per second of CPU time, clones of the cores, and the command line.

Rates are of the CPU time of this process, which other processes on the machine disturb less than the clock on the wall.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from client.cli.demo import STORY
from client.drive.play import Player
from client.drive.sim import SimWire
from client.litmus import Scenario, load
from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.strategies import DefaultStrategy
from contract.design import Design
from tests.bench.figures import Figure, median, spread
from tests.designs import DESIGNS

ROUNDS = 5
RUNS = 50
CLONES = 200
STARTS = 7
AIMS = {"v7": "2,000", "revoke-gp": "1,500", "fenced": "1,200"}
"""Runs per second, played and judged; 1,000 for any other design."""


def _seconds(times: int, act: Callable[[], object]) -> list[float]:
    """CPU seconds of one call, round by round."""
    taken = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(times):
            act()
        taken.append((time.process_time() - start) / times)
    return taken


def _rate(name: str, aim: str, taken: list[float]) -> Figure:
    rates = [1 / seconds for seconds in taken]
    return Figure(name, median(rates), "runs/s", aim, spread(rates, "runs/s"))


def _interpreter_steps(act: Callable[[], object]) -> int:
    """The bytecodes of one call. Other processes on the machine do not change this number."""
    steps = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal steps
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        steps += event == "opcode"
        return trace

    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(None)
    return steps


def _clones(scenario: Scenario, design: Design) -> list[float]:
    """Both cores in the middle of the story."""
    wire = SimWire()
    player = Player(wire, scenario, design, DefaultStrategy())
    player.begin()
    for _ in range(20):
        if (decision := player.choose()) is not None:
            player.carry_out(decision)
    host, kvm = wire.hosts[0].state, wire.kvms["kvm0"].state
    return _seconds(CLONES, lambda: (host.clone(), kvm.clone()))


def _starts() -> list[float]:
    """Seconds of ``lbrlab run`` from its start to its verdict."""
    command = [
        sys.executable,
        "-c",
        "from client.cli.entry import main; main()",
        "run",
        str(STORY),
        "-d",
        "revoke-gp",
        "-o",
        os.devnull,
    ]
    taken = []
    for _ in range(STARTS):
        start = time.perf_counter()
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - start)
    return taken


def figures() -> list[Figure]:
    scenario = load(STORY)
    found = []
    for name, design in DESIGNS.items():
        taken = _seconds(RUNS, lambda design=design: run(Inputs(scenario, design)).verdict)  # type: ignore[misc]
        found.append(_rate(f"sim runs, judged, {name}", AIMS.get(name, "1,000"), taken))
    found.append(
        _rate("sim runs, merged, not judged", "", _seconds(RUNS, lambda: run(Inputs(scenario, DESIGNS["merged"]))))
    )
    for name in AIMS:
        steps = _interpreter_steps(lambda name=name: run(Inputs(scenario, DESIGNS[name])).verdict)  # type: ignore[misc]
        found.append(Figure(f"interpreter steps of a run, {name}", steps / 1e3, "k"))
    clones, starts = _clones(scenario, DESIGNS["revoke-gp"]), _starts()
    found.append(Figure("clone of both cores", median(clones) * 1e6, "us", "40", spread(clones, "us", 1e6)))
    found.append(Figure("lbrlab run, start to verdict", median(starts), "s", "0.25", spread(starts, "s")))
    return found
