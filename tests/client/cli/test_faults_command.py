"""``lbrlab faults``: every kind, selector and preset, with examples that parse."""

from __future__ import annotations

from client.litmus.fault_kinds import FAULT_KINDS, SELECTORS
from client.litmus.fault_rules import parse_fault
from client.run.presets import presets
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
