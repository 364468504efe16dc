"""``python -m tests.bench [--json] [NAME...]``: measure, which takes some four minutes for all."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import sys

BENCHMARKS = ("simulation", "library", "round_trip", "pair", "scheduler", "crashes", "stopping", "tls")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition(": ")[2])
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"a benchmark: {', '.join(BENCHMARKS)} (all)")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print the figures as JSON")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.names if name not in BENCHMARKS]:
        parser.error(f"no benchmark {unknown[0]!r}, there are {', '.join(BENCHMARKS)}")
    found = []
    for name in asked.names or BENCHMARKS:
        print(f"{name} ...", file=sys.stderr)
        found += importlib.import_module(f"tests.bench.{name}").figures()
    if asked.as_json:
        print(json.dumps([dataclasses.asdict(figure) for figure in found], indent=2))
        return
    for figure in found:
        aim = f"(aim {figure.aim})" if figure.aim else ""
        print(f"{figure.name:<34}{figure.value:>10.4g} {figure.unit:<8}{aim:<20}{figure.note}")


if __name__ == "__main__":
    main(sys.argv[1:])
