"""The wire of a command, and the place where its runs are kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path

from client.cli.console import tell
from client.cli.services import Services
from client.drive.wire import SINGLE, Layout, Wire
from client.run.file import encoded, keep, kept_beside
from client.run.run import Run
from contract.errors import InputError

RUNS = Path("lbrlab-runs")
"""The default folder for run files."""


@contextmanager
def open_wire(name: str, services: Services, timeout: float, layout: Layout = SINGLE) -> Iterator[Wire]:
    """The simulated wire; or given services; or services started for ``layout`` and stopped at the end."""
    if name == "sim":
        from client.drive.sim import SimWire

        yield SimWire()
    elif services:
        from client.drive.grpc_wire import GrpcWire

        wire = GrpcWire(
            services.perfcores, services.kvms, timeout=timeout, turn=services.turn, identity=services.identity
        )
        try:
            yield wire
        finally:
            wire.close()
    else:
        from client.drive.pair import Pair

        with Pair(layout, timeout=timeout) as pair:
            yield pair.wire


NAME_LIMIT = 120
"""The longest name of a run file in the default folder. File systems take 255 bytes."""


def default_path(run: Run, label: str = "") -> Path:
    """``label``: distinguishes runs of one scenario and design."""
    faults = faults_label([str(fault) for fault in run.faults])
    parts = [run.scenario.name, run.design.name, label, faults, run.wire]
    return RUNS / f"{short_name('-'.join(part for part in parts if part))}.json"


def faults_label(faults: Sequence[str]) -> str:
    """Faults as a part of a file's name."""
    return "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", fault) for fault in faults)


def short_name(name: str) -> str:
    """A name that fits. A long name keeps its beginning and ends with a digest of the whole."""
    if len(name) <= NAME_LIMIT:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name[: NAME_LIMIT - len(digest) - 1].rstrip('-')}-{digest}"


def keep_run(run: Run, path: Path | None, label: str = "") -> None:
    """Keep the run at ``path``; or at its default path. There it takes the place of no other run, and a failure to
    write is only a warning."""
    usual = path is None
    wanted = default_path(run, label) if path is None else path
    kept = kept_beside(wanted, failed=run.failure is not None)
    try:
        kept = _free(kept, encoded(run)) if usual else kept
        if kept != wanted:
            tell("warning", f"{wanted} holds another run and stays; this one is {kept}")
        keep(run, kept)
    except (InputError, OSError) as error:
        if not usual:
            raise
        tell("warning", f"{error}; the run is not kept (-o names another path)")


def _free(path: Path, content: bytes) -> Path:
    """``path``, or the first one with a number behind its name that holds nothing else than ``content``."""
    names = chain([path], (path.with_name(f"{path.stem}-{n}{path.suffix}") for n in count(2)))
    return next(name for name in names if not name.exists() or name.read_bytes() == content)
