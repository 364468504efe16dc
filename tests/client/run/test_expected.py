"""Violations that are expected, and expectations that are not met."""

from __future__ import annotations

from client.litmus import parse
from client.run.verdict import Verdict, verdict_on
from contract.trace import AnyRecord
from tests.cases import cases
from tests.client.check.runs import trace
from tests.designs import FENCED, MERGED

STORY = """LBR x machine { cpus = 1; lbr = skylake; depth = 8; }
vm vm0 { lbr = on; }
host, vm0/0 {
    host:  run vm0/0 on cpu0;
    vm0/0: wrmsr DEBUGCTL, LBR;
    vm0/0: branch 4;
    host:  h = open cpu0 pinned branch any;
    host:  branch 3;
    vm0/0: branch 2;
    vm0/0: n = rdmsr LBR_TOS;
    host:  s = sample h;
}
"""
"""merged breaks one-owner and others in it; fenced breaks nothing."""
RECORDS = {MERGED.name: trace(parse(STORY), MERGED), FENCED.name: trace(parse(STORY), FENCED)}
BROKEN = [f.invariant for f in verdict_on(parse(STORY), RECORDS["merged"]).findings if f.verdict == "violated"]
ALL = ", ".join(BROKEN)


def verdict(end: str, design: str = "merged", records: list[AnyRecord] | None = None) -> Verdict:
    return verdict_on(parse(STORY + end), records or RECORDS[design])


def summary(found: Verdict) -> tuple[str, list[str], int]:
    return found.verdict, found.surprises, int(found.exit_code)


def test_the_story_breaks_more_than_one() -> None:
    assert len(BROKEN) > 1
    assert summary(verdict("")) == ("violated", BROKEN, 1)
    assert summary(verdict("", "fenced")) == ("held", [], 0)


@cases("under", ["", " under merged", " under v7, merged"])
def test_an_expected_violation_is_green(under: str) -> None:
    found = verdict(f"expect violated {ALL}{under};")
    assert summary(found) == ("expected", [], 0)
    assert found.reason.startswith(f"{ALL} violated as expected; ")


def test_another_violation_is_not() -> None:
    found = verdict(f"expect violated {BROKEN[0]};")
    assert summary(found) == ("violated", BROKEN[1:], 1)
    assert found.reason == ", ".join(BROKEN[1:])


def test_an_expected_violation_that_did_not_happen_is_not() -> None:
    found = verdict("expect violated one-owner under fenced;", "fenced")
    assert summary(found) == ("violated", ["expect violated one-owner"], 1)
    assert found.reason.startswith("one-owner is ")
    assert found.reason.endswith(", expected violated")
    assert summary(verdict("expect violated one-owner under merged;", "fenced")) == ("held", [], 0)


def test_what_is_expected_of_another_design_does_not_count() -> None:
    assert summary(verdict(f"expect violated {ALL} under v7;")) == ("violated", BROKEN, 1)


def test_other_verdicts_can_be_expected() -> None:
    met = "expect held agreement; expect not-exercised revoke-completes under merged;"
    assert summary(verdict(met, "fenced")) == ("held", [], 0)
    found = verdict("expect held revoke-completes;", "merged")
    assert found.surprises == [*BROKEN, "expect held revoke-completes"]
    assert found.reason.endswith("; revoke-completes is not exercised, expected held")
    found = verdict(f"expect held {BROKEN[0]};")
    assert summary(found) == ("violated", BROKEN, 1)


CONDITIONS = {
    "forall": " /\\ ".join(f"invariant {name} = violated" for name in BROKEN),
    "~exists": " \\/ ".join(f"invariant {name} != violated" for name in BROKEN),
}


@cases("quantifier", CONDITIONS)
def test_a_true_condition_that_states_the_violations_is_green(quantifier: str) -> None:
    found = verdict(f"{quantifier} ({CONDITIONS[quantifier]})")
    assert found.final is not None
    assert found.final.result == "held"
    assert summary(found) == ("expected", [], 0)


def test_only_what_it_states() -> None:
    first, *others = BROKEN
    assert verdict(f"forall (invariant {first} = violated)").surprises == others
    assert verdict(f"forall (~ invariant {first} != violated /\\ host:h.state = ACTIVE)").surprises == others
    assert verdict(f"forall (invariant {first} = violated \\/ host:h.state = ERROR)").surprises == others
    for silent in (f"~ invariant {first} = held", f"~ (invariant {first} = violated /\\ host:h.state = ERROR)"):
        assert verdict(f"forall ({silent})").surprises == BROKEN


def test_a_condition_that_is_false_or_asks_states_nothing() -> None:
    first = BROKEN[0]
    false = verdict(f"forall (invariant {first} = violated /\\ host:h.state = ERROR)")
    assert false.surprises == [*BROKEN, "condition"]
    assert verdict(f"exists (invariant {first} = violated)").surprises == BROKEN
    assert verdict(f"forall (invariant {first} = violated) under v7").surprises == BROKEN


def test_a_run_that_is_not_over_cannot_be_as_expected() -> None:
    records = RECORDS["merged"]
    assert summary(verdict(f"expect violated {ALL};", records=records[:-1]))[0] == "undecided"
    assert summary(verdict(f"expect violated {ALL};", records=records[:9])) == ("undecided", ["undecided"], 4)
    more = "expect violated revoke-completes;"
    assert verdict(more, records=records[:-1]).surprises == BROKEN
