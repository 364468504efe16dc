"""One request of the page: the runs that it asks for, as a report. It knows no HTTP."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import msgspec

from client.designs import all_designs, design_named
from client.drive.play import layout_of
from client.drive.wire import Wire
from client.litmus import Scenario, library, library_path, load, parse
from client.litmus.fault import FaultRule
from client.page.html import page
from client.page.model import page_model
from client.run.inputs import Inputs
from client.run.placed import fitting, placed
from client.run.run import Run
from client.run.run import run as play
from client.schedule.schedule import Schedule
from contract.design import Design, axis_about, axis_values
from contract.errors import InputError

TEXT_LIMIT = 1 << 16
"""The most characters of a scenario."""
FAULTS_LIMIT = 64
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_DESIGN = re.compile(r"[A-Za-z0-9._-]+(\+[A-Za-z0-9-]+=[A-Za-z0-9-]+)*")


class Chosen(msgspec.Struct, forbid_unknown_fields=True):
    """``scenario``: a name of the library, or "" for ``text``. ``design``: NAME or NAME+AXIS=VALUE."""

    scenario: str = ""
    text: str = ""
    design: str = "merged"
    faults: list[str] = []


class Asked(Chosen, forbid_unknown_fields=True):
    """``against``: a second design to play the same with, "" for none. ``bare``: play it a second time without the
    faults, too. ``wire``: sim, or grpc for two processes."""

    against: str = ""
    bare: bool = False
    wire: str = "sim"


class Choice(msgspec.Struct):
    name: str
    about: str


class AxisChoices(msgspec.Struct):
    name: str
    about: str
    values: list[Choice]


class DesignChoice(msgspec.Struct):
    name: str
    about: str
    axes: dict[str, str]


class Lists(msgspec.Struct):
    """All that the form offers."""

    scenarios: list[Choice]
    designs: list[DesignChoice]
    axes: list[AxisChoices]


@cache
def lists() -> Lists:
    designs = [DesignChoice(name, design.about, design.axes()) for name, design in all_designs().items()]
    axes = []
    for axis in designs[0].axes:
        values = axis_values(axis)
        axes.append(
            AxisChoices(axis, axis_about(axis), [Choice(n, getattr(v, "about", "")) for n, v in values.items()])
        )
    return Lists([Choice(path.stem, load(path).purpose) for path in library()], designs, axes)


def text_of(name: str) -> str:
    """The text of a scenario of the library. Raises InputError if there is none of this name."""
    path = library_path(name) if _NAME.fullmatch(name) else None
    if path is None or path not in library():
        raise InputError(f"{name!r} is no scenario of the library", "scenario")
    return path.read_text(encoding="utf-8")


def report_of(asked: Asked) -> str:
    """Play the chosen runs, and give the page of the report. Raises InputError, or SystemFailedError if two processes
    cannot be started."""
    if asked.wire not in ("sim", "grpc"):
        raise InputError(f"expected sim or grpc, found {asked.wire!r}", "wire")
    scenario, designs, rules = chosen(asked, [name for name in (asked.design, asked.against) if name])
    schedule = Schedule(rules)
    cases = [(design, schedule) for design in designs]
    if asked.bare and schedule.faults:
        cases.append((designs[0], Schedule()))
    return page(page_model(_played(scenario, cases, asked.wire)))


def chosen(asked: Chosen, names: Sequence[str]) -> tuple[Scenario, list[Design], tuple[FaultRule, ...]]:
    """The scenario, the designs of these names, and the rules of faults. Raises InputError that names the place."""
    if len(asked.text) > TEXT_LIMIT or len(asked.faults) > FAULTS_LIMIT:
        raise InputError(f"expected at most {TEXT_LIMIT} characters and {FAULTS_LIMIT} faults", "scenario")
    scenario = parse(text_of(asked.scenario) if asked.scenario else asked.text, "scenario")
    designs = [_design(name) for name in names]
    rules = placed([text for text in asked.faults if text.strip()], "faults")
    fitting(rules, [scenario])
    return scenario, designs, tuple(each.rule for each in rules)


def _design(name: str) -> Design:
    """A design by name. A file of this machine is no design for a page."""
    if not _DESIGN.fullmatch(name) or name.endswith(".toml"):
        raise InputError(f"expected NAME or NAME+AXIS=VALUE, found {name!r}", "design")
    return design_named(name)


def _played(scenario: Scenario, cases: list[tuple[Design, Schedule]], wire: str) -> list[Run]:
    if wire == "sim":
        return [_one(scenario, design, schedule, None) for design, schedule in cases]
    from client.drive.pair import Pair

    with Pair(layout_of(scenario)) as pair:
        return [_one(scenario, design, schedule, pair.wire) for design, schedule in cases]


def _one(scenario: Scenario, design: Design, schedule: Schedule, wire: Wire | None) -> Run:
    return play(Inputs(scenario, design, schedule, wire)).finished()
