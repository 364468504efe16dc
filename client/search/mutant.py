"""Planted bugs: proof that the search finds bugs. A registry is a module of tests with ``MUTANTS`` and ``CONTROLS``."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import msgspec

from client.search.chunk import Suspect, play_part
from client.search.plan import Plan
from client.search.state import CampaignState
from client.search.witness import witness
from contract.design import Design
from contract.errors import InputError


@dataclass(frozen=True, slots=True)
class Mutant:
    """``plant``: changes the code of this process while its context is open. ``design``: the design that is searched.
    Where the design itself is the bug, nothing is planted. ``without``: kinds of faults that the design does not
    survive without the bug, so they are left out."""

    name: str
    about: str
    design: Design
    plant: Callable[[], AbstractContextManager[object]] = nullcontext
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Control:
    """A design without a bug, in which a search must find nothing. ``without``: as of a mutant."""

    design: Design
    without: tuple[str, ...] = ()


class Score(msgspec.Struct):
    """``found``: the violated invariant, null if none was. ``runs``, ``seconds``: until it was found, or in all.
    ``shrunk_in``: seconds of shrinking. ``steps``, ``statements``, ``faults``, ``text``: of the shrunk witness."""

    name: str
    about: str
    found: str | None
    runs: int
    seconds: float
    shrunk_in: float = 0.0
    steps: int = 0
    statements: int = 0
    faults: list[str] = []
    text: str = ""


def load_registry(module: str) -> tuple[list[Mutant], list[Control]]:
    """The mutants of a registry, and its controls. Raises InputError."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.import_module(module)
        mutants, controls = list(found.MUTANTS), list(found.CONTROLS)
    except (ImportError, AttributeError) as error:
        raise InputError(f"no registry of planted bugs: {error}", module) from None
    names = [mutant.name for mutant in mutants]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"two mutants are called {twice!r}", module)
    return mutants, controls


def seek(plan: Plan, module: str, name: str, limit: int) -> Score:
    """Search for one mutant with at most ``limit`` runs, and shrink the first run that counts. The plan has the design
    of the mutant; nothing else of the search knows it."""
    mutant = next(mutant for mutant in load_registry(module)[0] if mutant.name == name)
    with mutant.plant():
        return hunt(plan, name, mutant.about, limit)


def hunt(plan: Plan, name: str, about: str, limit: int) -> Score:
    """Search for anything that counts, and shrink it."""
    state = CampaignState(plan)
    begun = time.monotonic()
    while (part := state.begin_part(limit)) is not None:
        summary = play_part(plan, part)
        state.add(part, summary)
        if summary.suspects:
            return _score(plan, name, about, state.runs, time.monotonic() - begun, summary.suspects)
    return Score(name, about, None, state.runs, round(time.monotonic() - begun, 2))


def _score(plan: Plan, name: str, about: str, runs: int, seconds: float, suspects: list[Suspect]) -> Score:
    """The score with the shortest of the witnesses of the chunk."""
    begun = time.monotonic()
    first = min(suspects, key=lambda suspect: suspect.run)
    together = [suspect for suspect in suspects if suspect.run == first.run]
    shown = min((witness(plan, suspect) for suspect in together[:3]), key=lambda each: (each.steps, each.statements))
    return Score(
        name,
        about,
        shown.invariant,
        runs,
        round(seconds, 2),
        round(time.monotonic() - begun, 2),
        shown.steps,
        shown.statements,
        shown.faults,
        shown.text,
    )
