"""Mutations of the production code, and the monitor that must notice each.

A module for each monitor has ``MUTATIONS``. ``tests.client.check.mutations.table`` puts them together, and
``tests/client/check/test_mutations.py`` tries them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from client.litmus import Scenario
from contract.design import Design

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change of the production code. ``about``: what the changed code does wrong. ``story`` and ``design``: a run
    that shows it, which breaks nothing of the kind without the change. ``alone``: no other monitor notices it there.
    ``faults``: those of the run, as on the command line."""

    name: str
    about: str
    patch: Patch
    story: Scenario
    design: Design
    alone: bool = False
    faults: tuple[str, ...] = ()


def attribute(owner: object, name: str, value: object) -> Patch:
    """Replace an attribute of a module or class by ``value``."""
    return lambda monkeypatch: monkeypatch.setattr(owner, name, value)


def entry(table: dict[Any, Any], key: object, value: object) -> Patch:
    """Replace an entry of a table, such as a table of handlers, by ``value``."""
    return lambda monkeypatch: monkeypatch.setitem(table, key, value)


def nothing(*_: object, **__: object) -> None:
    """A replacement for a function that does something."""
