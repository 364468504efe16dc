"""The short form of the soak: what has to hold, for a second; and that each problem would be seen."""

from __future__ import annotations

from dataclasses import replace

from tests.cases import cases
from tests.soak.soak import FAULTS, Plan, Round, Soak, soak

GOOD = Round(1.0, 100, 100, 500, ["kvm0"], [], [], "held", True, {"perfcore": 40.0, "kvm0": 50.0})


def test_a_short_soak_holds() -> None:
    often = tuple(rule.replace("p=0.00", "p=0.0") for rule in FAULTS)
    done = soak(Plan(1.0, round_seconds=1.0, kvms=2, vcpus=6, faults=often))

    assert done.problems() == []
    assert [each.killed for each in done.rounds] == [["kvm0"]]
    assert done.attacks > 3
    assert done.rounds[0].steps > 50


@cases(
    ("change", "problem"),
    [
        ({"lost": ["kvm1"]}, "round 2: lost kvm1"),
        ({"broken": ["no-leak"], "verdict": "violated"}, "round 2: violated, broken: no-leak"),
        ({"verdict": "undecided"}, "round 2: undecided, broken: none"),
        ({"same": False}, "round 2: the replay differs"),
        ({"memory": {"perfcore": 93.0, "kvm0": 50.0}}, "perfcore: grew from 40 to 93 MB"),
    ],
)
def test_a_problem_is_named(change: dict[str, object], problem: str) -> None:
    assert Soak([GOOD, replace(GOOD, **change)]).problems() == [problem]  # type: ignore[arg-type]


def test_growth_within_bounds_is_none() -> None:
    assert Soak([GOOD, replace(GOOD, memory={"perfcore": 91.0, "kvm0": 20.0})]).problems() == []


def test_an_attack_that_changed_something_is_a_problem() -> None:
    assert Soak([GOOD], harmful={("lease", "OK"): 2}).problems() == ["lease ended with OK, 2 times"]
