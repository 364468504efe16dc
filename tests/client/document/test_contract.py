"""The contract as one value, and as Markdown."""

from __future__ import annotations

import re
from functools import cache

import msgspec
from msgspec.structs import replace

from client.document.contract import ContractDocument, contract_document
from client.document.machines import machines
from client.document.markdown import as_markdown
from client.document.needed import needs
from client.document.schema import messages, rules
from client.document.standing import standings
from client.litmus.fault_rules import parse_fault
from client.matrix.pool import run_row
from contract.messages import PROTOCOL_VERSION
from contract.rules import RULES, Rule
from tests.cases import cases
from tests.designs import DESIGNS, REVOKE_GP, V7
from tests.library import library_scenario

ALL = list(DESIGNS.values())
STORY = library_scenario("central-story")


@cache
def whole() -> ContractDocument:
    """With a matrix of one scenario."""
    cells, lossy = (run_row(STORY, ALL, None, faults) for faults in ((), (parse_fault("drop:Revoke:1"),)))
    return contract_document(ALL, needs(None), standings(list(DESIGNS), cells, lossy))


# The value -----------------------------------------------------------------------------------------------


@cases("rule", RULES, ids=lambda r: r.id)
def test_a_rule_is_kept_by_those_that_keep_it(rule: Rule) -> None:
    (told,) = [r for r in contract_document(ALL).rules if r.id == rule.id]
    assert told.kept_by == [design.name for design in ALL if rule.kept(design)]


def test_a_rule_has_the_words_of_the_schema() -> None:
    assert [(r.id, r.name, r.text) for r in contract_document([]).rules] == [(r.id, r.name, r.text) for r in rules()]


def test_only_designs_that_are_asked_for_are_there() -> None:
    document = contract_document([REVOKE_GP])
    assert {name: d.axes for name, d in document.designs.items()} == {"revoke-gp": REVOKE_GP.axes()}
    assert {name for rule in document.rules for name in rule.kept_by} == {"revoke-gp"}


def test_the_rest_is_taken_as_it_is() -> None:
    document = contract_document(ALL)
    assert document.protocol == PROTOCOL_VERSION
    assert (document.messages, document.states) == (messages(), machines())
    assert {name: d.about for name, d in document.designs.items()} == {d.name: d.about for d in ALL}


def test_what_takes_runs_is_null_without_them() -> None:
    loaded = msgspec.json.decode(msgspec.json.encode(contract_document(ALL)))
    assert (loaded["needs"], loaded["standings"]) == (None, None)


# Markdown ------------------------------------------------------------------------------------------------


def tables(text: str) -> list[list[list[str]]]:
    """Each table as rows of cells, the rule under its head left out."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [re.split(r"(?<!\\)\|", line.strip())[1:-1] for line in block.splitlines()]
        assert [cell.strip() for cell in rows[1]] == ["---"] * len(rows[0])
        found.append([[cell.strip() for cell in row] for row in (rows[0], *rows[2:])])
    return found


def headed(text: str, head: str) -> list[list[list[str]]]:
    return [table[1:] for table in tables(text) if table[0][0] == head]


def test_every_line_of_a_table_has_as_many_columns_as_its_head() -> None:
    for table in tables(as_markdown(whole())):
        assert {len(row) for row in table} == {len(table[0])}
        assert len(table) > 1


def test_its_tables() -> None:
    assert [table[0][0] for table in tables(as_markdown(whole()))] == [
        "message",
        "design",
        "rule",
        "claim",
        "invariant",
        "invariant",
        "rule",
    ]


def test_the_table_of_rules_has_a_plus_where_a_design_keeps_it() -> None:
    document = contract_document(ALL)
    (found,) = headed(as_markdown(document), "rule")
    for row, rule in zip(found, document.rules, strict=True):
        marks = dict(zip(DESIGNS, row[1:], strict=True))
        assert row[0] == rule.id
        assert [name for name, mark in marks.items() if mark] == rule.kept_by
        assert set(marks.values()) <= {"+", ""}


def test_the_table_of_claims_has_the_condition_of_each() -> None:
    (found,) = headed(as_markdown(contract_document(ALL)), "claim")
    for row in found:
        assert row[1:] == [design.promises().get(row[0], "") for design in ALL]


def test_each_breach_names_its_scenarios() -> None:
    document = whole()
    assert document.standings is not None
    text = as_markdown(document)
    for told in (document.standings.delivered, document.standings.lossy):
        for invariant, by_design in told.items():
            for design, worst in by_design.items():
                if worst.verdict == "violated":
                    assert f"- {invariant}, {design}: {', '.join(worst.scenarios)}\n" in text


def test_the_tables_of_runs_say_what_the_value_says() -> None:
    document = whole()
    assert document.standings is not None
    for found, told in zip(
        headed(as_markdown(document), "invariant"),
        (document.standings.delivered, document.standings.lossy),
        strict=True,
    ):
        for row in found:
            letters = {"violated": "X1", "held": "+", "open": "o", "not exercised": ""}
            assert row[1:] == [letters[worst.verdict] for worst in told[row[0]].values()]


def test_each_need_has_its_line_with_the_record_and_the_command() -> None:
    document = whole()
    assert document.needs is not None
    found = headed(as_markdown(document), "rule")[-1]
    assert [row[-1] for row in found] == [f"`{need.command}`" for need in document.needs]
    assert [row[:3] for row in found] == [
        [need.rule, ", ".join(need.broken), f"{need.text} (record {need.seq})"] for need in document.needs
    ]


def test_a_bar_in_a_text_is_no_column() -> None:
    text = as_markdown(contract_document([replace(V7, about="a | b|c")]))
    assert "| v7 | a \\| b\\|c |" in text
    assert headed(text, "design") == [[["v7", "a \\| b\\|c"]]]


def test_a_line_break_in_a_text_is_no_row() -> None:
    """A design of another package can have any text."""
    assert headed(as_markdown(contract_document([replace(V7, about="a\nb")])), "design") == [[["v7", "a b"]]]


@cases("runs", [False, True])
def test_every_machine_is_a_diagram_of_its_own(runs: bool) -> None:
    text = as_markdown(whole() if runs else contract_document(ALL))
    assert re.findall(r"^```mermaid\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE) == [m.mermaid() for m in machines()]
    assert text.count("```") == 2 * len(machines())


def test_every_rule_has_a_line() -> None:
    assert re.findall(r"^- \*\*(R\d+) ", as_markdown(contract_document(ALL)), re.MULTILINE) == [r.id for r in RULES]


def test_without_runs_nothing_is_said_of_them() -> None:
    text = as_markdown(contract_document(ALL))
    assert headed(text, "invariant") == []
    for word in ("scenarios", "breaks", "--fault", "lbrlab run", "needs each"):
        assert word not in text


def test_it_ends_with_one_newline_and_no_line_in_blanks() -> None:
    text = as_markdown(whole())
    assert text.endswith("|\n")
    assert [line for line in text.splitlines() if line != line.rstrip()] == []
