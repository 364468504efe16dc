"""A ``let`` stands wherever a statement takes a number."""

from __future__ import annotations

import re

import pytest

from client import api
from client.litmus import format_scenario, parse
from client.litmus.statements import STATEMENTS
from client.run.choose import with_lets
from contract.errors import InputError
from tests.cases import cases

TEXT = """LBR lets
machine { cpus = 2; }
let n = 5;
let leaf = 0xa;
let port = 0x80;
vm vm0 { vcpus = 1; lbr = on; pmu = 2; }
host { run vm0/0 on cpu0; h = open cpu1 pinned branch any period n; branch n call user on cpu1; s = sample h; }
vm0/0 { branch n; c = cpuid leaf eax; out port; repeat n { branch n jcc user; } }
"""


def test_each_rule_that_takes_a_number_takes_a_let() -> None:
    rules = [rule for kind in STATEMENTS for rule in (*kind.rules.values(), *kind.parts.values()) if "NUMBER" in rule]
    assert len(rules) >= 4
    assert [rule for rule in rules if "NUMBER" in rule.replace("(NUMBER | WORD)", "")] == []


def test_a_let_is_its_number() -> None:
    scenario = parse(TEXT)
    numbers = re.sub(r"\bport;", "0x80;", re.sub(r"\bleaf eax", "0xa eax", re.sub(r"\bn\b(?! =)", "5", TEXT)))
    one, other = (api.run(parse(text), "fenced") for text in (TEXT, numbers))
    assert one.verdict.outcome == other.verdict.outcome
    assert one.operations == other.operations
    assert parse(format_scenario(scenario)) == scenario


def test_another_number_gives_another_run() -> None:
    more = with_lets(parse(TEXT), ["n=7"])
    samples = [api.run(scenario, "fenced").register("host:s.host") for scenario in (parse(TEXT), more)]
    assert samples == [5, 7]


@cases(
    ("before", "after", "said"),
    [
        ("branch n;", "branch m;", ":8:16: expected a number or the name of a let, found 'm'"),
        ("branch n;", "branch call;", ":8:16: expected a number or the name of a let, found 'call'"),
        ("period n", "period nn", ":7:66: expected a number or the name of a let, found 'nn', did you mean 'n'?"),
        ("n = 5", "n = 0", "period = 0 is impossible, expected 1 to"),
        ("leaf = 0xa", "leaf = 0xb", "leaf 0xb of CPUID is not modelled"),
        ("port = 0x80", "port = 0x10000", "not an I/O port: 0x10000"),
    ],
)
def test_errors(before: str, after: str, said: str) -> None:
    assert before in TEXT
    with pytest.raises(InputError, match=re.escape(said)):
        parse(TEXT.replace(before, after))
