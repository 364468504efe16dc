"""One file for a run: all its inputs, every decision, every record. Enough to judge it again, or to replay it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import msgspec

from client.drive.play import Played
from client.litmus import Scenario, format_scenario, parse
from client.tape.decisions import Decision, parse_decision
from client.tape.faults import Fault
from contract.design import Design
from contract.errors import InputError
from contract.messages import PROTOCOL_VERSION
from contract.trace import AnyRecord

FORMAT = "lbrlab-run"
VERSION = 1
SIZE_LIMIT = 1 << 30


class Failure(msgspec.Struct):
    """Which service ended the run early, and why."""

    service: str
    reason: str


class AppliedFault(msgspec.Struct):
    fault: str
    applied: bool


class RunFile(msgspec.Struct, kw_only=True):
    """``scenario`` is litmus text, ``tape`` the text of each decision, ``trace`` the records in order. ``version`` is
    that of this format, ``protocol`` that of the contract stream, ``lbrlab`` the program's."""

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

    def read_scenario(self) -> Scenario:
        return parse(self.scenario, "run file: scenario")

    def decisions(self) -> list[Decision]:
        """The tape. Raises InputError naming the decision that is none."""
        found = []
        for number, line in enumerate(self.tape, 1):
            try:
                found.append(parse_decision(line))
            except ValueError as error:
                raise InputError(str(error), f"run file: tape: decision {number}") from None
        return found


def run_file(played: Played, faults: list[tuple[Fault, bool]] | None = None) -> RunFile:
    from importlib.metadata import version

    failure = played.failure
    return RunFile(
        lbrlab=version("lbrlab"),
        wire=played.wire,
        design=played.design,
        faults=[AppliedFault(str(fault), applied) for fault, applied in faults or []],
        failure=Failure(failure.service, failure.reason) if failure else None,
        scenario=format_scenario(played.scenario),
        tape=[str(decision) for decision in played.tape],
        trace=played.records,
    )


def save(run: RunFile, path: Path) -> None:
    """Write the whole file or none of it. Raises InputError naming the path."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(run), indent=0))
                file.write(b"\n")
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise InputError(f"cannot write: {error.strerror}", str(path)) from None


def load_run(path: Path) -> RunFile:
    """Raises InputError that names the file and the place in it."""
    try:
        if path.stat().st_size > SIZE_LIMIT:
            raise InputError(f"larger than {SIZE_LIMIT >> 20} MiB", str(path))
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", str(path)) from None
    try:
        head = msgspec.json.decode(content, type=_Head)
        if head.format != FORMAT or head.version != VERSION:
            raise InputError(
                f"expected {FORMAT} version {VERSION}, found {head.format} version {head.version}", str(path)
            )
        return msgspec.json.decode(content, type=RunFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"not a run file: {error}", str(path)) from None


class _Head(msgspec.Struct):
    format: str
    version: int
