"""The recorded cases of this folder: a real kernel's scheduling of counters, see client/oracle."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from client.oracle.cases import Case, load_cases

FILE = Path(__file__).with_name("cases.jsonl.xz")
CHUNK = 50


@cache
def recorded_cases() -> dict[str, Case]:
    return {case.id: case for case in load_cases([FILE])}


def stable() -> list[Case]:
    return [case for case in recorded_cases().values() if not case.soft]


def chunks() -> dict[str, list[Case]]:
    """The stable cases by family (the first letter of an id), in pieces."""
    found = {}
    for family in sorted({case.id[0] for case in stable()}):
        mine = [case for case in stable() if case.id[0] == family]
        for start in range(0, len(mine), CHUNK):
            found[f"{family}{start // CHUNK}"] = mine[start : start + CHUNK]
    return found
