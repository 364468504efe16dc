"""Start of the pair to the first verdict, a run of the story over gRPC, and the services' peak memory."""

from __future__ import annotations

import time

import psutil

from client.cli.demo import STORY
from client.drive.pair import Pair
from client.litmus import load
from client.run.inputs import Inputs
from client.run.run import run
from tests.bench.figures import Figure, median, spread
from tests.designs import DESIGNS

STARTS = 5
RUNS = 10


def _peak_mib(pid: int) -> float:
    """VmHWM, as the kernel keeps it."""
    with open(f"/proc/{pid}/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def figures() -> list[Figure]:
    scenario = load(STORY)
    firsts: list[float] = []
    runs: list[float] = []
    peaks: dict[str, float] = {}
    for _ in range(STARTS):
        start = time.perf_counter()
        with Pair() as pair:
            played = run(Inputs(scenario, DESIGNS["revoke-gp"], wire=pair.wire))
            _ = played.verdict
            firsts.append(time.perf_counter() - start)
            for _ in range(RUNS):
                start = time.perf_counter()
                run(Inputs(scenario, DESIGNS["revoke-gp"], wire=pair.wire))
                runs.append(time.perf_counter() - start)
            for child in psutil.Process().children():
                command = " ".join(child.cmdline())
                service = "perfcore-svc" if "perfcore_svc" in command else "kvm-svc" if "kvm_svc" in command else ""
                if service:
                    peaks[service] = max(peaks.get(service, 0), _peak_mib(child.pid))
    return [
        Figure("pair start to first verdict", median(firsts), "s", "under 2", spread(firsts, "s")),
        Figure("one run of the story over gRPC", median(runs) * 1e3, "ms", "", spread(runs, "ms", 1e3)),
        *(Figure(f"peak memory, {service}", peak, "MiB") for service, peak in sorted(peaks.items())),
    ]
