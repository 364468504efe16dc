"""One file for a run. It holds all inputs, decisions and records: enough to judge the run again, or to replay it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import msgspec

from client.files import check_head, json_value, make_folder, read_content, write_file
from client.litmus import format_scenario, parse
from client.litmus.fault_rules import parse_fault
from client.run.run import Run
from client.schedule.decisions import Decision, Deliver, parse_decision
from contract.design import Design
from contract.errors import InputError, SystemFailedError
from contract.messages import PROTOCOL_VERSION
from contract.network import Fate
from contract.trace import AnyRecord, Delivery, Setup

FORMAT = "lbrlab-run"
VERSION = 3
KIND = "run file"
SIZE_LIMIT = 1 << 30


class Failure(msgspec.Struct):
    """Which service ended the run early, and why."""

    service: str
    reason: str


class AppliedFault(msgspec.Struct):
    fault: str
    applied: bool


class RunFile(msgspec.Struct, kw_only=True):
    """The content of the file. ``scenario`` is litmus text, ``tape`` the text of each decision, ``trace`` the records
    in order. ``version`` is the version of this format, ``protocol`` that of the contract stream, ``lbrlab`` that of
    the program."""

    format: str = FORMAT
    version: int = VERSION
    lbrlab: str
    protocol: int = PROTOCOL_VERSION
    wire: str
    design: Design
    faults: list[AppliedFault] = []
    failure: Failure | None = None
    scenario: str
    tape: list[str]
    trace: list[AnyRecord]


class Spoken(msgspec.Struct):
    """The part of a run file that decides whether its trace can be read."""

    protocol: int


@lru_cache(maxsize=1)
def installed_version() -> str:
    """The version of the installed package. It is cached: a look-up parses the package's metadata, which would take a
    fifth of the time of a matrix."""
    from importlib.metadata import version

    return version("lbrlab")


def failure_of(run: Run) -> Failure | None:
    return Failure(run.failure.service, run.failure.reason) if run.failure else None


def faults_of(run: Run) -> list[AppliedFault]:
    return [AppliedFault(str(rule), applied) for rule, applied in zip(run.faults, run.applied, strict=True)]


def encoded(run: Run, scenario: str = "") -> bytes:
    """The content of the file. ``scenario`` is the text of the scenario; if "", the text is formatted here."""
    content = RunFile(
        lbrlab=installed_version(),
        wire=run.wire,
        design=run.design,
        faults=faults_of(run),
        failure=failure_of(run),
        scenario=scenario or format_scenario(run.scenario),
        tape=[str(decision) for decision in run.tape],
        trace=run.records,
    )
    return msgspec.json.format(msgspec.json.encode(content), indent=0) + b"\n"


def check_output(path: Path, inputs: list[Path]) -> None:
    """Refuse an output that would destroy a file: an input of this command, or a file that is not a run file. Create
    its folder."""
    make_folder(path.parent)
    if not path.exists() or not path.is_file():
        return
    if any(path.exists() and given.exists() and path.samefile(given) for given in inputs):
        raise InputError("is an input of this command", str(path))
    with path.open("rb") as file:
        start = file.read(256)
    if start and f'"{FORMAT}"'.encode() not in start:
        raise InputError("exists and is not a run file; choose another name", str(path))


def is_good_run(path: Path) -> bool:
    """True where ``path`` holds a run that did not fail."""
    try:
        return path.is_file() and load_run(path).failure is None
    except InputError:
        return False


def kept_beside(path: Path, *, failed: bool) -> Path:
    """The path at which a run is kept. This is ``path``, with "-failed" in the name if the run failed and ``path``
    holds one that did not fail."""
    return path.with_name(f"{path.stem}-failed{path.suffix}") if failed and is_good_run(path) else path


def keep(run: Run, path: Path, scenario: str = "") -> Path:
    """Save the run, and set ``Run.path`` to its file. A failed run never replaces one that did not fail: it gets
    another file name. ``scenario`` is its text, given when many runs share it. Raises InputError naming the path."""
    path = kept_beside(path, failed=run.failure is not None)
    save(run, path, scenario)
    run.path = path
    return path


def save(run: Run, path: Path, scenario: str = "") -> None:
    """Write the whole file, or nothing. Raises InputError naming the path."""
    write_file(path, encoded(run, scenario))


def is_run_file(path: Path) -> bool:
    """Whether the first byte is that of a run file. No litmus file and no tape begins with it."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1) == b"{"


def load_run(path: Path) -> Run:
    """Read the run from a file. Raises InputError naming the file and the place in it."""
    run = decoded(read_content(path, SIZE_LIMIT), path)
    run.path = path
    return run


def load_judged(path: Path) -> Run:
    """Read the run from a file, and judge it. Raises InputError as ``load_run``, and where its records are not a valid
    trace. Every command that reads a run file reads it so: all refuse the same files."""
    run = load_run(path)
    with errors_of(path):
        _ = run.verdict
    return run


def decoded(content: bytes, path: Path) -> Run:
    """The run of a file with this content. ``path`` is its name in errors."""
    check_head(content, path, KIND, FORMAT, VERSION)
    protocol = json_value(content, Spoken, path, KIND).protocol
    if protocol != PROTOCOL_VERSION:
        raise InputError(
            f"is a {KIND} of protocol {protocol}; this program reads protocol {PROTOCOL_VERSION}: make it again",
            str(path),
        )
    file = json_value(content, RunFile, path, KIND)
    with errors_of(path):
        run = _run_of(file)
        _check_parts(run)
    return run


def _run_of(file: RunFile) -> Run:
    failure = SystemFailedError(file.failure.service, file.failure.reason) if file.failure else None
    scenario = parse(file.scenario, "scenario")
    faults = tuple(parse_fault(asked.fault, "faults:") for asked in file.faults)
    return Run(scenario, file.design, file.wire, faults, _decisions(file.tape), file.trace, failure)


def _decisions(tape: list[str]) -> list[Decision]:
    found = []
    for number, line in enumerate(tape, 1):
        try:
            found.append(parse_decision(line))
        except ValueError as error:
            raise InputError(str(error), f"tape: decision {number}") from None
    return found


@contextlib.contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """Add the name of the file to an InputError about its content."""
    try:
        yield
    except InputError as error:
        raise InputError(str(error), str(path)) from None


def _check_parts(run: Run) -> None:
    """Check that header, scenario, tape and trace belong to one run."""
    scenario = run.scenario
    if not run.design.name.isprintable() or run.wire not in ("sim", "grpc"):
        raise InputError("expected a printable design name, and the wire sim or grpc", "header")
    setup = run.records[0] if run.records else None
    if not isinstance(setup, Setup):
        raise InputError("expected a setup record", "trace: record 1")
    if (setup.scenario, setup.design, setup.axes) != (scenario.name, run.design.name, run.design.axes()):
        raise InputError("is of another scenario or design than the file says", "trace: record 1")
    decided = [(str(d.fate), d.session, d.to_host, d.n, d.message) for d in run.tape if isinstance(d, Deliver)]
    deliveries = [r for r in run.records if isinstance(r, Delivery) and r.fate != Fate.LOSE]
    delivered = [(r.fate, r.session, r.to_host, r.n, r.message) for r in deliveries]
    # A failure may come between a decision and its record, and the records of a service may be lost with the service.
    if decided[: len(delivered)] != delivered or (len(decided) > len(delivered) and run.failure is None):
        both = min(len(decided), len(delivered))
        at = next((i for i in range(both) if decided[i] != delivered[i]), both)
        raise InputError(f"delivery {at + 1} of the tape is not in the trace", "tape")
