"""Running one scenario and reporting it: what ``run`` and ``demo`` share."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from client.check.verdict import Verdict, verdict_on
from client.designs import DESIGNS, all_designs
from client.drive.play import Played, Player
from client.drive.wire import SINGLE, Layout, Wire
from client.litmus import Scenario, library, library_path, load, parse, validate
from client.litmus.words import hint, unknown
from client.run_file import RunFile, load_run, run_file, save
from client.tape.decisions import Decision, parse_tape
from client.tape.faults import Fault, parse_fault
from client.tape.policy import DefaultPolicy, ReplayPolicy
from contract.design import Design
from contract.errors import InputError

RUNS = Path("lbrlab-runs")
"""Where run files go when ``-o`` does not say."""


@dataclass(slots=True)
class Judged:
    run: RunFile
    verdict: Verdict
    path: Path | None


def find_scenario(name: str) -> Scenario:
    """A litmus file by path, or one of the library by name; the designs that it speaks of exist."""
    scenario = _scenario(name)
    for design in scenario.final.under if scenario.final else ():
        if design not in DESIGNS and design not in all_designs():
            raise InputError(f"under {design}: {unknown('design', design, tuple(all_designs()))}", name)
    return scenario


def _scenario(name: str) -> Scenario:
    if name == "-":
        return parse(sys.stdin.read(), "<stdin>")
    if "/" not in name and not name.endswith(".litmus") and library_path(name).is_file():
        return load(library_path(name))
    if not Path(name).exists() and "/" not in name:
        known = [path.stem for path in library()]
        raise InputError(f"no such file, nor a scenario of the library (lbrlab scenarios){hint(name, known)}", name)
    return load(Path(name))


def chosen_faults(texts: Sequence[str]) -> tuple[Fault, ...]:
    faults = tuple(parse_fault(text) for text in texts)
    if len({(f.message, f.which) for f in faults}) != len(faults):
        raise InputError("two faults for one message", "--fault")
    return faults


def with_lets(scenario: Scenario, texts: Sequence[str]) -> Scenario:
    """The scenario with other numbers for some of its ``let``s, each given as NAME=N."""
    lets = dict(scenario.lets)
    for text in texts:
        name, _, number = text.partition("=")
        if name not in lets:
            raise InputError(unknown("let", name, lets) if lets else f"{scenario.name} has no let", f"--let {text}")
        try:
            lets[name] = int(number, 0)
        except ValueError:
            raise InputError(f"{number!r} is no number", f"--let {text}") from None
    changed = replace(scenario, lets=lets)
    try:
        validate(changed)
    except InputError as error:
        raise InputError(str(error), f"--let {', '.join(texts)}") from None
    return changed


def is_run_file(path: Path) -> bool:
    """By its first byte, which no litmus file and no tape begins with."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1) == b"{"


def read_tape(path: Path) -> list[Decision]:
    """A tape file, or the tape of a run file."""
    try:
        if is_run_file(path):
            return load_run(path).decisions()
        return parse_tape(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", str(path)) from None
    except UnicodeDecodeError:
        raise InputError("not a text file in UTF-8", str(path)) from None


@contextmanager
def open_wire(
    name: str, perfcores: Sequence[str], kvms: Sequence[str], timeout: float, layout: Layout = SINGLE
) -> Iterator[Wire]:
    """The simulated wire; or given services; or services of our own as ``layout`` has it, stopped at the end."""
    if name == "sim":
        from client.drive.sim import SimWire

        yield SimWire()
    elif perfcores and kvms:
        from client.drive.grpc_wire import GrpcWire

        wire = GrpcWire(perfcores, kvms, timeout=timeout)
        try:
            yield wire
        finally:
            wire.close()
    else:
        from client.drive.pair import Pair

        with Pair(layout, timeout=timeout) as pair:
            yield pair.wire


def play(
    wire: Wire,
    scenario: Scenario,
    design: Design,
    *,
    faults: tuple[Fault, ...] = (),
    tape: list[Decision] | None = None,
    tape_name: str = "<tape>",
) -> tuple[Played, RunFile]:
    """One run, as it happened and as a file."""
    policy = DefaultPolicy(faults) if tape is None else ReplayPolicy(tape, tape_name)
    played = Player(wire, scenario, design, policy).play()
    applied = policy.applied if isinstance(policy, DefaultPolicy) else set()
    return played, run_file(played, [(fault, fault in applied) for fault in faults])


def judge_run(run: RunFile, scenario: Scenario) -> Verdict:
    failed = f"{run.failure.service}: {run.failure.reason}" if run.failure else ""
    return verdict_on(scenario, run.trace, failed, tuple(f.fault for f in run.faults if not f.applied))


def default_path(run: RunFile, scenario: Scenario, label: str = "") -> Path:
    """``label``: what else tells the run from others of its scenario and design."""
    faults = [f.fault.replace(":", "-") for f in run.faults]
    parts = [scenario.name, run.design.name, *([label] if label else []), *faults, run.wire]
    return RUNS / f"{'-'.join(parts)}.json"


def keep(run: RunFile, scenario: Scenario, path: Path | None, label: str = "") -> Path | None:
    """Save the run at ``path``; or at its default place, and go without where that cannot be written."""
    if path is not None:
        save(run, path)
        return path
    path = default_path(run, scenario, label)
    try:
        save(run, path)
    except InputError as error:
        print(f"lbrlab: warning: {error}; the run is not kept, -o says where else", file=sys.stderr)
        return None
    return path
