"""The command that repeats a run."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from client.designs import design_named
from client.litmus import Scenario, library, library_path, load
from client.litmus.fault import FaultRule
from client.run.choose import without_faults
from client.run.inputs import Inputs
from client.run.run import Run
from client.run.run import run as play
from client.schedule.schedule import Schedule
from contract.design import Design
from contract.errors import InputError
from contract.trace import End


def is_named(design: Design) -> bool:
    """Whether its name alone gives this design: that of the library, or NAME+AXIS=VALUE."""
    try:
        return design_named(design.name) == design
    except InputError:
        return False


def in_library(scenario: Scenario) -> bool:
    """Whether the scenario is that of the library, so that its name is enough."""
    path = library_path(scenario.name)
    return path in library() and load(path) == scenario


def command_of(run: Run) -> str:
    """The command line that plays the run again on the same wire: by name and faults if the library has scenario and
    design, and the faults give the same tape; else from the run file, by the path that was given for it. "" if the run
    is in no file, so that no command plays it again. If the run ended early, the default schedule continues it."""
    wire, early = wire_option(run), early_option(run)
    if early or not (in_library(run.scenario) and is_named(run.design)) or not follows_faults(run):
        return by_file(str(run.path or ""), f"{early}{wire}")
    return by_name(run.scenario.name, run.design.name, run.faults[len(run.scenario.faults) :], wire)


def by_name(scenario: str, design: str, faults: Iterable[FaultRule | str], options: str = "") -> str:
    """``options``: more of them, each behind a blank."""
    rules = "".join(f" --fault {shlex.quote(str(fault))}" for fault in faults)
    return f"lbrlab run {shlex.quote(scenario)} -d {shlex.quote(design)}{rules}{options}"


def by_file(path: str, options: str = "") -> str:
    """``path``: of a run file, "" for none."""
    return f"lbrlab run {shlex.quote(f'./{path}' if path.startswith('-') else path)}{options}" if path else ""


def wire_option(run: Run) -> str:
    """The option for the wire of the run. The addresses of services that were given to it are not in the run."""
    return " --wire grpc" if run.wire == "grpc" else ""


def early_option(run: Run) -> str:
    """The option that continues the tape of a run that ended early; "" for a run that did not."""
    return "" if any(isinstance(record, End) for record in reversed(run.records)) else " --then-default"


def follows_faults(run: Run) -> bool:
    """Whether the default schedule with the run's faults gives its tape. It plays the run once, in this process."""
    again = play(Inputs(without_faults(run.scenario), run.design, Schedule(run.faults)))
    return again.tape == run.tape
