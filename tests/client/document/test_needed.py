"""Why each rule of fenced is needed: nothing breaks with it, something does without it, and anybody can see that."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from msgspec.structs import replace

from client.check.judge import judge
from client.designs import design_named
from client.document import needed
from client.document.needed import FENCED, SCENARIOS, Need, needs
from client.litmus import library_path
from client.run.file import load_run
from contract.design import AXIS_FIELDS, Design, axis_values
from contract.design_check import flaw
from contract.rules import RULES, Rule
from tests import designs
from tests.cases import cases
from tests.client.cli.commands import document, lbrlab
from tests.designs import DESIGNS

BY_ID = {rule.id: rule for rule in RULES}
WITHOUT = [(rule.id, f"{FENCED}+{axis}={value}") for rule in RULES for axis, value in rule.without]
each = pytest.mark.parametrize(("rule", "design"), WITHOUT, ids=[f"{rule} {design}" for rule, design in WITHOUT])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Need]:
    """By design, with their runs kept."""
    return {need.design: need for need in needs(tmp_path_factory.mktemp("needs"))}


def test_there_is_one_for_each_way_of_not_keeping_a_rule(found: dict[str, Need]) -> None:
    assert [(need.rule, need.design) for need in found.values()] == WITHOUT


# The rules -----------------------------------------------------------------------------------------------


def changed() -> list[Design]:
    """fenced with another value on one axis, wherever that is possible."""
    changes = [{field: value} for axis, field in AXIS_FIELDS.items() for value in axis_values(axis).values()]
    return [design for change in changes if flaw(design := replace(designs.FENCED, **change)) is None]


def test_every_rule_that_one_axis_takes_away_is_there() -> None:
    """R1 to R8 cannot be taken away so."""
    taken = {r.id for r in RULES if r.kept(designs.FENCED) and not all(r.kept(design) for design in changed())}
    assert taken == {rule for rule, _ in WITHOUT} == set(SCENARIOS)


def test_every_rule_that_sets_fenced_apart_is_there() -> None:
    """Except that there are grants and an event: other designs have these too, and fenced needs them."""
    apart = {r.id for r in RULES if r.kept(designs.FENCED) and not all(map(r.kept, DESIGNS.values()))}
    assert apart - {"R6", "R8"} == {rule for rule, _ in WITHOUT}


def test_fenced_does_without_waiting() -> None:
    assert {rule.id for rule in RULES if not rule.kept(designs.FENCED)} == {"R4", "R18", "R19"}
    assert not {"R4", "R18", "R19"} & {rule for rule, _ in WITHOUT}


@each
def test_it_is_that_rule_alone_which_is_taken_away(rule: str, design: str) -> None:
    lost = [r.id for r in RULES if r.kept(designs.FENCED) and not r.kept(design_named(design))]
    assert lost == [rule]


# The runs ------------------------------------------------------------------------------------------------


@each
def test_nothing_breaks_with_the_rule(rule: str, design: str, found: dict[str, Need]) -> None:
    assert found[design].kept == []


@each
def test_something_breaks_without_it(rule: str, design: str, found: dict[str, Need]) -> None:
    need = found[design]
    assert need.broken
    assert need.text != "nothing breaks"


@each
def test_the_run_is_kept_and_its_record_is_the_first_violation(rule: str, design: str, found: dict[str, Need]) -> None:
    need = found[design]
    assert need.run is not None
    run = load_run(Path(need.run))
    findings = [finding for finding in judge(run.records) if finding.violations]

    assert run.design.name == design
    assert [finding.invariant for finding in findings] == need.broken
    violation = findings[0].violations[0]
    assert (violation.seq, violation.text) == (need.seq, need.text)


@each
def test_the_command_shows_it(
    rule: str, design: str, found: dict[str, Need], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program, *arguments = shlex.split(found[design].command)
    result = lbrlab(*arguments, "--json")
    told = document(result)

    assert (program, result.exit_code) == ("lbrlab", 1)
    assert (told["design"], told["scenario"]) == (design, found[design].scenario)
    assert [name for name, verdict in told["invariants"].items() if verdict == "violated"] == found[design].broken
    assert all(fault["applied"] for fault in told["faults"])


@cases("rule", SCENARIOS)
def test_the_scenario_says_which_rule_it_asks_for(rule: str) -> None:
    text = library_path(SCENARIOS[rule][0]).read_text(encoding="utf-8")
    assert f"rule {rule} of the contract" in " ".join(text.split())


def test_no_file_is_kept_where_no_folder_is_named(found: dict[str, Need]) -> None:
    unkept = needs(None)
    assert {need.run for need in unkept} == {None}
    assert [replace(need, run=found[need.design].run) for need in unkept] == list(found.values())


def test_what_fenced_breaks_in_such_a_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it loses the LBR in a migration, with the rule and without."""
    monkeypatch.setitem(SCENARIOS, "R14", ("mech-migrate-without-lbr", ()))
    (need,) = [need for need in needs(None) if need.rule == "R14"]
    assert need.kept == need.broken == ["no-loss"]


def test_a_rule_that_is_not_needed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needed, "RULES", (Rule("R14", BY_ID["R14"].kept, (("info-known", "no"),)),))
    (need,) = needs(None)
    assert (need.broken, need.text, need.seq) == ([], "nothing breaks", 0)
