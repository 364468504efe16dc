"""Presets of fault rules, and files of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.litmus.fault_kinds import FAULT_KINDS
from client.run.presets import presets, rules_of
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
