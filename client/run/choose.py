"""The inputs of a run by the names and texts that a command line or a notebook gives."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

from msgspec.structs import replace

from client.designs import DESIGNS, all_designs
from client.files import mistaken, read_text
from client.litmus import Scenario, library, library_path, load, parse, validate
from client.litmus.ast import Expect
from client.litmus.printer import number
from client.litmus.spelling import hint, quote, unknown
from client.run.file import is_run_file, load_judged
from client.run.run import Run
from client.schedule.decisions import HEADER, numbered_tape
from client.schedule.schedule import Schedule, Tape
from contract.errors import InputError

TAPE_LIMIT = 64 << 20


def find_scenario(name: str) -> Scenario:
    """Find a scenario: a litmus file by path, or a library scenario by name. Check that the designs it names exist."""
    scenario = _scenario(name)
    named = [*(scenario.final.under if scenario.final else ()), *(d for e in scenario.expects for d in e.under)]
    for design in named:
        if design not in DESIGNS and design not in all_designs():
            raise InputError(f"under {design}: {unknown('design', design, tuple(all_designs()))}", name)
    return scenario


def _scenario(name: str) -> Scenario:
    if name == "-":
        return parse(sys.stdin.read(), "<stdin>")
    if "/" not in name and not name.endswith(".litmus") and library_path(name).is_file():
        return load(library_path(name))
    if what := mistaken(name, "a scenario"):
        raise InputError(f"{what}; expected a litmus file, or the name of a scenario of the library", name)
    if not name:
        raise InputError("expected a litmus file, or the name of a scenario of the library", "FILE")
    if not Path(name).exists() and "/" not in name:
        known = [path.stem for path in library()]
        if name in all_designs():
            raise InputError("is a design, which -d takes; expected a scenario by name or file", name)
        raise InputError(f"neither a file nor a scenario of the library (lbrlab scenarios){hint(name, known)}", name)
    if is_run_file(Path(name)):
        raise InputError("is a run file; expected a litmus file, or the name of a scenario of the library", name)
    return load(Path(name))


def without_faults(scenario: Scenario, place: str = "") -> Scenario:
    """The scenario without the rules of faults in its file. Its steps have the lines of a text without them.

    ``place``: the name of the argument that asks for it. If it is given, a scenario without faults is an InputError."""
    if not scenario.faults:
        if place:
            raise InputError(f"scenario {scenario.name} names no faults that could be left out", place)
        return scenario
    without = deepcopy(replace(scenario, faults=[]))
    number(without)
    return without


def without_faults_of(scenarios: Sequence[Scenario], place: str) -> list[Scenario]:
    """``without_faults`` for each. Raises InputError if none of them names faults."""
    if not any(scenario.faults for scenario in scenarios):
        raise InputError("no scenario names faults that could be left out", place)
    return [without_faults(scenario) for scenario in scenarios]


def with_lets(scenario: Scenario, texts: Sequence[str], place: str = "--let") -> Scenario:
    """The scenario with other numbers for some of its ``let``s, each given as NAME=N."""
    lets = dict(scenario.lets)
    for text in texts:
        name, _, number = text.partition("=")
        if name not in lets:
            raise InputError(unknown("let", name, lets) if lets else f"{scenario.name} has no let", f"{place} {text}")
        try:
            lets[name] = int(number, 0)
        except ValueError:
            raise InputError(f"{number!r} is not a number", f"{place} {text}") from None
    changed = replace(scenario, lets=lets)
    try:
        validate(changed)
    except InputError as error:
        raise InputError(str(error), f"{place} {', '.join(texts)}") from None
    return changed


def with_expects(scenario: Scenario, texts: Sequence[str], flag: str = "--expect") -> Scenario:
    """The scenario with expectations of the command line, each given as ``violated no-loss, no-leak``. They apply to
    this run under any design, and take precedence over the scenario's expectations for the same invariants."""
    for text in texts:
        place = f"{flag} {quote(text)}"
        verdict, _, names = text.strip().partition(" ")
        if not names.strip():
            raise InputError("expected VERDICT INVARIANT, for example 'violated no-loss'", place)
        given = Expect(verdict, tuple(name.strip() for name in names.split(",")))
        others = (replace(e, invariants=_without(e.invariants, given.invariants)) for e in scenario.expects)
        scenario = replace(scenario, expects=[*(e for e in others if e.invariants), given])
        try:
            validate(scenario)
        except InputError as error:
            raise InputError(error.message, place) from None
    return scenario


def _without(names: tuple[str, ...], taken: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in taken)


def replayed(run: Run, path: str, *, then_default: bool = False, lenient: bool = False) -> Schedule:
    """The schedule of a recorded run. ``path`` is the name of its tape in error messages."""
    return Schedule(run.faults, Tape(run.tape, path), then_default, lenient)


def read_tape(path: Path, *, then_default: bool = False, lenient: bool = False) -> Schedule:
    """A tape file, or the tape of a run file. ``then_default``, ``lenient``: as in ``Schedule``."""
    if is_run_file(path):
        return replayed(load_judged(path), str(path), then_default=then_default, lenient=lenient)
    text = read_text(path, TAPE_LIMIT)
    if not text.strip():
        raise InputError(f"is empty; expected a tape, with {HEADER!r} in its first line, or a run file", str(path))
    numbered = numbered_tape(text, str(path))
    tape = Tape([decision for _, decision in numbered], str(path), tuple(line for line, _ in numbered))
    return Schedule(tape=tape, then_default=then_default, lenient=lenient)
