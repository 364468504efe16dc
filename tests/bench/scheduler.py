"""The perf core's scheduler: a reschedule with many flexible events on a CPU, task switches, and recorded cases."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

from client.oracle.compare import examine
from contract.control import ConfigurePerf, MachineSpec, Open, RunTask
from perfcore_svc.core import HostCore
from perfcore_svc.perf import sched
from perfcore_svc.perf.event import PerfEvent, State
from tests.bench.figures import Figure, median, spread
from tests.designs import DESIGNS
from tests.oracle.recorded import stable

ROUNDS = 7
SIZES = (10, 100, 1_000, 10_000)
EVENTS = 200_000
SWITCHES = 2_000
CASES = 150


def _host(flexible: int) -> tuple[HostCore, PerfEvent]:
    """A CPU with this many flexible events, in one list, and the last of them."""
    host = HostCore.configured(ConfigurePerf(MachineSpec(), DESIGNS["merged"], ["t", "u"], []))
    for n in range(flexible):
        host.command(Open(f"e{n}", cpu=0, disabled=n > 0), 0)
    events = list(host.perf.events.values())
    for event in events[1:-1]:
        host.perf.kernel.set_state(host.perf.kernel.cpus[0].ctx, event, State.INACTIVE)
    sched.enable(host.perf.kernel, events[-1])
    return host, events[-1]


def _seconds(times: int, act: Callable[[], None]) -> list[float]:
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(times):
            act()
        taken.append((time.perf_counter() - start) / times)
    return taken


def _reschedule(flexible: int) -> list[float]:
    host, last = _host(flexible)

    def again() -> None:
        sched._resched(host.perf.kernel, 0, last)
        host.effects.end()

    return _seconds(max(EVENTS // flexible // 20, 3), again)


def _switches() -> list[float]:
    """Two tasks with two events each, beside six of the CPU on four counters; one switch."""
    host, _ = _host(6)
    for task in ("t", "u"):
        for pinned in (True, False):
            host.command(Open(f"{task}{pinned}", task=task, pinned=pinned), 0)
    commands = [RunTask("t", 0), RunTask("u", 0)]

    def both() -> None:
        for command in commands:
            host.command(command, 0)

    return [seconds / 2 for seconds in _seconds(SWITCHES // 2, both)]


def _replay() -> list[float]:
    some = stable()[:: max(len(stable()) // CASES, 1)]

    def all_of_them() -> None:
        for case in some:
            examine(case)

    return [seconds / len(some) for seconds in _seconds(1, all_of_them)]


def figures() -> list[Figure]:
    found = []
    costs = {size: _reschedule(size) for size in SIZES}
    for size, taken in costs.items():
        note = spread(taken, "us", 1e6)
        found.append(Figure(f"reschedule, {size:,} flexible", median(taken) * 1e6, "us", "", note))
    for less, more in pairwise(SIZES):
        growth = (median(costs[more]) - median(costs[less])) / (more - less)
        found.append(Figure(f"each event more, {less:,} to {more:,}", growth * 1e9, "ns"))
    taken = _switches()
    found.append(Figure("task switches", 1 / median(taken), "1/s", "", spread([1 / t for t in taken], "1/s")))
    taken = _replay()
    found.append(Figure("oracle cases", 1 / median(taken), "1/s", "", spread([1 / t for t in taken], "1/s")))
    return found
