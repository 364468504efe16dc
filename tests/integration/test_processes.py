"""The service processes of a pair: how they fail to start, and that none is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from client.drive.pair import Pair
from contract.errors import SystemFailedError


def test_a_service_that_cannot_start_is_named_with_its_last_words() -> None:
    with (
        pytest.raises(SystemFailedError, match=r"^kvm: exited with 2: kvm-svc: error: argument --answer-timeout: "),
        Pair(flags={"kvm": ["--answer-timeout", "soon"]}),
    ):
        pass


def test_an_impossible_address() -> None:
    last_words = r"^kvm: exited with 1: .*event=cannot-listen address=unix:/nowhere/x"
    with pytest.raises(SystemFailedError, match=last_words), Pair(flags={"kvm": ["--listen", "unix:/nowhere/x"]}):
        pass


def test_ctrl_c_leaves_no_process() -> None:
    processes: list[subprocess.Popen[bytes]] = []

    def interrupted() -> None:
        with Pair() as pair:
            processes.extend([pair.perfcore.process, pair.kvm.process])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert [process.returncode for process in processes] == [0, 0]


PARENT = """
import json, sys
from client.drive.pair import Pair
with Pair() as pair:
    print(json.dumps([pair.perfcore.process.pid, pair.kvm.process.pid]), flush=True)
    sys.stdin.read()
"""


def test_no_service_outlives_its_parent() -> None:
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        processes = [psutil.Process(pid) for pid in json.loads(parent.stdout.readline())]
        parent.kill()

    assert psutil.wait_procs(processes, timeout=5)[1] == []
