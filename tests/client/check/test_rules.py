"""Each rule of the contract is judged by some invariant, or there is a reason why not."""

from __future__ import annotations

from client.check.judge import MONITORS
from client.check.rules import UNJUDGED, judged_by
from contract.rules import RULES
from tests.cases import cases
from tests.rules.table import BY_AXIS, TABLE, Removed


def test_each_rule_has_a_judge_or_a_reason() -> None:
    judges = judged_by()
    assert list(judges) == [rule.id for rule in RULES]
    assert {rule for rule, names in judges.items() if not names} == set(UNJUDGED)


def test_monitors_judge_rules_that_there_are() -> None:
    assert {rule for each in MONITORS for rule in each.definition.rules} <= {rule.id for rule in RULES}


@cases("row", [row for row in TABLE if row.cores is None], ids=lambda row: f"{row.rule} {row.without.__name__}")
def test_a_rule_that_is_taken_away_breaks_one_of_its_judges(row: Removed) -> None:
    """``tests/rules/test_removed.py`` shows that the run breaks these. For R5 and R24 both cores are driven by hand."""
    assert row.broken & set(judged_by()[row.rule])


@cases("rule", BY_AXIS)
def test_so_does_a_rule_that_an_axis_takes_away(rule: str) -> None:
    assert BY_AXIS[rule].broken & set(judged_by()[rule])
