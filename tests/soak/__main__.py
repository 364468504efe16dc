"""``python -m tests.soak``: the long form of the soak. It ends with 1 if something did not hold."""

from __future__ import annotations

import argparse
import sys
import time

from tests.soak.soak import Plan, Round, soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="of free running (default: %(default)g)")
    parser.add_argument("--round", type=float, default=60.0, help="seconds of each live run (default: %(default)g)")
    parser.add_argument("--kvms", type=int, default=4, help="KVM services, each with a session (default: %(default)s)")
    parser.add_argument("--vcpus", type=int, default=64, help="of all KVM services (default: %(default)s)")
    parser.add_argument("--speed", type=float, default=1.0, help="virtual time in wall time (default: %(default)g)")
    parser.add_argument("--design", default="fenced", help="(default: %(default)s)")
    args = parser.parse_args()
    began = time.monotonic()

    def told(done: Round) -> None:
        print(f"{time.monotonic() - began:.0f} s: {done}", flush=True)

    done = soak(Plan(60 * args.minutes, args.round, args.kvms, args.vcpus, args.speed, args.design), told)
    rounds = done.rounds
    print(
        f"\n{len(rounds)} rounds, {sum(each.seconds for each in rounds):.0f} s of free running, "
        f"{sum(each.steps for each in rounds)} steps, {sum(each.messages for each in rounds)} messages, "
        f"{sum(each.records for each in rounds)} records, {sum(len(each.killed) for each in rounds)} kills, "
        f"{done.attacks} attacks"
    )
    print(f"sessions lost: {sum(len(each.lost) for each in rounds)}")
    print(f"verdicts wrong: {sum(each.verdict != 'held' or not each.same for each in rounds)}")
    for service, first in rounds[0].memory.items():
        print(f"{service}: {first:.0f} MB after the first round, {rounds[-1].memory[service]:.0f} MB at the end")
    print(f"driver: {done.driver_peak:.0f} MB at most")
    for problem in done.problems():
        print(f"PROBLEM {problem}")
    return int(bool(done.problems()))


if __name__ == "__main__":
    sys.exit(main())
