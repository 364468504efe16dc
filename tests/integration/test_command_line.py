"""The command line as a process: signals, closed pipes, and the partial results of a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from client.litmus import library
from tests.designs import DESIGNS

PATIENCE = 60


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    code = "import sys; from client.cli.entry import main; sys.argv[0] = 'lbrlab'; main()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_ctrl_c_stops_a_matrix_and_leaves_what_is_there(tmp_path: Path) -> None:
    """Not after all the runs that were still to come."""
    with start(tmp_path, "matrix", "--workers", "2", "--json") as process:
        runs = tmp_path / "lbrlab-runs" / "matrix"
        deadline = time.monotonic() + PATIENCE
        while not list(runs.glob("*.json")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        text, errors = process.communicate(timeout=PATIENCE)
    told = json.loads(text)
    assert (process.returncode, told["exit_code"], told["cut_short"]) == (130, 130, "interrupted")
    assert errors == ""
    kept = {path.name for path in runs.glob("*.json")}
    assert {Path(cell["run"]).name for cell in told["cells"]} <= kept
    assert len(kept) < 2000


def test_a_reader_that_has_gone_ends_a_document_too(tmp_path: Path) -> None:
    with start(tmp_path, "run", "central-story", "-d", "fenced", "--json") as process:
        assert process.stdout is not None
        process.stdout.close()
        process.wait(PATIENCE)
        assert process.stderr is not None
        assert (process.returncode, process.stderr.read()) == (141, "")


def workers_of(parent: int) -> list[int]:
    """Those that forked from the server of the pool."""
    children = psutil.Process(parent).children(recursive=True)
    return [child.pid for child in children if child.ppid() != parent]


def test_a_worker_that_dies_takes_no_row_along(tmp_path: Path) -> None:
    """As the kernel's out-of-memory killer would have it."""
    with start(tmp_path, "matrix", "--scenarios", "c*", "--workers", "2", "--json") as process:
        runs = tmp_path / "lbrlab-runs" / "matrix"
        deadline = time.monotonic() + PATIENCE
        while len(list(runs.glob("*.json"))) < 30 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(workers_of(process.pid)[-1], signal.SIGKILL)
        text, _ = process.communicate(timeout=PATIENCE)
    told = json.loads(text)
    assert (process.returncode, told["cut_short"]) == (1, "")
    cells = [(cell["scenario"], cell["design"]) for cell in told["cells"]]
    assert len(cells) == len(set(cells)) == len(library("c")) * len(DESIGNS)
