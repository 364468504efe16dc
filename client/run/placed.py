"""Rules of faults from a command line, a file or a page, each with its place, and the scenarios that they fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from client.litmus import Scenario
from client.litmus.fault import FaultRule
from client.litmus.fault_rules import parse_fault
from client.litmus.spelling import quote
from client.litmus.validate_faults import misfit
from contract.errors import InputError


class PlacedRule(NamedTuple):
    """``place``: the place of the rule in error messages."""

    rule: FaultRule
    place: str


def placed(rules: Iterable[str | FaultRule], place: str = "--fault") -> tuple[PlacedRule, ...]:
    """Rules of faults, parsed where they are texts. ``place`` is the name of the argument in error messages."""
    return tuple(
        PlacedRule(parse_fault(rule, place) if isinstance(rule, str) else rule, f"{place} {quote(str(rule))}")
        for rule in rules
    )


def fitting(rules: Sequence[PlacedRule], scenarios: Sequence[Scenario]) -> dict[str, list[str]]:
    """The text of each rule that names what some of the scenarios do not have, to the names of these scenarios. Raises
    InputError with the place of a rule that fits none of the scenarios."""
    found: dict[str, list[str]] = {}
    for rule, place in rules:
        flaws = {scenario.name: flaw[0] for scenario in scenarios if (flaw := misfit(scenario, rule))}
        if flaws and len(flaws) == len(scenarios):
            name, why = next(iter(flaws.items()))
            raise InputError(f"{why} (scenario {name})", place)
        if flaws:
            found[str(rule)] = list(flaws)
    return found
