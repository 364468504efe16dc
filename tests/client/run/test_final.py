"""The final condition on registers: one that was never set, and words."""

from __future__ import annotations

import re

import pytest

from client.litmus import ast as a
from client.litmus import parse
from client.litmus.text import term_text
from client.run.final import RegisterValues, result_of
from client.run.verdict import FinalResult, verdict_on
from contract.design import Design
from contract.errors import InputError
from tests.cases import cases
from tests.client.check.runs import trace
from tests.designs import FENCED, MERGED, V8

SET = a.Reg("vm0/0", "r0")
FIELD = a.Reg("host", "s0", "entries")
REGISTERS: RegisterValues = {"vm0/0:r0": 4, "vm0/0:gp": "#GP", "host:s0": {"entries": 2}, "host:none": "none"}
UNSET = [a.Reg("vm0/0", "never"), a.Reg("host", "s0", "guest"), a.Reg("host", "s1", "entries"), a.Reg("host", "s0")]


def witnessed(left: a.Term, op: str, right: a.Term) -> bool:
    return result_of(a.Final("exists", a.Compare(left, op, right)), REGISTERS, {}) == ("witnessed", "")


@cases("unset", UNSET)
@cases("other", [a.Int(0), a.Int(4), a.Word("#GP"), SET, FIELD, a.Reg("vm0/0", "other")])
def test_a_register_never_set_differs_from_everything_and_equals_nothing(unset: a.Reg, other: a.Term) -> None:
    assert witnessed(unset, "!=", other)
    assert not witnessed(unset, "=", other)


def test_registers_that_are_set() -> None:
    assert witnessed(SET, "=", a.Int(4))
    assert not witnessed(SET, "!=", a.Int(4))
    assert witnessed(FIELD, "<", SET)
    assert witnessed(FIELD, "<=", a.Int(2))
    assert not witnessed(FIELD, ">", a.Int(2))


ORDERS = ("<", "<=", ">", ">=")
ORDERED = {
    "skipped": a.Reg("vm0/0", "never"),
    "#GP": a.Reg("vm0/0", "gp"),
    "none": a.Reg("host", "none", "entries"),
}


@cases("op", ORDERS)
@cases("word", ORDERED)
@cases("quantifier", ["exists", "~exists", "forall"])
def test_the_order_of_what_is_no_number_is_undecided(quantifier: str, word: str, op: str) -> None:
    term = ORDERED[word]
    for sides in ((term, op, a.Int(0)), (a.Int(0), op, term), (SET, op, term)):
        for expr in (a.Compare(*sides), a.Not(a.Compare(*sides))):
            result, why = result_of(a.Final(quantifier, expr), REGISTERS, {})
            assert result == "undecided"
            assert why == (
                f"the condition compares '{term_text(term)}', which holds {word} and no number; "
                f"test it by '= {word}' first"
            )


def test_a_test_for_the_word_decides() -> None:
    fault = ORDERED["#GP"]
    ordered, is_fault = a.Compare(fault, ">", a.Int(3)), a.Compare(fault, "=", a.Word("#GP"))
    for args in ((is_fault, ordered), (ordered, is_fault)):
        assert result_of(a.Final("forall", a.Or(args)), REGISTERS, {}) == ("held", "")
        assert result_of(a.Final("forall", a.And((a.Not(is_fault), ordered))), REGISTERS, {}) == ("violated", "")


FAULTS = """LBR x machine {{ lbr = none; }} vm vm0 {{ lbr = on; }}
host, vm0/0 {{ host: run vm0/0 on cpu0; vm0/0: t = rdmsr 0x680; vm0/0: {}; }} {}
"""


