"""``expect`` lines: what they say, and what is wrong with one."""

from __future__ import annotations

import pytest

from client.litmus import Scenario, Story, VmSpec, format_scenario, parse, validate
from client.litmus import ast as a
from client.litmus.words import VERDICTS
from contract.errors import InputError
from contract.invariants import INVARIANTS
from tests.cases import cases

TEXT = """LBR x
vm vm0 { lbr = on; }
expect violated no-loss, no-leak under v7, merged;
expect held one-owner;
forall (invariant no-leak = violated) under v7
expect not-exercised recovers under fenced;
"""
EXPECTS = [
    a.Expect("violated", ("no-loss", "no-leak"), ("v7", "merged")),
    a.Expect("held", ("one-owner",)),
    a.Expect("not-exercised", ("recovers",), ("fenced",)),
]


def test_they_stand_before_or_behind_the_condition() -> None:
    story = parse(TEXT)
    assert story.expects == EXPECTS
    assert story.final is not None
    assert parse(format_scenario(story)) == story


def test_open_is_a_verdict_and_a_statement() -> None:
    story = parse("LBR x expect open recovers; forall (invariant recovers = open)")
    assert story.expects == [a.Expect("open", ("recovers",))]
    assert story.final == a.Final("forall", a.Compare(a.Invariant("recovers"), "=", a.Word("open")))


def test_in_python() -> None:
    story = Story("x", vms=[VmSpec("vm0")]).expect("violated", "no-loss", "no-leak", under=("v7", "merged")).scenario()
    assert story.expects == EXPECTS[:1]


@cases(
    ("line", "message"),
    [
        (
            "expect faulty no-loss;",
            f"2:8: unknown verdict 'faulty', expected {', '.join(VERDICTS[:-1])} or {VERDICTS[-1]}",
        ),
        ("expect violated no-los;", "2:17: unknown invariant 'no-los', did you mean 'no-loss'?"),
        ("expect violated;", "2:16: expected a name, found ';'"),
        ("expect violated no-loss", "2:24: expected ',', ';' or 'under', found the end of the text"),
        ("expect violated no-loss under cpu0;", "2:31: expected a name, found 'cpu0'"),
        ("expect violated no-loss under v7, v7;", "2:35: 'v7' cannot name a design here: malformed, or named before"),
        ("expect violated no-loss, no-loss;", "2:26: a verdict of 'no-loss' is expected twice"),
        ("expect violated no-loss; expect held no-loss under v7;", "2:38: a verdict of 'no-loss' is expected twice"),
    ],
)
def test_errors(line: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(f"LBR x\n{line}\n", "s.litmus")
    assert str(caught.value) == f"s.litmus:{message}"


def test_one_verdict_for_each_design() -> None:
    parse("LBR x expect violated no-loss under v7; expect held no-loss under fenced, merged;")


def test_a_line_without_invariants_is_refused() -> None:
    with pytest.raises(InputError, match="x: expect violated : expect needs an invariant"):
        validate(Scenario("x", expects=[a.Expect("violated", ())]))
    assert "no-loss" in INVARIANTS
