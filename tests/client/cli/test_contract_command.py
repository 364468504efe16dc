"""``lbrlab contract``: the contract as text, as Markdown and as a document, with and without what takes runs."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import msgspec
import pytest
from msgspec.structs import replace

from client.check.excuses import by_text
from client.claims import claim
from client.cli import contract as command
from client.document.contract import ContractDocument, contract_document
from client.document.faulted import FaultTable, fault_table, fault_tasks, kept_rows, kind_rows
from client.document.markdown import as_markdown
from client.document.needed import needs
from client.document.schema import messages, rules
from client.document.standing import standings
from client.litmus.fault_kinds import FAULT_KINDS
from client.litmus.fault_rules import parse_fault
from client.matrix import cell
from client.matrix.pool import run_row
from client.matrix.summary import Worst
from client.report.tables import examples
from client.run.file import load_run
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.schedule import Schedule
from client.schedule.strategies import DefaultStrategy
from contract.invariants import INVARIANTS
from tests.client.cli.commands import document, lbrlab, unbroken
from tests.designs import DESIGNS, FENCED, V7
from tests.library import library_scenario

ALL = list(DESIGNS.values())
STORY = library_scenario("central-story")
WIDTH = 80
TASKS = fault_tasks({"drop": FAULT_KINDS["drop"]}, ["central-story"], 1)
"""The runs of a table of one scenario and one kind of fault."""
ALONE = ("contract", "--workers", "1")


@pytest.fixture
def one_story(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library of one."""
    monkeypatch.setattr(command, "chosen_scenarios", lambda text: [STORY])
    monkeypatch.setattr(command, "fault_tasks", lambda kinds: TASKS)


@cache
def whole() -> ContractDocument:
    """Its text about that library."""
    cells, lossy = (run_row(STORY, ALL, None, faults) for faults in ((), (parse_fault("drop:Revoke:1"),)))
    found = contract_document(ALL, needs(Path("lbrlab-runs/contract")), standings(list(DESIGNS), cells, lossy))
    found.faulted = table()
    return found


@cache
def table() -> FaultTable:
    rows = [run_row(scenario, ALL, None, faults) for _, (scenario, faults) in TASKS]
    return fault_table(list(DESIGNS), TASKS, enumerate(rows))


def encoded(value: ContractDocument) -> dict[str, Any]:
    loaded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return loaded


def lines(*arguments: str) -> list[str]:
    result = unbroken(*(("contract",) if "--no-runs" in arguments else ALONE), *arguments)
    assert result.exit_code == 0
    return result.stdout.splitlines()


@cache
def printed() -> list[str]:
    """With runs, of a library of one."""
    return lines()


def part(text: list[str], head: str) -> list[str]:
    """The lines under a heading."""
    below = text[text.index(head) + 1 :]
    return below[: below.index("")] if "" in below else below


# Without runs ----------------------------------------------------------------------------------------------


def test_without_runs_its_document_is_the_contract_alone() -> None:
    result = lbrlab("contract", "--no-runs", "--json")

    assert (result.exit_code, result.stderr) == (0, "")
    assert document(result) == encoded(contract_document(ALL))
    assert not Path("lbrlab-runs").exists()


def test_without_runs_nothing_is_said_of_them() -> None:
    text = "\n".join(lines("--no-runs"))
    for word in ("scenarios", "breaks", "lbrlab run", "Why fenced"):
        assert word not in text


def test_every_rule_and_message_is_printed_in_its_words() -> None:
    text = lines("--no-runs")
    ruled, said = " ".join(part(text, "Rules")), " ".join(part(text, "Messages"))

    assert ruled == " ".join(f"{rule.id} {rule.name}: {rule.text}" for rule in rules())
    assert said == " ".join(f"{m.name} ({m.direction}): {m.text}" for m in messages())


