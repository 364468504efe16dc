"""The reference of the language is the language."""

from __future__ import annotations

import typing

from client.litmus import ast as a
from client.litmus import format_scenario, parse
from client.litmus.reference import example


def kinds(steps: typing.Iterable[a.Step]) -> set[type]:
    found: set[type] = set()
    for step in steps:
        found |= {type(step.stmt)}
        for body in a.bodies(step.stmt).values():
            found |= kinds(body)
    return found


def test_every_statement_has_an_example_that_parses() -> None:
    story = parse(example())
    said = {kind for block in story.blocks for kind in kinds(block.steps)}
    assert said == set(typing.get_args(a.AnyStmt))
    assert parse(format_scenario(story)) == story
