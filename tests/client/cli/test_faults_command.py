"""``lbrlab faults``: every kind, selector and preset, with examples that parse."""

from __future__ import annotations

import re

from client.litmus.fault_kinds import FAULT_KINDS, SELECTORS
from client.litmus.fault_rules import parse_fault
from client.run.presets import presets
from tests.cases import cases
from tests.client.cli.commands import document, lbrlab


def test_everything_is_listed_within_80_columns() -> None:
    text = lbrlab("faults").stdout
    assert [line for line in text.splitlines() if len(line) > 80] == []
    names = [*FAULT_KINDS, *(form for form, _, _ in SELECTORS), *presets()]
    assert [name for name in names if f"  {name} " not in text] == []


def test_the_document_has_examples_that_parse() -> None:
    told = document(lbrlab("faults", "--json"))
    examples = [each["example"] for part in ("kinds", "selectors") for each in told[part].values()]
    for rule in [*examples, *(rule for each in told["presets"].values() for rule in each["rules"])]:
        parse_fault(rule)
    assert told["presets"]["lost-revoke"]["rules"] == ["drop Revoke 1"]


def test_a_preset_gives_the_faults_of_its_rules() -> None:
    told = document(lbrlab("run", "central-story", "-d", "revoke-gp", "--faults", "lost-revoke", "--json"))
    assert told["faults"] == [{"fault": "drop Revoke 1", "applied": True}]


@cases("kind", FAULT_KINDS)
def test_a_kind_has_its_selectors_with_examples_of_its_own(kind: str) -> None:
    told = document(lbrlab("faults", kind, "--json"))
    assert list(told["kinds"]) == [kind]
    assert all(parse_fault(each["example"]).kind == kind for each in told["selectors"].values())
    assert ("at TIME" in told["selectors"]) == (FAULT_KINDS[kind].strikes != "message")
    assert ("rate R" in told["selectors"]) == (kind == "clock")
    assert ("field NAME" in told["selectors"]) == (kind == "corrupt")
    assert "all" in told["presets"]
    assert all(any(rule.startswith(kind) for rule in each["rules"]) for each in told["presets"].values())
    text = lbrlab("faults", kind).stdout
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert all(f"  {each['example']}\n" in text for each in told["selectors"].values())


@cases("form", [form for form, _, _ in SELECTORS])
def test_a_selector_names_the_kinds_that_take_it(form: str) -> None:
    for name in (form, re.split("[ =,]", form)[0]):
        told = document(lbrlab("faults", name, "--json"))
        assert form in told["selectors"]
        assert told["kinds"]
        assert "kinds that take it: " in lbrlab("faults", name).stdout


@cases("preset", presets())
def test_a_preset_has_its_rules(preset: str) -> None:
    told = document(lbrlab("faults", preset, "--json"))
    assert list(told["presets"]) == [preset]
    assert told["presets"][preset]["rules"][0] in lbrlab("faults", preset).stdout


def test_an_unknown_name_is_refused_with_the_list() -> None:
    far, near = lbrlab("faults", "zzz"), lbrlab("faults", "dropp")
    assert (far.exit_code, near.exit_code) == (2, 2)
    assert all(f" {name}" in far.stderr for name in (*FAULT_KINDS, *presets()))
    assert "did you mean 'drop'?" in near.stderr