def test_every_arrow_is_printed() -> None:
    text = lines("--no-runs")
    for machine in contract_document(ALL).states:
        found, arrows = part(text, f"States: {machine.name}"), [line for line, _ in machine.lines()]
        assert " ".join(found[: -len(arrows)]) == machine.about
        assert found[-len(arrows) :] == arrows


def test_the_table_has_a_plus_where_a_design_keeps_a_rule() -> None:
    head, *rows, key = part(lines("--no-runs"), "What each design keeps")
    columns = {letter: head.index(f" {letter}") + 1 for letter in head.split()[1:]}
    named = dict(word.split(" ") for word in key.split("  "))

    assert list(named.values()) == list(DESIGNS)
    for row, rule in zip(rows, contract_document(ALL).rules, strict=True):
        assert row.startswith(f"{rule.id} {rule.name}")
        assert [named[letter] for letter, at in columns.items() if row[at : at + 1] == "+"] == rule.kept_by


@pytest.mark.usefixtures("one_story")
def test_text_is_broken_into_lines_that_fit() -> None:
    text = lbrlab(*ALONE).stdout.splitlines()
    assert [line for line in text if len(line) > WIDTH and len(line.split()) > 1] == []
    assert [line for line in text if line != line.rstrip()] == []


def test_markdown_is_the_document_as_markdown() -> None:
    assert lbrlab("contract", "--no-runs", "--markdown").stdout == as_markdown(contract_document(ALL))


