"""Play many random stories: ``python -m tests.stories --design all --stories 20000 --seed 0``.

Each design that claims an invariant is played under each condition of its claims. Prints the seeds, the counts, and a
run file for each first violation. With ``--faults`` the stories, and the scenarios of the library, meet random faults
of every kind that stop after a while. Ends with 0 if every claim held, 1 otherwise, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from client.designs import DESIGNS, design_named
from client.litmus.fault_kinds import FAULT_KINDS
from client.run.file import save
from contract.design import Condition, Design
from tests.stories.faulted import tell_faulted
from tests.stories.played import Told, conditions_of, tell

CHUNK = 50
"""Stories that a process plays before it reports."""
FAULTS = "faults"
"""Instead of a condition: random faults, under which the claims count that hold for any loss. Kinds of faults joined by
commas, which are not conditions, stand for faults of these kinds."""
Chunk = tuple[str, str, int, int]
"""Design, condition, first seed, count."""


def play_chunk(chunk: Chunk) -> list[tuple[int, str, str]]:
    """Seed, invariant and text of each broken claim."""
    name, condition, first, count = chunk
    design = design_named(name)
    return [
        (seed, invariant, text)
        for seed in range(first, first + count)
        for invariant, text in told(design, condition, seed).broken.items()
    ]


def told(design: Design, condition: str, seed: int) -> Told:
    if condition == FAULTS:
        return tell_faulted(design, seed)
    kinds = condition.split(",")
    return tell_faulted(design, seed, kinds) if kinds[0] in FAULT_KINDS else tell(design, Condition(condition), seed)


def chunks(designs: list[Design], stories: int, seed: int, *, faults: str = "") -> Iterator[Chunk]:
    """Seed by seed through all designs, so an interrupted campaign has played each of them equally often."""
    for first in range(seed, seed + stories, CHUNK):
        count = min(CHUNK, seed + stories - first)
        for design in designs:
            conditions = conditions_of(design)
            for condition in [faults] * (Condition.ANY in conditions) if faults else map(str, conditions):
                yield design.name, condition, first, count


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    if unknown := sorted({*options.faults.split(",")} - {"", FAULTS, *FAULT_KINDS}):
        print(f"no such kind of fault: {', '.join(unknown)}; there are {', '.join(FAULT_KINDS)}", file=sys.stderr)
        return 2
    designs = [*DESIGNS.values()] if options.design == "all" else [design_named(n) for n in options.design.split(",")]
    todo = list(chunks(designs, options.stories, options.seed, faults=options.faults))
    if not todo:
        print("no such design claims an invariant", file=sys.stderr)
        return 2
    played: dict[str, int] = {}
    broken: dict[tuple[str, str, str], list[tuple[int, str]]] = {}
    print(shlex.join(["python", "-m", "tests.stories", *arguments]), flush=True)
    stopped = False
    with ProcessPoolExecutor(options.processes, initializer=_leave_interrupts) as pool:
        try:
            for done, (chunk, found) in enumerate(zip(todo, pool.map(play_chunk, todo), strict=True), 1):
                name, condition, _, count = chunk
                played[f"{name}, {condition}"] = played.get(f"{name}, {condition}", 0) + count
                for seed, invariant, text in found:
                    breaches = broken.setdefault((name, condition, invariant), [])
                    breaches.append((seed, text))
                    if len(breaches) == 1:
                        print(f"{name}, {condition}: {invariant}, seed {seed}: {text}", flush=True)
                if sys.stderr.isatty() or done % 100 == 0:
                    print(f"\r{done} of {len(todo)} chunks, {len(broken)} claims broken", end="", file=sys.stderr)
        except KeyboardInterrupt:
            stopped = True
            pool.shutdown(cancel_futures=True)
    print(file=sys.stderr)
    for what, count in played.items():
        print(f"{what}: {count} stories, seeds {options.seed} to {options.seed + count - 1}")
    for (name, condition, invariant), breaches in broken.items():
        seed, text = breaches[0]
        path = Path(options.out) / f"{name}-{condition}-{invariant}-{seed}.json"
        save(told(design_named(name), condition, seed).played, path)
        print(f"{name}, {condition}: {invariant} broken in {len(breaches)} stories, first seed {seed}: {text}; {path}")
    return 130 if stopped else 1 if broken else 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.stories")
    parser.add_argument("--design", metavar="NAMES", default="all", help="names joined by commas, or all")
    parser.add_argument(
        "--stories", metavar="N", type=int, default=200, help="for each design and condition (default 200)"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="the first seed; the others follow it")
    parser.add_argument("--processes", metavar="N", type=int, default=2, help="how many run at once (default 2)")
    parser.add_argument(
        "--faults",
        metavar="KINDS",
        nargs="?",
        const=FAULTS,
        default="",
        help="with random rules of faults, of all kinds, crashes and ends of vCPUs, or of these kinds only",
    )
    parser.add_argument(
        "--out", metavar="DIR", default="lbrlab-runs/stories", help="where the run files of violations go"
    )
    return parser.parse_args(arguments)


def _leave_interrupts() -> None:
    """Ctrl-C is for the first process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
