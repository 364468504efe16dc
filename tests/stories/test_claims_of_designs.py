"""Random stories break no claim of a design, and the stories reach each invariant that somebody claims."""

from __future__ import annotations

import pytest

from contract.design import Condition
from tests.designs import DESIGNS, FENCED, REVOKE_GP
from tests.stories.__main__ import chunks, main
from tests.stories.played import Told, conditions_of, tell

SEEDS = 40
"""Stories of each design and condition here; ``python -m tests.stories`` plays more."""
FENCED_SEEDS = 400

CLAIMED = [
    (name, condition)
    for name, design in DESIGNS.items()
    for condition in conditions_of(design)
    if (name, condition) != ("fenced", Condition.ANY)
]


def broken(told: dict[int, Told]) -> dict[int, dict[str, str]]:
    return {seed: story.broken for seed, story in told.items() if story.broken}


@pytest.mark.parametrize(("name", "condition"), CLAIMED)
def test_no_claim_is_broken(name: str, condition: Condition) -> None:
    told = {seed: tell(DESIGNS[name], condition, seed) for seed in range(SEEDS)}
    assert broken(told) == {}


SELDOM = {"grants-kept"}
"""Without leases a story asks it only where an event loses the LBR and gets it back: one in some hundred stories."""


def test_fenced_keeps_its_claims_whatever_is_lost_and_the_stories_can_break_each() -> None:
    told = {seed: tell(FENCED, Condition.ANY, seed) for seed in range(FENCED_SEEDS)}
    assert broken(told) == {}
    asked = {invariant for story in told.values() for invariant in story.asked}
    assert asked | SELDOM == set(FENCED.claimed(Condition.ANY))


def test_a_run_of_many_names_what_is_broken(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    """A variation claims nothing, so that there is nothing to play."""
    assert main(["--design", "merged+notifier=none", "--stories", "1", "--out", str(tmp_path)]) == 2
    assert "claims" in capsys.readouterr().err
    assert (
        main(["--design", "fenced", "--stories", "2", "--seed", "7", "--processes", "1", "--out", str(tmp_path)]) == 0
    )
    assert "fenced, any: 2 stories, seeds 7 to 8" in capsys.readouterr().out


def test_chunks_play_each_seed_of_each_design_once() -> None:
    parts = list(chunks([FENCED, REVOKE_GP], 120, 5))
    assert [(first, count) for name, _, first, count in parts if name == "fenced"] == [(5, 50), (55, 50), (105, 20)]