def test_designs_of_other_packages_have_their_column(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(V7, name="other", about="[bold]x[/] | y")
    monkeypatch.setattr(command, "all_designs", lambda: DESIGNS | {"other": other})
    loaded = document(lbrlab("contract", "--no-runs", "--json"))

    claims = {claim.invariant: str(claim.condition) for claim in V7.claims}
    assert loaded["designs"]["other"] == {"about": other.about, "axes": V7.axes(), "claims": claims}
    assert part(lines("--no-runs"), "What each design keeps")[-1].endswith("  Q other")


# With runs -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_story")
def test_with_runs_its_document_is_what_they_give() -> None:
    result = lbrlab(*ALONE, "--json")
    assert result.exit_code == 0
    assert document(result) == encoded(whole())


@pytest.mark.usefixtures("one_story")
def test_with_runs_its_markdown_is_too() -> None:
    assert lbrlab(*ALONE, "--markdown").stdout == as_markdown(whole())


@pytest.mark.usefixtures("one_story")
def test_the_runs_that_it_names_can_be_judged_again() -> None:
    for need in document(lbrlab(*ALONE, "--json"))["needs"]:
        checked = document(lbrlab("check", need["run"], "--json"))

        assert load_run(Path(need["run"])).design.name == need["design"]
        assert checked["verdict"] == "violated"
        assert [name for name, verdict in checked["invariants"].items() if verdict == "violated"] == need["broken"]
        assert (need["seq"], need["text"]) in {(v["seq"], v["text"]) for v in checked["violations"]}


@pytest.mark.usefixtures("one_story")
def test_what_each_design_breaks_is_printed() -> None:
    text = printed()
    found = whole().standings
    assert found is not None
    for head, told in (
        ("What each breaks in 1 scenarios", found.delivered),
        ("The same with the first Revoke lost, where there is one (drop Revoke 1)", found.lossy),
    ):
        rows = {line.split()[0]: line.split()[1:] for line in part(text, head)}
        letters = {"violated": "X1", "held": "+", "open": "o", "not exercised": "."}
        for invariant, by_design in told.items():
            assert rows[invariant] == [letters[worst.verdict] for worst in by_design.values()]


@pytest.mark.usefixtures("one_story")
def test_an_example_stands_for_the_scenarios_of_a_table() -> None:
    """A line for each invariant, not one for each invariant, design and fault."""
    broken = {"v7": Worst("violated", ["a", "b"]), "v8": Worst("held", ["a"]), "fenced": Worst("violated", ["a"])}
    assert examples({"one-owner": broken, "no-loss": {**broken, "v8": Worst("violated", ["b"])}}, list(broken)) == {
        "one-owner": {"a": ["A", "C"]},
        "no-loss": {"a": ["A", "C"], "b": ["B"]},
    }
    assert len(printed()) < 500


def test_faults_with_the_same_excuse_share_a_line() -> None:
    excuses = {"crash kvm": "It is gone.", "end vm": "As for crash kvm.", "crash perfcore": "It is at reset."}
    assert by_text(excuses) == {"It is gone.": ["crash kvm", "end vm"], "It is at reset.": ["crash perfcore"]}
    assert any(line.startswith("no-starvation, after end thread or end vm: ") for line in lines("--no-runs"))


@pytest.mark.usefixtures("one_story")
def test_what_each_kind_of_fault_breaks_is_printed() -> None:
    text = printed()
    at = text.index("What each breaks under which kind of fault, in 1 scenarios")
    shares = [line.split() for line in text[at + 2 : at + 4]]
    kept = {line.split()[0]: line.split()[1:] for line in text[at + 6 : at + 6 + len(INVARIANTS)]}
    assert [" ".join(row) for row in shares] == [" ".join(row).strip() for row in kind_rows(table(), list(DESIGNS))]
    assert kept == {name: cells for name, *cells in kept_rows(table(), list(DESIGNS))}


@pytest.mark.usefixtures("one_story")
def test_why_each_rule_is_needed_is_printed() -> None:
    text = part(printed(), f"Why {FENCED.name} needs each of its rules")
    expected = []
    for need in whole().needs or []:
        expected += [
            f"{need.rule:<5}{need.command}",
            f"     {', '.join(need.broken)}: {need.text}",
            f"     record {need.seq} of {need.run}",
        ]
    assert text == expected


@pytest.mark.usefixtures("one_story")
def test_no_line_ends_in_blanks() -> None:
    assert [line for line in [*printed(), *as_markdown(whole()).splitlines()] if line != line.rstrip()] == []


# Interrupted, and bad input --------------------------------------------------------------------------------


class Interrupted(DefaultStrategy):
    """Ctrl-C comes with the first decision."""

    def choose(self, *arguments: Any) -> NoReturn:
        raise KeyboardInterrupt


def interrupted(inputs: Inputs) -> Run:
    return run(dataclasses.replace(inputs, schedule=Schedule(other=Interrupted)))


@pytest.mark.usefixtures("one_story")
@pytest.mark.parametrize("where", [cell, claim], ids=["in the matrix", "where the rules are asked for"])
def test_interrupted_it_ends_in_130(where: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(where, "run", interrupted)
    result = lbrlab(*ALONE)

    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.strip() == "lbrlab: error: interrupted"


@pytest.mark.usefixtures("one_story")
def test_interrupted_later_it_prints_what_was_played(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the five tasks with all designs that are played, the last is not."""
    left = [4 * len(ALL)]

    def interrupted_late(inputs: Inputs) -> Run:
        left[0] -= 1
        return interrupted(inputs) if left[0] < 0 else run(inputs)

    monkeypatch.setattr(cell, "run", interrupted_late)
    result = lbrlab(*ALONE, "--json")
    told = document(result)

    assert (result.exit_code, told["cut_short"], told["needs"]) == (130, "interrupted", None)
    assert told["standings"] == encoded(whole())["standings"]
    partial, all_of_it = told["faulted"]["kinds"], encoded(whole())["faulted"]["kinds"]
    assert partial["none"] == all_of_it["none"]
    assert partial["drop"]["fenced"]["runs"] == all_of_it["drop"]["fenced"]["runs"] - 1


@pytest.mark.usefixtures("one_story")
def test_a_folder_that_cannot_be_written_is_bad_input() -> None:
    Path("lbrlab-runs").write_text("in the way")
    result = lbrlab(*ALONE)

    assert result.exit_code == 2
    assert "lbrlab-runs/contract/" in result.stderr
