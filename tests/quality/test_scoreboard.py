"""The scoreboard finds planted bugs, says so where it does not, and leaves nothing planted."""

from __future__ import annotations

import pytest

from contract.session.outgoing import Outgoing
from tests.client.cli.commands import document, lbrlab
from tests.quality import few, mutants


def test_there_are_enough_and_each_has_a_name_and_a_text_of_its_own() -> None:
    assert len(mutants.MUTANTS) >= 25
    assert len({mutant.name for mutant in mutants.MUTANTS}) == len(mutants.MUTANTS)
    assert len({mutant.about for mutant in mutants.MUTANTS}) == len(mutants.MUTANTS)


def test_each_can_be_planted_and_is_gone_afterwards() -> None:
    before = Outgoing.again
    for mutant in mutants.MUTANTS:
        with mutant.plant():
            pass
    assert Outgoing.again is before
    planted = next(m for m in mutants.MUTANTS if m.name == "never-resends")
    with planted.plant():
        assert Outgoing.again is not before


def test_the_search_finds_them_and_nothing_in_the_control() -> None:
    options = ("--runs", "200", "--control-runs", "5", "--workers", "1")
    told = document(lbrlab("scoreboard", "tests.quality.few", *options, "--json"))
    assert (told["verdict"], told["exit_code"], told["found"], told["total"]) == ("all found", 0, 2, 2)
    assert all(score["steps"] and score["runs"] for score in told["mutants"])


def test_a_bug_that_is_not_found_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few, "MUTANTS", [few.HARMLESS])
    result = lbrlab("scoreboard", "tests.quality.few", "--runs", "5", "--control-runs", "1", "--workers", "1")
    assert (result.exit_code, "NOT FOUND" in result.stdout, "0 of 1 found" in result.stdout) == (1, True, True)


def test_a_control_that_breaks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fence = next(mutant for mutant in few.MUTANTS if mutant.name == "no-fence")
    monkeypatch.setattr(few, "CONTROLS", [few.Control(fence.design)])
    monkeypatch.setattr(few, "MUTANTS", [])
    result = lbrlab("scoreboard", "tests.quality.few", "--control-runs", "200", "--workers", "1")
    assert (result.exit_code, "a control broke" in result.stdout) == (1, True)


@pytest.mark.parametrize("module", ["tests.no_such_module", "tests.designs"])
def test_a_module_without_a_registry_is_refused(module: str) -> None:
    result = lbrlab("scoreboard", module)
    assert (result.exit_code, "no registry of planted bugs" in result.stderr) == (2, True)
