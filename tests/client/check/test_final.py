"""The final condition on registers: one that was never set, and words."""

from __future__ import annotations

import pytest

from client.check.final import Registers, result_of
from client.check.verdict import FinalResult, verdict_on
from client.litmus import ast as a
from client.litmus import parse
from contract.design import Design
from tests.client.check.runs import trace
from tests.designs import FENCED, V8

SET = a.Reg("vm0/0", "r0")
FIELD = a.Reg("host", "s0", "entries")
REGISTERS: Registers = {"vm0/0:r0": 4, "vm0/0:gp": "#GP", "host:s0": {"entries": 2}, "host:none": "none"}
UNSET = [a.Reg("vm0/0", "never"), a.Reg("host", "s0", "guest"), a.Reg("host", "s1", "entries"), a.Reg("host", "s0")]


def witnessed(left: a.Term, op: str, right: a.Term) -> bool:
    return result_of(a.Final("exists", a.Compare(left, op, right)), REGISTERS, {}) == "witnessed"


@pytest.mark.parametrize("unset", UNSET)
@pytest.mark.parametrize("other", [a.Int(0), a.Int(4), a.Word("#GP"), SET, FIELD, a.Reg("vm0/0", "other")])
def test_a_register_never_set_differs_from_everything_and_equals_nothing(unset: a.Reg, other: a.Term) -> None:
    assert witnessed(unset, "!=", other)
    assert not witnessed(unset, "=", other)
    assert not any(witnessed(unset, op, other) for op in ("<", "<=", ">", ">="))


def test_registers_that_are_set() -> None:
    assert witnessed(SET, "=", a.Int(4))
    assert not witnessed(SET, "!=", a.Int(4))
    assert witnessed(FIELD, "<", SET)
    assert witnessed(FIELD, "<=", a.Int(2))
    assert not witnessed(FIELD, ">", a.Int(2))


def test_words_have_no_order() -> None:
    fault = a.Reg("vm0/0", "gp")
    assert witnessed(fault, "=", a.Word("#GP"))
    assert not any(witnessed(fault, op, a.Int(0)) for op in ("<", "<=", ">", ">="))


def test_a_word_stands_for_every_field_of_what_failed() -> None:
    assert witnessed(a.Reg("host", "none", "entries"), "=", a.Word("none"))


STORY = """LBR x host { e = open cpu0 pinned branch any; } forall (host:e.state = ERROR) under v8, merged"""


@pytest.mark.parametrize(
    ("design", "result", "verdict"), [(V8, "violated", "violated"), (FENCED, "not asked", "undecided")]
)
def test_a_condition_is_asked_of_the_designs_that_it_names(design: Design, result: str, verdict: str) -> None:
    scenario = parse(STORY)
    found = verdict_on(scenario, trace(scenario, design))
    assert found.final == FinalResult("forall (host:e.state = ERROR) under v8, merged", result)
    assert found.verdict == verdict
