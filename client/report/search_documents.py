"""The documents of ``coverage``, ``differ`` and ``scoreboard`` with ``--json``."""

from __future__ import annotations

from statistics import median

import msgspec

from client.coverage import ALL, GROUPS, Item, group_of
from client.report.shrink_documents import DifferenceDocument, difference_document
from client.run.difference import Difference, first_difference
from client.search.differ import Apart
from client.search.mutant import Score


class GroupDocument(msgspec.Struct):
    """``missing``: what no run exercises. ``runs``: the others, to the number of runs that do, the fewest first."""

    covered: int
    total: int
    missing: list[str]
    runs: dict[str, int]


class CoverageDocument(msgspec.Struct):
    """``coverage``. ``groups``: by the kind of thing: rules, messages, changes of state, invariants, axes, faults."""

    exit_code: int
    runs: int
    groups: dict[str, GroupDocument]


def coverage_document(counts: dict[Item, int], runs: int) -> CoverageDocument:
    groups: dict[str, GroupDocument] = {}
    for group in GROUPS:
        items = [item for item in ALL if group_of(item) == group]
        seen = sorted((item for item in items if counts.get(item)), key=lambda item: counts[item])
        groups[group] = GroupDocument(
            len(seen),
            len(items),
            [_name(item) for item in items if not counts.get(item)],
            {_name(item): counts[item] for item in seen},
        )
    return CoverageDocument(0, runs, groups)


def _name(item: Item) -> str:
    return item.partition(" ")[2]


class DifferDocument(msgspec.Struct, kw_only=True):
    """``differ``. ``differs``: whether a difference was found; the rest is null or empty without one. ``outcome``: a
    register or invariant to its values under both. ``usual``: the schedule is the default one. ``difference``: the
    first record that is another."""

    differs: bool
    exit_code: int
    one: str
    other: str
    played: int
    scenario: str | None = None
    text: str = ""
    tape: list[str] = []
    usual: bool = True
    outcome: dict[str, tuple[str, str]] = {}
    difference: DifferenceDocument | None = None
    runs: list[str] = []


def differ_document(apart: Apart, text: str) -> DifferDocument:
    """``text``: of the scenario."""
    # The first record names the design, so it always differs.
    first = first_difference(apart.one.records[1:], apart.other.records[1:])
    return DifferDocument(
        differs=True,
        exit_code=1,
        one=apart.one.design.name,
        other=apart.other.design.name,
        played=apart.played,
        scenario=apart.one.scenario.name,
        text=text,
        tape=list(map(str, apart.one.tape)),
        usual=apart.usual,
        outcome=apart.differing,
        difference=_shown(first, apart) if first else None,
        runs=[str(run.path) for run in (apart.one, apart.other) if run.path],
    )


def _shown(first: Difference, apart: Apart) -> DifferenceDocument:
    shown = difference_document(first, apart.one.records, apart.other.records)
    shown.record += 1
    return shown


class ScoreboardDocument(msgspec.Struct):
    """``scoreboard``. ``controls``: designs without a planted bug, in which a search must find nothing. ``median``:
    seconds until a mutant is found; ``longest``: steps of the longest shrunk witness."""

    verdict: str
    exit_code: int
    found: int
    total: int
    median: float
    longest: int
    mutants: list[Score]
    controls: list[Score]


def scoreboard_document(mutants: list[Score], controls: list[Score]) -> ScoreboardDocument:
    found = [score for score in mutants if score.found]
    good = len(found) == len(mutants) and not any(score.found for score in controls)
    return ScoreboardDocument(
        "all found" if good else "not all found" if len(found) < len(mutants) else "a control broke",
        0 if good else 1,
        len(found),
        len(mutants),
        round(median(score.seconds for score in found), 2) if found else 0.0,
        max((score.steps for score in found), default=0),
        mutants,
        controls,
    )
