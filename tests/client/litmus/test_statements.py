"""A statement is a row: each class has text, documentation, examples, checks and a command, wherever it is used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import fields, replace

from client.drive import play
from client.litmus import ast as a
from client.litmus import format_scenario, parse, validate
from client.litmus.execution import Execution
from client.litmus.reference import example
from client.litmus.statements import BY_SPEAKER, STATEMENTS, statements_of, verbs_of
from client.run.run import Inputs, run
from contract.errors import InputError
from contract.trace import End, Statement
from contract.x86 import lbr_model
from tests.cases import cases
from tests.designs import DESIGNS

ROOT = Path(__file__).parents[3]


def steps_of(steps: tuple[a.LitmusStep, ...] | list[a.LitmusStep]) -> Iterator[a.LitmusStep]:
    for step in steps:
        yield step
        for body in a.bodies(step.stmt).values():
            yield from steps_of(body)


def said() -> list[a.LitmusStep]:
    """Each statement of the reference."""
    return [step for block in parse(example()).blocks for step in steps_of(block.steps)]


def of_kind(kind: type[a.Stmt]) -> list[a.LitmusStep]:
    found = [step for step in said() if type(step.stmt) is kind]
    assert found
    return found


def leaves(kind: type) -> set[type]:
    below: list[type] = kind.__subclasses__()
    return {leaf for each in below for leaf in leaves(each)} if below else {kind}


def test_no_statement_is_forgotten() -> None:
    assert set(STATEMENTS) == leaves(a.Stmt)
    assert len(set(STATEMENTS)) == len(STATEMENTS)
    assert [kind for speaker, kinds in BY_SPEAKER.items() for kind in kinds if kind.speaker != speaker] == []


@cases("kind", STATEMENTS)
def test_it_is_documented(kind: type[a.Stmt]) -> None:
    assert kind.__doc__
    assert "``" in kind.__doc__
    assert kind.examples
    assert all(about for _, about in kind.examples)


def test_the_text_of_each_reads_back() -> None:
    story = parse(example())
    assert parse(format_scenario(story)) == story
    assert {type(step.stmt) for step in said()} == set(STATEMENTS)


@cases("kind", [kind for kind in STATEMENTS if kind is not a.Assign])
def test_its_text_begins_with_a_verb_of_the_grammar(kind: type[a.Stmt]) -> None:
    assert {step.stmt.action().split()[0] for step in of_kind(kind)} <= set(verbs_of(kind.speaker))


@cases("kind", STATEMENTS)
def test_each_of_its_rules_has_an_example(kind: type[a.Stmt]) -> None:
    """Two statements share a rule if their actor, or the thing that they name, tells them apart."""
    texts = [text for text, _ in kind.examples]
    for rule in kind.rules.values():
        begin = re.match(r"\(?([A-Z_]+)", rule)
        assert begin is None or any(re.search(rf"\b{begin[1].lower()}\b", text) for text in texts)


BAD: dict[type, Any] = {int: -7, str: "no such", tuple: (), a.MsrRef: a.MsrRef("no such"), type(None): "no such"}
BAD_CONDITION = a.Test("no such", "=", 1)
CHECKED = [
    (kind, field.name)
    for kind in STATEMENTS
    for field in fields(kind)
    if field.type is not bool and field.name not in kind.blocks
]


def spoilt(value: object) -> object:
    """A value of the same type that no statement can have there."""
    if isinstance(value, a.Test | a.AllOf | a.AnyOf):
        return BAD_CONDITION
    if isinstance(value, a.Arith | a.Inverse):
        return "no such"
    if isinstance(value, tuple) and all(isinstance(each, str) for each in value):
        return ("no such",)
    return BAD[type(value)]


@cases(("kind", "field"), CHECKED)
def test_each_of_its_operands_is_checked(kind: type[a.Stmt], field: str) -> None:
    story = parse(example())
    steps = [step for block in story.blocks for step in steps_of(block.steps) if type(step.stmt) is kind]
    for step in steps:
        value = getattr(step.stmt, field)
        if isinstance(value, bool):
            continue
        good = step.stmt
        step.stmt = replace(good, **{field: spoilt(value)})
        with pytest.raises(InputError):
            validate(story)
        step.stmt = good
    validate(story)


def execution(step: a.LitmusStep) -> Execution:
    numbers = dict.fromkeys("acmnpruvw", 1)
    return Execution(lbr_model("skylake", 8), numbers, lambda register: f"{step.actor}:{register}")


@cases("kind", [kind for kind in STATEMENTS if not issubclass(kind, a.ProgramStmt)])
def test_it_has_a_command(kind: type[a.Stmt]) -> None:
    for step in of_kind(kind):
        stmt = step.stmt
        if kind in play._ANSWERS:
            with pytest.raises(NotImplementedError):
                stmt.command(execution(step))  # type: ignore[union-attr]
        elif isinstance(stmt, a.GuestStmt):
            assert {type(op).__module__ for op in stmt.ops(execution(step))} == {"contract.machine"}
        else:
            assert isinstance(stmt, a.HostStmt | a.UserStmt)
            assert type(stmt.command(execution(step))).__module__ == "contract.control"


def test_every_statement_can_be_played() -> None:
    """Without the two that keep the others from a CPU: an idle CPU, and an ioctl of a task that is on none."""
    story = parse(example().replace("    idle cpu0;\n", "").replace(" from t0", ""))
    played = run(Inputs(story, DESIGNS["merged"]))
    texts = {record.text for record in played.records if isinstance(record, Statement)}
    steps = [step.stmt for block in story.blocks for step in steps_of(block.steps)]
    assert played.failure is None
    assert {stmt.text() for stmt in steps if not isinstance(stmt, a.ProgramStmt)} == texts
    assert {type(stmt) for stmt in steps} == set(STATEMENTS)
    assert next(record.unfinished for record in played.records if isinstance(record, End)) == {}


def test_the_lists_in_messages_are_the_rows() -> None:
    assert statements_of("guest")[:3] == ["wrmsr", "rdmsr", "rdpmc"]
    assert statements_of("host")[-6:] == ["repeat", "for", "while", "if", "break", "NAME = ..."]


def test_hlt_is_in_four_files() -> None:
    """The package's own text on adding a statement: the driver, the printer and the reports know no statement."""
    sources = [
        path for folder in ("client", "contract", "kvm_svc", "perfcore_svc") for path in (ROOT / folder).rglob("*.py")
    ]
    sources += [*(ROOT / "protos").rglob("*.proto"), *(ROOT / "client").rglob("*.lark")]
    found = {
        str(path.relative_to(ROOT))
        for path in sources
        if re.search(r"\b(GuestHlt|Hlt|HLT|EXIT_HLT)\b", re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL))
    }
    assert found == {
        "client/litmus/statements/guest.py",
        "contract/machine.py",
        "protos/lbrlab/v1/machine.proto",
        "kvm_svc/hypervisor/run.py",
    }
