"""All that repeats a run, for a reader who has no file of it: a command, and the text of each file that it names."""

from __future__ import annotations

import re
import shlex
from typing import NamedTuple

from client.designs import DESIGNS, all_designs
from client.designs.toml import format_like, name_flaw
from client.export.command import by_name, early_option, follows_faults, in_library, is_named, wire_option
from client.export.litmus import folded
from client.litmus import format_scenario
from client.run.run import Run
from client.schedule.decisions import format_tape
from contract.design import Design


class Repetition(NamedTuple):
    """``command`` plays the run again in a folder that holds ``files``, name to text. A name of the library has no
    file. ``decisions``: those of the tape among the files; 0 if the faults give the schedule."""

    command: str
    files: dict[str, str]
    decisions: int = 0


def repetition(run: Run, width: int) -> Repetition:
    """``width``: the most columns of the lines of the files. A word that is longer stays whole. If the run ended early,
    the default schedule continues it."""
    files: dict[str, str] = {}
    scenario, design, early = run.scenario.name, run.design.name, early_option(run)
    if not in_library(run.scenario):
        name = f"{_stem(scenario)}.litmus"
        files[name] = folded(format_scenario(run.scenario), width)
        scenario = f"./{name}"
    if not is_named(run.design):
        name = f"{_design_stem(run.design)}.toml"
        files[name] = format_like(run.design, DESIGNS, width)
        design = f"./{name}"
    if not early and follows_faults(run):
        faults = run.faults[len(run.scenario.faults) :]
        return Repetition(by_name(scenario, design, faults, wire_option(run)), files)
    name = f"{_stem(run.scenario.name)}.tape"
    files[name] = format_tape(run.tape)
    options = f" --tape {shlex.quote(name)}{early}{wire_option(run)}"
    return Repetition(by_name(scenario, design, (), options), files, len(run.tape))


def _stem(name: str) -> str:
    """The name of a scenario as the beginning of the name of a file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name, flags=re.ASCII).strip("-.") or "own"


def _design_stem(design: Design) -> str:
    """No design of the library has the name of a design file."""
    stem = _stem(design.name)
    return "own" if name_flaw(stem) else f"{stem}-own" if stem in all_designs() else stem
