"""The page that argues for fenced says what the runs say."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from client.check.judge import MONITORS
from client.document.needed import Need, needs
from client.document.schema import rules
from client.litmus import library
from client.matrix.cell import run_cell
from tests.cases import cases
from tests.designs import FENCED
from tests.library import library_scenarios

PAGE = (files("contract") / "fenced.md").read_text(encoding="utf-8")
NAMES = {invariant.name for invariant in MONITORS}
SECTIONS = {
    match[1]: match[3]
    for match in re.finditer(r"^## (R\d+) ([a-z ]+)\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
}
every_section = cases("rule", SECTIONS)


@cache
def needed() -> dict[str, list[Need]]:
    found: dict[str, list[Need]] = {}
    for need in needs(None):
        found.setdefault(need.rule, []).append(need)
    return found


def named(text: str) -> set[str]:
    """Invariants that a text speaks of."""
    return set(re.findall(r"`([a-z-]+)`", text)) & NAMES


def test_it_has_a_section_for_each_rule_that_is_needed_under_its_name() -> None:
    names = {rule.id: rule.name for rule in rules()}
    headings = re.findall(r"^## (R\d+) (.*)$", PAGE, re.MULTILINE)
    assert headings == [(rule, names[rule]) for rule in needed()]
    assert list(SECTIONS) == list(needed())


@every_section
def test_its_commands_are_the_runs(rule: str) -> None:
    commands = re.findall(r"^    (lbrlab .*)$", SECTIONS[rule], re.MULTILINE)
    assert commands == [need.command for need in needed()[rule]]


@every_section
def test_what_it_says_breaks_is_what_breaks(rule: str) -> None:
    assert named(SECTIONS[rule]) == {name for need in needed()[rule] for name in need.broken}


def test_no_command_is_elsewhere() -> None:
    commands = re.findall(r"^    (lbrlab .*)$", PAGE, re.MULTILINE)
    assert commands == [need.command for found in needed().values() for need in found]


def test_the_rules_that_it_counts_are_those_that_fenced_keeps() -> None:
    assert "It keeps the rules R9 to R17 and R20" in PAGE
    assert list(needed()) == [*(f"R{n}" for n in range(9, 18)), "R20"]


def test_scenarios_that_it_names_are_there() -> None:
    known = {path.stem for path in library()}
    assert set(re.findall(r"`((?:mech|c\d\d|r\d\d)-[a-z-]+)`", PAGE)) <= known


def test_what_it_admits_is_all_that_fenced_breaks_in_the_library() -> None:
    cells = [cell for story in library_scenarios() if (cell := run_cell(story, FENCED, None)).broken]
    assert [(cell.scenario, cell.broken) for cell in cells] == [
        ("mech-btf-drops-lbr-v616", ["capability-kept"]),
        ("mech-migrate-without-lbr", ["no-loss"]),
        ("mech-no-call-stack-v512", ["capability-kept"]),
    ]
    admits = " ".join(PAGE[PAGE.index("## Costs and limits") :].split())
    assert "`capability-kept` in `mech-no-call-stack-v512`" in admits
    assert "`capability-kept` in `mech-btf-drops-lbr-v616`" in admits
    assert "`no-loss` in `mech-migrate-without-lbr`" in admits
