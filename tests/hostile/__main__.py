"""``python -m tests.hostile [--json] [--seconds S] [ATTACK...]``: what each hostile client costs its neighbour.

For each attack: the time of a neighbour's round (eight commands or so) before it, then in turns while the client is
stopped and while it attacks; the CPU time of the attacked service for each round, with all that it does for the client
meanwhile; the most memory of the services; and what the client was answered. The neighbour and the services run on one
core, the client on the others, as if it were on another machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from tests.hostile.client import ATTACKS, ON_KVM
from tests.hostile.scene import MIB, Neighbour, Seen, Start, cores, hostile, on_cores, scene

RAMP = 1.0
"""Seconds until the client is at full speed."""
SETTLED = 0.1
"""Seconds until what the client left behind is done, after it was stopped."""
TURNS = 8


def measured(attack: str, service: str, neighbour: Neighbour, seconds: float, start: Start) -> dict[str, Any]:
    """One attack in figures. The client is stopped and goes on in turns, so that other load meets both alike."""
    neighbour.begin()
    quiet, paused, under = neighbour.watch(seconds / TURNS), Seen(), Seen()
    with hostile(attack, service, neighbour, start) as client:
        time.sleep(RAMP)
        for _ in range(TURNS):
            under += neighbour.watch(seconds / TURNS)
            with client.stopped():
                time.sleep(SETTLED)
                paused += neighbour.watch(seconds / TURNS)
            time.sleep(SETTLED)
    return {
        "attack": attack,
        "service": service,
        "quiet_ms": round(quiet.median * 1e3, 3),
        "paused_ms": round(paused.median * 1e3, 3),
        "attacked_ms": round(under.median * 1e3, 3),
        "slower": round(under.median / paused.median, 2),
        "paused_cpu_ms": round(paused.cpu_of_a_round(service) * 1e3, 2),
        "attacked_cpu_ms": round(under.cpu_of_a_round(service) * 1e3, 2),
        "peak_mib": {name: round(peak / MIB, 1) for name, peak in under.peak.items()},
        "answers": dict(sorted(client.told.items(), key=lambda item: -item[1])),
    }


def rows(asked: list[str], seconds: float, start: Start) -> Iterator[dict[str, Any]]:
    for service in ("perfcore", "kvm"):
        for attack in asked:
            if service == "perfcore" or attack in ON_KVM:
                # Each attack gets services that nobody has attacked before: their memory counts.
                with scene() as neighbour:
                    yield measured(attack, service, neighbour, seconds, start)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__.partition(": ")[2])
    parser.add_argument("attacks", metavar="ATTACK", nargs="*", help=f"{', '.join(ATTACKS)} (all)")
    parser.add_argument("--seconds", type=float, default=5.0, help="under attack, and as long without (default: 5)")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print the figures as JSON")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.attacks if name not in ATTACKS]:
        parser.error(f"no attack {unknown[0]!r}, there are {', '.join(ATTACKS)}")
    ours, theirs = cores()
    start = on_cores(theirs)
    if ours:
        os.sched_setaffinity(0, ours)
    if not asked.as_json:
        apart = f"neighbour and services on core {min(ours)}, client on others" if ours else "all on the same cores"
        print(f"{apart}; load {os.getloadavg()[0]:.1f}", flush=True)
    made = []
    for row in rows(asked.attacks or list(ATTACKS), asked.seconds, start):
        made.append(row)
        if not asked.as_json:
            peak = " ".join(f"{name} {mib}" for name, mib in row["peak_mib"].items())
            times = "".join(f"{row[name]:>8}" for name in ("quiet_ms", "paused_ms", "attacked_ms"))
            print(f"{row['attack']:<19}{row['service']:<9}{times} ms", end="")
            print(f"  x{row['slower']:<5} CPU {row['paused_cpu_ms']} {row['attacked_cpu_ms']}  MiB: {peak}", flush=True)
            print(f"    {', '.join(f'{name} {count}' for name, count in row['answers'].items())}", flush=True)
    if asked.as_json:
        print(json.dumps(made, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
