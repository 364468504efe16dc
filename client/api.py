"""The Python API: load a scenario, run it, judge a run again, run a matrix, shrink a run, confirm it::

    from client import api

    scenario = api.load("central-story")
    run = api.run(scenario, "revoke-gp", faults=["drop Revoke 1"])
    print(run.verdict.verdict, run.verdict.reason)

It installs no signal handler and ends no process. Ctrl-C in a run is a KeyboardInterrupt. Each function raises
``InputError`` naming the argument that it cannot take, and ``SystemFailedError`` if a service fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Literal, TypeVar

from client.designs import all_designs, design_named
from client.drive.play import layout_of
from client.drive.wire import Wire
from client.litmus import Scenario, library
from client.litmus import load as load_file
from client.litmus.fault import FaultRule
from client.litmus.fault_rules import parse_fault
from client.matrix.cell import Cell
from client.matrix.pool import InterruptedMatrixError, PartialError, run_tasks
from client.run.choose import find_scenario, read_tape, with_expects, with_lets, without_faults
from client.run.confirm import Confirmation
from client.run.confirm import confirm as confirm_run
from client.run.file import keep, load_run
from client.run.inputs import Inputs
from client.run.placed import fitting, placed
from client.run.presets import rules_of
from client.run.run import Run
from client.run.run import run as run_inputs
from client.schedule.schedule import Schedule
from client.shrink.shrunk import Shrunk
from client.shrink.shrunk import shrink as shrink_run
from contract.design import Design
from contract.errors import InputError, SystemFailedError

__all__ = [
    "Cell",
    "Confirmation",
    "Design",
    "FaultRule",
    "InputError",
    "Run",
    "Scenario",
    "Shrunk",
    "SystemFailedError",
    "check",
    "confirm",
    "fault",
    "faults",
    "load",
    "matrix",
    "run",
    "shrink",
]

T = TypeVar("T")
WORKERS_LIMIT = 256
TIMEOUT_LIMIT = 3600.0


def load(
    scenario: str | PathLike[str], *, lets: Mapping[str, int] | None = None, expects: Iterable[str] = ()
) -> Scenario:
    """Load a scenario of the library by name, or a litmus file by path.

    ``lets``: other numbers for the ``let``s of the scenario. ``expects``: verdicts that are expected, each ``VERDICT
    INVARIANT,...``: "violated no-loss".
    """
    found = find_scenario(str(_checked("scenario", scenario, (str, PathLike), "a name or a path")))
    texts = [f"{name}={_checked('lets', value, (int,), 'numbers')}" for name, value in (lets or {}).items()]
    return with_expects(with_lets(found, texts, "lets"), _listed("expects", expects), "expects")


def fault(rule: str) -> FaultRule:
    """Parse the rule of a fault, "drop Revoke 1". ``str`` of the value gives the text again."""
    return parse_fault(_checked("rule", rule, (str,), "a text"), "rule")


def faults(name: str | PathLike[str], *, seed: int | None = None) -> tuple[FaultRule, ...]:
    """The rules of a preset by name, or of a file of rules by path.

    ``seed``: a number from 0 to 999_999 for other draws of the rules that have a probability.
    """
    if seed is not None:
        _checked("seed", seed, (int,), "a number")
    return rules_of(str(_checked("name", name, (str, PathLike), "a preset or a path")), seed, "faults")


def run(
    scenario: Scenario | str,
    design: Design | str = "merged",
    *,
    faults: Iterable[str | FaultRule] = (),
    file_faults: bool = True,
    tape: str | PathLike[str] | None = None,
    then_default: bool = False,
    lenient: bool = False,
    wire: Literal["sim", "grpc"] | Wire = "sim",
    timeout: float = 5.0,
    keep_at: str | PathLike[str] | None = None,
) -> Run:
    """Play one run to its end. ``Run.verdict`` judges it, ``Run.records`` is its trace.

    ``scenario``: from ``load``, or a name or path that ``load`` takes. ``design``: a name, a file, or
    ``NAME+AXIS=VALUE``. ``faults``: rules, "drop Revoke 1", or values of ``fault`` and ``faults``; they come behind
    those of the scenario, which ``file_faults=False`` leaves out. ``tape``: a tape file or a run file to replay
    strictly, instead of faults. ``then_default``: the default strategy decides after the end of the tape. ``lenient``:
    replay a tape that need not fit, as ``lbrlab run --lenient`` does. ``wire``: sim plays in this process; grpc starts
    the services of the scenario and stops them; or an open wire. ``timeout``: seconds that a service may take to answer
    one call (grpc). ``keep_at``: the path of the run file."""
    story = scenario if isinstance(scenario, Scenario) else load(scenario)
    story = story if file_faults else without_faults(story)
    chosen = _design("design", design)
    schedule = _schedule(_rules(faults, [story]), tape, then_default, lenient)
    _seconds(timeout)
    if isinstance(wire, str):
        if wire not in ("sim", "grpc"):
            raise InputError(f"expected sim, grpc or a wire, found {wire!r}", "wire")
        played = _run(story, chosen, schedule, wire, timeout)
    else:
        played = run_inputs(Inputs(story, chosen, schedule, wire))
    if keep_at is not None:
        keep(played, Path(keep_at))
    return played.finished()


def check(run: Run | str | PathLike[str], *, expects: Iterable[str] = ()) -> Run:
    """Judge a run again, from its trace alone: a run file, or a run. ``expects``: as in ``load``."""
    again = _loaded(run)
    scenario = with_expects(again.scenario, _listed("expects", expects), "expects")
    judged = replace(again, scenario=scenario)
    _ = judged.verdict
    return judged


def matrix(
    scenarios: Iterable[Scenario | str] | None = None,
    designs: Iterable[Design | str] | None = None,
    *,
    faults: Iterable[str | FaultRule] = (),
    file_faults: bool = True,
    folder: str | PathLike[str] | None = None,
    workers: int = 1,
) -> list[Cell]:
    """Run each scenario under each design, scenario by scenario; None means all of the library.

    ``faults``, ``file_faults``: as in ``run``, for every run. ``folder``: the folder for run files. ``workers``: number
    of processes; 0: one for each core. With more than one, processes are started, so the calling script needs ``if
    __name__ == "__main__":``."""
    if not isinstance(workers, int) or not 0 <= workers <= WORKERS_LIMIT:
        raise InputError(f"expected a number from 0 to {WORKERS_LIMIT}, found {workers!r}", "workers")
    given = [load_file(path) for path in library()] if scenarios is None else _many("scenarios", scenarios)
    stories = [story if isinstance(story, Scenario) else load(story) for story in given]
    chosen = list(all_designs().values()) if designs is None else _many("designs", designs)
    try:
        rules = _rules(faults, stories)
        tasks = [(story if file_faults else without_faults(story), rules) for story in stories]
        picked = [_design("designs", design) for design in chosen]
        rows = run_tasks(tasks, picked, _folder(folder), workers=workers)
    except InterruptedMatrixError:
        raise KeyboardInterrupt from None
    except PartialError as error:
        raise SystemFailedError("matrix", str(error)) from None
    return [cell for row in rows for cell in row]


def shrink(
    run: Run | str | PathLike[str], *, invariant: str | None = None, keep_at: str | PathLike[str] | None = None
) -> Shrunk:
    """Shrink a run, or a run file, that violates something or failed, to the smallest run that still does:
    ``Shrunk.run``.

    ``invariant``: keep this one violated; by default all that the run violates, or its final condition. ``keep_at``:
    the path of the run file.
    """
    shrunk = shrink_run(_loaded(run), invariant)
    if keep_at is not None:
        keep(shrunk.run, Path(keep_at))
    return shrunk


def confirm(run: Run | str | PathLike[str], *, wire: Wire | None = None, timeout: float = 5.0) -> Confirmation:
    """Replay a run, or a run file, on two real processes and compare the traces: ``Confirmation.same``.

    ``wire``: an open wire instead of processes that are started. ``timeout``: as in ``run``.
    """
    original = _loaded(run)
    if wire is not None:
        return confirm_run(original, wire)
    from client.drive.pair import Pair

    with Pair(layout_of(original.scenario), timeout=_seconds(timeout)) as pair:
        return confirm_run(original, pair.wire)


def _loaded(run: Run | str | PathLike[str]) -> Run:
    return run if isinstance(run, Run) else load_run(Path(_checked("run", run, (str, PathLike), "a run or a path")))


def _seconds(timeout: float) -> float:
    if not isinstance(timeout, int | float) or not 0 < timeout <= TIMEOUT_LIMIT:
        raise InputError(f"expected seconds, at most {TIMEOUT_LIMIT:g}, found {timeout!r}", "timeout")
    return timeout


def _run(scenario: Scenario, design: Design, schedule: Schedule, wire: str, timeout: float) -> Run:
    if wire == "sim":
        return run_inputs(Inputs(scenario, design, schedule))
    from client.drive.pair import Pair

    with Pair(layout_of(scenario), timeout=timeout) as pair:
        return run_inputs(Inputs(scenario, design, schedule, pair.wire))


def _rules(given: Iterable[str | FaultRule], scenarios: Sequence[Scenario]) -> tuple[FaultRule, ...]:
    """Raises InputError for a rule that fits none of the scenarios."""
    rules = placed([_checked("faults", rule, (str, FaultRule), "rules") for rule in _many("faults", given)], "faults")
    fitting(rules, scenarios)
    return tuple(each.rule for each in rules)


def _schedule(
    faults: tuple[FaultRule, ...], tape: str | PathLike[str] | None, then_default: bool, lenient: bool
) -> Schedule:
    if tape is None:
        if then_default or lenient:
            raise InputError("expected a tape to begin with", "then_default" if then_default else "lenient")
        return Schedule(faults)
    if faults:
        raise InputError("a tape already decides the fate of every message", "faults")
    return read_tape(Path(tape), then_default=then_default, lenient=lenient)


def _design(name: str, design: Design | str) -> Design:
    return design if isinstance(design, Design) else design_named(_checked(name, design, (str,), "a design or a name"))


def _folder(folder: str | PathLike[str] | None) -> Path | None:
    if folder is None:
        return None
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made: {error.strerror}", f"folder {path}") from None
    return path


def _listed(name: str, texts: Iterable[str]) -> list[str]:
    return [_checked(name, text, (str,), "texts") for text in _many(name, texts)]


def _many(name: str, given: Iterable[T]) -> list[T]:
    """Refuse a plain text where a list is expected: a text is iterable too, but its letters are never meant."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InputError(f"expected a list, found {given!r}", name)
    return list(given)


def _checked(name: str, value: T, kinds: tuple[type, ...], expected: str) -> T:
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise InputError(f"expected {expected}, found {value!r}", name)
    return value
