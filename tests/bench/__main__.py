"""``python -m tests.bench [--json] [NAME...]``"""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys

BENCHMARKS = ("simulation", "library", "round_trip", "pair", "scheduler", "crashes")


def main(arguments: list[str]) -> None:
    as_json = "--json" in arguments
    wanted = [name for name in arguments if not name.startswith("-")] or BENCHMARKS
    if unknown := [name for name in wanted if name not in BENCHMARKS]:
        sys.exit(f"no benchmark {unknown[0]!r}, there are {', '.join(BENCHMARKS)}")
    found = []
    for name in wanted:
        print(f"{name} ...", file=sys.stderr)
        found += importlib.import_module(f"tests.bench.{name}").figures()
    if as_json:
        print(json.dumps([dataclasses.asdict(figure) for figure in found], indent=2))
        return
    for figure in found:
        aim = f"(aim {figure.aim})" if figure.aim else ""
        print(f"{figure.name:<34}{figure.value:>10.4g} {figure.unit:<8}{aim:<20}{figure.note}")


if __name__ == "__main__":
    main(sys.argv[1:])
