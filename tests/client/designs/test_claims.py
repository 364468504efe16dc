"""The claims of designs are data of a named design."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from client.designs import DESIGNS, design_named, format_design
from client.designs.toml import load_design
from contract.design import Condition, Design, DesignClaim
from contract.errors import InputError


def test_a_claim_under_any_condition_counts_under_a_kinder_one() -> None:
    design = design_with(DesignClaim("one-owner", Condition.ANY), DesignClaim("no-loss", Condition.PROMPT))
    assert [design.claimed(condition) for condition in Condition] == [
        ("one-owner",),
        ("one-owner",),
        ("one-owner", "no-loss"),
    ]


def design_with(*claims: DesignClaim) -> Design:
    return replace(DESIGNS["merged"], claims=claims)


def test_a_variation_claims_nothing() -> None:
    assert DESIGNS["fenced"].claims
    assert design_named("fenced+notifier=none").claims == ()


def test_a_file_claims_what_it_says_and_inherits_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('like = "fenced"\n[claims]\nprompt = ["no-loss"]\n')
    design = load_design(path, DESIGNS)
    assert design.claims == (DesignClaim("no-loss", Condition.PROMPT),)
    path.write_text(format_design(design, explained=True))
    assert load_design(path, DESIGNS).claims == design.claims


@pytest.mark.parametrize(
    ("claims", "place", "message"),
    [
        ('[claims]\nsometimes = ["no-loss"]', ":3", "unknown condition 'sometimes'"),
        ('[claims]\nany = ["no-los"]', ":3", "unknown invariant 'no-los'"),
        ('[claims]\nany = "no-loss"', ":3", "any is not a list of invariants"),
        ('[claims]\nany = ["no-loss", "no-loss"]', ":3", "no-loss is claimed twice"),
        ("claims = 3", ":2", "claims is not a table"),
    ],
)
def test_an_error_names_the_line(tmp_path: Path, claims: str, place: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'like = "fenced"\n{claims}\n')
    with pytest.raises(InputError) as error:
        load_design(path, DESIGNS)
    assert message in str(error.value)
    assert f"mine.toml{place}" in str(error.value)
