"""The scoreboard finds planted bugs, says so where it does not, and leaves nothing planted."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from itertools import chain

import pytest

from client import api
from client.litmus import library_path, load
from client.litmus.fault import FaultRule
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.schedule import Schedule
from client.search.mutant import Mutant
from client.search.outcomes import sampled
from contract.design import Design
from contract.session.outgoing import Outgoing
from contract.trace import AnyRecord
from tests.cases import cases
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


STORIES = ("central-story", "r12-fence", "two-vms-one-cpu", "r13-whole")
RULES = (
    (), ("drop Revoke 1",), ("delay Revoke by 15ms",), ("duplicate", "reorder p=0.3"), ("drop p=0.2 seed=1",),
    ("cut kvm0 at record 40 by 20ms",), ("all seed=2",), ("all seed=10",),
)  # fmt: skip
"""The rules of a run, or the preset of all kinds with a seed."""
SAMPLES = [(story, rules, n) for story in STORIES for rules in RULES for n in range(4)]
"""Story, faults, and number of a sampled schedule."""
TELLING = (0, 1, 3, 4, 6, 21, 31, 32, 64, 66, 96)
"""Numbers of samples in which planted bugs show. They come first; a bug that shows in none is sought in all."""


def rules_of(texts: tuple[str, ...]) -> tuple[FaultRule, ...]:
    found = [api.faults(text) if text.startswith("all ") else [parse_fault(text)] for text in texts]
    return tuple(chain.from_iterable(found))


def trace(design: Design, sample: int) -> list[AnyRecord] | str:
    """The records of a sample; the error where a core raised one."""
    story, rules, number = SAMPLES[sample]
    inputs = Inputs(load(library_path(story)), design, Schedule(rules_of(rules)))
    try:
        return run(sampled(inputs, 0, number)).records
    except Exception as error:
        return str(error)


usual = cache(trace)


@cases("mutant", [m for m in mutants.MUTANTS if m.plant is not nullcontext], ids=lambda mutant: mutant.name)
def test_each_bug_that_is_planted_changes_a_run(mutant: Mutant) -> None:
    """Code that nobody calls, or that other code makes up for, is no place for a bug."""
    for sample in dict.fromkeys((*TELLING, *range(len(SAMPLES)))):
        expected = usual(mutant.design, sample)
        with mutant.plant():
            found = trace(mutant.design, sample)
        if found != expected:
            return
    pytest.fail(f"{len(SAMPLES)} runs are as they were")


def test_the_search_finds_them_and_nothing_in_the_control() -> None:
    options = ("--runs", "200", "--control-runs", "5", "--workers", "1")
    told = document(lbrlab("scoreboard", "tests.quality.few", *options, "--json"))
    assert (told["verdict"], told["exit_code"], told["found"], told["total"]) == ("all found", 0, 2, 2)
    assert all(
        (score["steps"] or score["faults"]) and score["runs"] for score in told["mutants"]
    )  # Hello may be enough.


def test_a_bug_that_is_not_found_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few, "MUTANTS", [few.HARMLESS])
    result = lbrlab("scoreboard", "tests.quality.few", "--runs", "5", "--control-runs", "1", "--workers", "1")
    assert (result.exit_code, "NOT FOUND" in result.stdout) == (1, True)
    assert "\n0 of 1 found: not all found\n" in result.stdout, "nothing has a median"


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
