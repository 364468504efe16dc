"""Traces, checkers over them, their states and the keys of these."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import cache
from random import Random
from typing import Any

from client.check.judge import Checker
from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.schedule import Schedule
from contract.canonical import canonical
from contract.design import Design
from contract.lbr_ring import LbrRing
from contract.trace import AnyRecord, Setup
from tests.client.check.runs import trace
from tests.library import library_scenario
from tests.schedules import Reckless
from tests.stories.played import story_of


@cache
def records_of(name: str, design: Design) -> list[AnyRecord]:
    """A scenario of the library."""
    return trace(library_scenario(name), design)


def story_records(seed: int, design: Design) -> list[AnyRecord]:
    """A random story under a random schedule."""
    schedule = Schedule(other=lambda: Reckless(Random(~seed)))
    return run(Inputs(story_of(seed), design, schedule)).records


def checked(records: Sequence[AnyRecord], *, evidence: bool = True) -> Checker:
    """A checker that has taken these records."""
    setup = records[0]
    assert isinstance(setup, Setup)
    checker = Checker(setup, evidence=evidence)
    for record in records:
        checker.take(record)
    return checker


def key_of(checker: Checker, now: int = 0) -> Hashable:
    return canonical(checker.key(), now)


# State ---------------------------------------------------------------------------------------------------

NOT_STATE: dict[type, dict[str, str]] = {
    LbrRing: {"model": "given by Setup"},
    Checker: {"automata": "the world and the monitors once more"},
}


def slots(kind: type) -> set[str]:
    return {name for base in kind.__mro__ for name in base.__dict__.get("__slots__", ())}


def state(kind: type) -> set[str]:
    """The slots that must be in clone() and in key()."""
    return slots(kind) - set(getattr(kind, "CONFIGURATION", NOT_STATE.get(kind, {})))


def parts(value: Any) -> Iterator[Any]:
    """The state objects in a value, itself among them."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from parts(each)
    elif hasattr(type(value), "clone"):
        yield value
        for name in state(type(value)):
            yield from parts(getattr(value, name))


def size(checker: Checker) -> int:
    """How many values its state holds."""
    return sum(_count(getattr(part, name)) for part in parts(checker) for name in state(type(part)))


def _count(value: Any) -> int:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    return sum(map(_count, value)) if isinstance(value, list | tuple | set | frozenset) else 1
