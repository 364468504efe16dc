"""The reference of the language is the language."""

from __future__ import annotations

import re
import typing

import pytest
from lark.lexer import PatternStr

from client.litmus import ast as a
from client.litmus import format_scenario, parse
from client.litmus.diagnose import _VERBS
from client.litmus.grammar import KEYWORDS
from client.litmus.lower import MACHINE_SETTINGS, VM_SETTINGS
from client.litmus.parser import grammar
from client.litmus.reference import END, HEAD, SETTINGS, STATEMENTS, WORDS, ScenarioSetting, example
from client.litmus.statements import statements_of
from contract.errors import InputError
from tests.cases import cases

EXAMPLES = [text for texts in (HEAD, *STATEMENTS.values(), END) for text, _ in texts]


def kinds(steps: typing.Iterable[a.LitmusStep]) -> set[type]:
    found: set[type] = set()
    for step in steps:
        found |= {type(step.stmt)}
        for body in a.bodies(step.stmt).values():
            found |= kinds(body)
    return found


@cases("end", range(1, len(END)))
def test_every_statement_has_an_example_that_parses(end: int) -> None:
    story = parse(example(end))
    said = {kind for block in story.blocks for kind in kinds(block.steps)}
    assert said == set(typing.get_args(a.AnyStmt))
    assert story.final is not None
    assert END[end][0].startswith(story.final.quantifier)
    assert parse(format_scenario(story)) == story


@cases("keyword", sorted(KEYWORDS))
def test_every_keyword_of_the_grammar_has_an_example(keyword: str) -> None:
    assert any(re.search(rf"(?<![\w-]){keyword}(?![\w-])", text) for text in EXAMPLES)


@cases("keys", [MACHINE_SETTINGS, VM_SETTINGS])
def test_every_setting_has_an_example(keys: tuple[str, ...]) -> None:
    verb = "machine" if keys is MACHINE_SETTINGS else "vm"
    said = {key for text in EXAMPLES if text.startswith(f"{verb} ") for key in re.findall(r"(\w+) = ", text)}
    assert said == set(keys)


LIMITS = [(block, key, setting) for block, settings in SETTINGS.items() for key, setting in settings.items()]


def set_to(block: str, key: str, value: object) -> a.Scenario:
    return parse(f"LBR x {block}{' vm0' if block == 'vm' else ''} {{ {key} = {value}; }}")


@cases(("block", "key", "setting"), LIMITS)
def test_a_setting_is_what_is_told_where_nothing_is_said(block: str, key: str, setting: ScenarioSetting) -> None:
    silent = parse(f"LBR x {block}{' vm0' if block == 'vm' else ''} {{ }}")
    if setting.default in ("that of the LBR", "as the host"):
        spec = silent.vms[0] if silent.vms else silent.machine
        assert getattr(spec, key) in (0, None)
    elif key == "kvm":
        assert silent.home("vm0") == set_to(block, key, setting.default).home("vm0")
    else:
        assert set_to(block, key, setting.default) == silent


@cases(("block", "key", "setting"), LIMITS)
def test_a_setting_takes_the_values_that_are_told_and_no_others(block: str, key: str, setting: ScenarioSetting) -> None:
    if limits := re.fullmatch(r"(\d+) to (\d+)", setting.values):
        least, most = map(int, limits.groups())
        right, wrong = [str(least), str(most)], [str(most + 1), *([str(least - 1)] if least else [])]
    elif key in ("depth", "kvm"):
        right, wrong = [], ["3", "1024"] if key == "depth" else ["kvm9"]
    else:
        right, wrong = setting.values.split(", "), ["nonsuch"]
    for value in right:
        set_to(block, key, value)
    for value in wrong:
        with pytest.raises(InputError):
            set_to(block, key, value)


def test_every_sign_of_the_grammar_has_an_example() -> None:
    fixed = {str(t.pattern.value) for t in grammar().terminals if isinstance(t.pattern, PatternStr)}
    shown = "".join(EXAMPLES) + "".join(about for texts in STATEMENTS.values() for _, about in texts)
    assert {sign for sign in fixed - KEYWORDS if sign not in shown} == set()


def test_the_statements_that_can_stand_somewhere_are_those_of_the_grammar() -> None:
    texts = {t.name: str(t.pattern.value) for t in grammar().terminals if isinstance(t.pattern, PatternStr)}
    begins = set(statements_of("host", "guest", "user"))
    assert begins == {texts[name] for name in _VERBS} | {"NAME = ..."}


def test_words_are_what_the_parser_takes() -> None:
    """Each vocabulary in the place where it stands."""
    places = {
        "LBR models": "machine {{ lbr = {}; }}",
        "kernels": "machine {{ kernel = {}; }}",
        "VM models": "vm vm0 {{ model = {}; }}",
        "branch filters of events": "host {{ h = open cpu0 branch {}; }}",
        "kinds of branches": "host {{ branch 1 {} on cpu0; }}",
        "counted events": "host {{ h = open cpu0 counter {}; }}",
        "verdicts": "expect {} no-loss;",
        "invariants": "expect held {};",
        "units of time": "host {{ advance 1{}; }}",
    }
    for what, place in places.items():
        for word in WORDS[what]:
            parse(f"LBR x {place.format(word)}")
        with pytest.raises(InputError):
            parse(f"LBR x {place.format('nonsuch')}")
    for msr in WORDS["MSRs"]:
        index = "[0]" if msr in ("LBR_FROM", "LBR_TO", "LBR_INFO") else ""
        parse(f"LBR x vm vm0 {{ }} vm0/0 {{ r = rdmsr {msr}{index}; }}")
    for bit in WORDS["bits of MSRs"]:
        parse(f"LBR x vm vm0 {{ }} vm0/0 {{ r = {bit}; }}")
