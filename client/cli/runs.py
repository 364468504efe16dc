"""Running one scenario and reporting it: what ``run`` and ``demo`` share."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from client.check.verdict import Verdict, verdict_on
from client.cli.services import Services
from client.designs import DESIGNS, all_designs
from client.drive.play import Played, Player
from client.drive.wire import SINGLE, Layout, Wire
from client.files import read_file
from client.litmus import Scenario, library, library_path, load, parse, validate
from client.litmus.ast import Expect
from client.litmus.words import hint, quote, unknown
from client.run_file import RunFile, kept_beside, load_run, run_file, save
from client.schedule.decisions import Decision, numbered_tape
from client.schedule.faults import Fault, faults_met, parse_fault
from client.schedule.strategies import DefaultStrategy, ReplayStrategy, Strategy
from contract.design import Design
from contract.errors import InputError

TAPE_LIMIT = 64 << 20
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
    if not name:
        raise InputError("expected a litmus file, or the name of a scenario of the library", "FILE")
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


def with_expects(scenario: Scenario, texts: Sequence[str]) -> Scenario:
    """The scenario with expectations of the command line, each given as ``violated no-loss, no-leak``. They are of this
    run, whatever its design, and come before what the scenario expects of the same invariants."""
    for text in texts:
        place = f"--expect {quote(text)}"
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


def is_run_file(path: Path) -> bool:
    """By its first byte, which no litmus file and no tape begins with."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1) == b"{"


@dataclass(frozen=True, slots=True)
class Tape:
    """Decisions to replay. ``path`` and ``lines`` say in errors where each stands; a run file has no such lines.
    ``faults``: those that the recorded run asked for."""

    decisions: list[Decision]
    path: str
    lines: tuple[int, ...] = ()
    faults: tuple[Fault, ...] = ()


def tape_of(run: RunFile, path: str) -> Tape:
    return Tape(run.decisions(), path, faults=run.asked_faults())


def read_tape(path: Path) -> Tape:
    """A tape file, or the tape of a run file."""
    try:
        if is_run_file(path):
            return tape_of(load_run(path), str(path))
        numbered = numbered_tape(read_file(path, TAPE_LIMIT).decode("utf-8"), str(path))
        return Tape([decision for _, decision in numbered], str(path), tuple(line for line, _ in numbered))
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", str(path)) from None
    except UnicodeDecodeError:
        raise InputError("not a text file in UTF-8", str(path)) from None


@contextmanager
def open_wire(name: str, services: Services, timeout: float, layout: Layout = SINGLE) -> Iterator[Wire]:
    """The simulated wire; or given services; or services started for ``layout`` and stopped at the end."""
    if name == "sim":
        from client.drive.sim import SimWire

        yield SimWire()
    elif services:
        from client.drive.grpc_wire import GrpcWire

        wire = GrpcWire(services.perfcores, services.kvms, timeout=timeout, turn=services.turn)
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
    tape: Tape | None = None,
    then_default: bool = False,
) -> tuple[Played, RunFile]:
    """One run, as it happened and as a file. A ``tape`` decides, and after its end the default where ``then_default``
    says so; without one the default with ``faults``. The faults of a replayed run stand in the file again."""
    strategy: Strategy = DefaultStrategy(faults)
    if tape is not None:
        then = DefaultStrategy() if then_default else None
        strategy = ReplayStrategy(tape.decisions, tape.path, lines=tape.lines, then=then)
    played = Player(wire, scenario, design, strategy).play()
    return played, run_file(played, faults)


def judge_run(run: RunFile, scenario: Scenario) -> Verdict:
    failed = f"{run.failure.service}: {run.failure.reason}" if run.failure else ""
    asked = run.asked_faults()
    met = faults_met(asked, run.trace)
    return verdict_on(scenario, run.trace, failed, tuple(str(fault) for fault in asked if fault not in met))


NAME_LIMIT = 120
"""Characters of a run file's name in the default folder; file systems take 255 bytes, a fault is 30 at most."""


def default_path(run: RunFile, scenario: Scenario, label: str = "") -> Path:
    """``label``: what else tells the run from others of its scenario and design."""
    faults = faults_label([f.fault for f in run.faults])
    own = "own" if _other_of_library(scenario) else ""
    parts = [scenario.name, own, run.design.name, label, faults, run.wire]
    return RUNS / f"{short_name('-'.join(part for part in parts if part))}.json"


def faults_label(faults: Sequence[str]) -> str:
    """Faults as a part of a file's name."""
    return "-".join(fault.replace(":", "-") for fault in faults)


def short_name(name: str) -> str:
    """A name that fits: a long one keeps its beginning and ends with a digest of the whole."""
    if len(name) <= NAME_LIMIT:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name[: NAME_LIMIT - len(digest) - 1].rstrip('-')}-{digest}"


def _other_of_library(scenario: Scenario) -> bool:
    """True for a scenario that has the name of another one in the library."""
    path = library_path(scenario.name)
    return path.is_file() and replace(load(path), lets={}, expects=[]) != replace(scenario, lets={}, expects=[])


def keep(run: RunFile, scenario: Scenario, path: Path | None, label: str = "") -> Path | None:
    """Save the run at ``path``; or at its default place, and go without where that cannot be written.

    A run that failed never takes the place of one that did not: its file gets another name."""
    usual = path is None
    path = default_path(run, scenario, label) if path is None else path
    wanted, path = path, kept_beside(path, failed=run.failure is not None)
    if path != wanted:
        print(f"lbrlab: warning: {wanted} holds a run that did not fail and stays; this one is {path}", file=sys.stderr)
    try:
        save(run, path)
    except InputError as error:
        if not usual:
            raise
        print(f"lbrlab: warning: {error}; the run is not kept, -o says where else", file=sys.stderr)
        return None
    return path
