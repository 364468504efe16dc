"""Random points of runs at which a service is killed and started again: are both wires the same, and how long does it
take from SIGKILL until the session is open again?"""

from __future__ import annotations

import sys
from random import Random

from client.drive.pair import Pair
from tests.bench.figures import Figure, median, spread
from tests.crashes.points import Outcome, Timed, compared, random_point

POINTS = 200
SEED = 15


def figures() -> list[Figure]:
    rng = Random(SEED)
    found: dict[str, list[Outcome]] = {"kvm0": [], "perfcore": []}
    with Pair() as pair:
        wire = Timed(pair)
        while sum(map(len, found.values())) < POINTS:
            point = random_point(rng)
            outcome = compared(point, wire)
            found[point.service].append(outcome)
            if not outcome.same:
                print(f"differs: {point} {outcome.failure}", file=sys.stderr)
            done = sum(map(len, found.values()))
            if done % 20 == 0:
                print(f"  {done} of {POINTS}", file=sys.stderr)
    outcomes = [outcome for each in found.values() for outcome in each]
    same = sum(outcome.same for outcome in outcomes)
    result = [Figure("points, both wires the same", same, f"of {POINTS}", str(POINTS))]
    for service, each in found.items():
        times = [outcome.resumed for outcome in each if outcome.resumed is not None]
        name = f"SIGKILL of {service} to open session"
        result.append(Figure(name, median(times), "s", "under 1", f"{spread(times, 's')}, {len(times)} crashes"))
    return result
