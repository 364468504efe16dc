"""Presets of fault rules, and files of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.litmus.fault_kinds import FAULT_KINDS
from client.run.presets import placed_rules_of, presets, rules_of
from contract.errors import InputError


def test_all_is_a_mixture_of_every_kind() -> None:
    assert {rule.kind for rule in rules_of("all")} == set(FAULT_KINDS)


def test_each_preset_says_what_it_does() -> None:
    for name, about in presets().items():
        assert rules_of(name)
        assert about.endswith(".")


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.faults"
    path.write_text("# mine\ndrop Revoke first\n")
    assert list(map(str, rules_of(str(path)))) == ["drop Revoke 1"]
    with pytest.raises(InputError, match="unknown preset 'al', did you mean 'all'"):
        rules_of("al")
    with pytest.raises(InputError, match="cannot read"):
        rules_of(str(tmp_path / "none.faults"))


def test_each_rule_of_a_file_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.faults"
    path.write_text("# mine\n\ndrop Revoke first\ndrop p=0.5\n")
    assert [each.place for each in placed_rules_of(str(path), 7)] == [
        f"{path}:3: 'drop Revoke 1'",
        f"{path}:4: 'drop p=0.5'",
    ]


def test_no_rule_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.faults"
    path.write_text("# nothing\n")
    with pytest.raises(InputError, match=r"mine\.faults: holds no rule"):
        rules_of(str(path))
    with pytest.raises(InputError, match="--faults: expected a file of rules, or a preset: all, "):
        rules_of(" ")
