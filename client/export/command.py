"""The command that repeats a run."""

from __future__ import annotations

import shlex

from client.designs import design_named
from client.litmus import library, library_path, load
from client.run.choose import without_faults
from client.run.inputs import Inputs
from client.run.run import Run
from client.run.run import run as play
from client.schedule.schedule import Schedule
from contract.design import Design
from contract.errors import InputError


def is_named(design: Design) -> bool:
    """Whether its name alone gives this design: that of the library, or NAME+AXIS=VALUE."""
    try:
        return design_named(design.name) == design
    except InputError:
        return False


def in_library(run: Run) -> bool:
    """Whether scenario and design are those of the library, so that their names are enough."""
    path = library_path(run.scenario.name)
    return path in library() and load(path) == run.scenario and is_named(run.design)


def command_of(run: Run) -> str:
    """The command line that plays the run again: by name and faults if the library has scenario and design, and the
    faults give the same tape; else from the run file, by the path that was given for it. "" if the run is in no file,
    so that no command plays it again."""
    if not in_library(run) or not follows_faults(run):
        path = str(run.path or "")
        return f"lbrlab run {shlex.quote(f'./{path}' if path.startswith('-') else path)}" if path else ""
    own = run.faults[len(run.scenario.faults) :]
    faults = "".join(f" --fault {shlex.quote(str(fault))}" for fault in own)
    return f"lbrlab run {run.scenario.name} -d {shlex.quote(run.design.name)}{faults}"


def follows_faults(run: Run) -> bool:
    """Whether the default schedule with the run's faults gives its tape. It plays the run once, in this process."""
    again = play(Inputs(without_faults(run.scenario), run.design, Schedule(run.faults)))
    return again.tape == run.tape
