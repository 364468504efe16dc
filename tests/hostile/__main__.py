"""``python -m tests.hostile [--json] [--seconds S] [ATTACK...]``: what each hostile client costs its neighbour.

For each attack: the time of a neighbour's round (eight commands or so), quiet and under attack, in turns on one pair of
services; the share of a core that the attack takes of the attacked service, beside the neighbour's rounds; the most
memory of the services; and what the client was answered. The client runs on the same machine, and takes a part of its
CPU: on a busy machine the share says more than the times.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from tests.hostile.client import ATTACKS, ON_KVM
from tests.hostile.scene import MIB, Neighbour, hostile, scene

RAMP = 1.0
"""Seconds until the client is at full speed."""


def measured(attack: str, service: str, neighbour: Neighbour, seconds: float) -> dict[str, Any]:
    """One attack in figures."""
    neighbour.begin()
    quiet = neighbour.watch(seconds)
    with hostile(attack, service, neighbour) as client:
        time.sleep(RAMP)
        under = neighbour.watch(seconds)
    neighbour.begin()
    after = neighbour.watch(seconds)
    own = quiet.cpu[service] / len(quiet.rounds) * len(under.rounds)
    base = (quiet.median + after.median) / 2
    return {
        "attack": attack,
        "service": service,
        "quiet_ms": round(base * 1e3, 3),
        "attacked_ms": round(under.median * 1e3, 3),
        "slower": round(under.median / base, 2),
        "takes": round(max(0.0, under.cpu[service] - own) / sum(under.rounds), 2),
        "peak_mib": {name: round(peak / MIB, 1) for name, peak in under.peak.items()},
        "answers": dict(sorted(client.told.items(), key=lambda item: -item[1])),
    }


def rows(asked: list[str], seconds: float) -> Iterator[dict[str, Any]]:
    for service in ("perfcore", "kvm"):
        for attack in asked:
            if service == "perfcore" or attack in ON_KVM:
                # Each attack gets services that nobody has attacked before: their memory counts.
                with scene() as neighbour:
                    yield measured(attack, service, neighbour, seconds)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__.partition(": ")[2])
    parser.add_argument("attacks", metavar="ATTACK", nargs="*", help=f"{', '.join(ATTACKS)} (all)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each of the three parts (default: 5)")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print the figures as JSON")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.attacks if name not in ATTACKS]:
        parser.error(f"no attack {unknown[0]!r}, there are {', '.join(ATTACKS)}")
    made = []
    for row in rows(asked.attacks or list(ATTACKS), asked.seconds):
        made.append(row)
        if not asked.as_json:
            peak = " ".join(f"{name} {mib}" for name, mib in row["peak_mib"].items())
            print(f"{row['attack']:<19}{row['service']:<9}{row['quiet_ms']:>8} ms{row['attacked_ms']:>9} ms", end="")
            print(f"  x{row['slower']:<6} takes {row['takes']:<6} MiB: {peak}", flush=True)
            print(f"    {', '.join(f'{name} {count}' for name, count in row['answers'].items())}", flush=True)
    if asked.as_json:
        print(json.dumps(made, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