def test_a_statement_and_a_condition_say_the_same_of_a_word() -> None:
    final = parse(FAULTS.format("hlt", "expect violated no-loss; forall (vm0/0:t > 3)"))
    found = verdict_on(final, trace(final, MERGED))
    told = "which holds #GP and no number; test it by '= #GP' first"
    assert found.verdict == "violated"
    assert found.final
    assert found.final.reason == f"the condition compares 'vm0/0:t', {told}"
    alone = parse(FAULTS.format("hlt", "forall (vm0/0:t > 3)"))
    found = verdict_on(alone, trace(alone, MERGED))
    assert (found.verdict, found.reason) == ("undecided", f"the condition compares 'vm0/0:t', {told}")
    statement = parse(FAULTS.format("if t > 3 { hlt; }", "").replace("};", "}"))
    with pytest.raises(InputError, match=f"vm0/0 compares 't', {re.escape(told)}"):
        trace(statement, MERGED)


def test_a_word_stands_for_every_field_of_what_failed() -> None:
    assert witnessed(a.Reg("host", "none", "entries"), "=", a.Word("none"))


R, S = a.Reg("user", "u"), a.Reg("vm0/0", "r0")
UNSET_IS_1, SET_IS_4, SET_IS_5 = (a.Compare(*c) for c in ((R, "=", a.Int(1)), (S, "=", a.Int(4)), (S, "=", a.Int(5))))


@cases(
    ("expr", "result"),
    [
        (UNSET_IS_1, "undecided"),
        (a.Not(UNSET_IS_1), "undecided"),
        (a.And((SET_IS_4, UNSET_IS_1)), "undecided"),
        (a.And((SET_IS_5, UNSET_IS_1)), "violated"),
        (a.Or((SET_IS_5, UNSET_IS_1)), "undecided"),
        (a.Or((UNSET_IS_1, SET_IS_4)), "held"),
        (a.Compare(S, "=", R), "undecided"),
    ],
)
def test_what_depends_on_an_unfinished_actor_is_undecided(expr: a.Expr, result: str) -> None:
    opposite = {"held": "violated", "violated": "held", "undecided": "undecided"}[result]
    exists = {"held": "witnessed", "violated": "not witnessed", "undecided": "undecided"}[result]
    for quantifier, expected in (("forall", result), ("~exists", opposite), ("exists", exists)):
        assert result_of(a.Final(quantifier, expr), REGISTERS, {}, {"user"}) == (expected, "")
    assert result_of(a.Final("forall", UNSET_IS_1), REGISTERS, {}, {"vm0/0"}) == ("violated", "")


NEVER = """LBR x vm vm0 { lbr = on; }
user { u = set vm0/0 LBR_TOS, 7; } host, vm0/0 { host: run vm0/0 on cpu0; vm0/0: r = rdmsr DEBUGCTL; }
forall (user:u = 1 /\\ vm0/0:r = 0)"""


def test_a_thread_that_never_ran_leaves_its_condition_undecided() -> None:
    scenario = parse(NEVER.replace("run vm0/0 on cpu0", "branch 1 on cpu0"))
    records = trace(scenario, V8)
    found = verdict_on(scenario, records)
    assert (found.verdict, found.final.result if found.final else "") == ("undecided", "undecided")
    assert int(found.exit_code) == 4
    cut = verdict_on(scenario, records[:3])
    assert (cut.verdict, cut.final.result if cut.final else "") == ("undecided", "undecided")

    finished = parse(NEVER.replace("LBR_TOS, 7", "DEBUGCTL, 0"))
    assert verdict_on(finished, trace(finished, MERGED)).verdict == "held"


def test_what_the_others_settle_is_settled() -> None:
    scenario = parse("""LBR x vm vm0 { lbr = on; } user { u = set vm0/0 LBR_TOS, 7; } host { s = mux 1ms; }
        forall (user:u = 1 /\\ host:s = EINVAL)""")
    assert verdict_on(scenario, trace(scenario, V8)).verdict == "violated"


STORY = """LBR x host { e = open cpu0 pinned branch any; } forall (host:e.state = ERROR) under v8, merged"""


@cases(("design", "result", "verdict"), [(V8, "violated", "violated"), (FENCED, "not asked", "undecided")])
def test_a_condition_is_asked_of_the_designs_that_it_names(design: Design, result: str, verdict: str) -> None:
    scenario = parse(STORY)
    found = verdict_on(scenario, trace(scenario, design))
    assert found.final == FinalResult("forall (host:e.state = ERROR) under v8, merged", result)
    assert found.verdict == verdict
