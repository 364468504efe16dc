"""Processes that fork from one that has imported all: a service starts with 0.03 s of CPU instead of 0.4.

A forked process is a real one: a pid, pipes and sockets of its own, and the arguments of a command line. What it does
not show is that the command itself starts; ``tests/integration/test_processes.py`` shows that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.forkserver import ensure_running
from typing import IO

import pytest

from client.drive.pair import Child

# grpc starts threads with its first channel or server. The template has none, so that its forks are safe.
IMPORTED = [
    "tests.forked",
    "structlog",
    "perfcore_svc.service.servicer",
    "kvm_svc.service.servicer",
    "client.matrix.pool",
    "client.cli.app",
]
CONTEXT = get_context("forkserver")
START_A_COMMAND = Child._start


class Forked:
    """As much of ``subprocess.Popen`` as the tests use, for ``main`` of ``module``."""

    def __init__(self, module: str, arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> None:
        pipes = [CONTEXT.Pipe(duplex=False) for _ in range(3)]
        theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
        self._process = CONTEXT.Process(target=_main, args=(module, list(arguments), dict(environment), theirs))
        self._process.daemon = True
        self._process.start()
        self.pid: int = self._process.pid or 0
        self.stdin = _file(pipes[0][1], "wb")
        self.stdout = _file(pipes[1][0], "rb")
        self.stderr = _file(pipes[2][0], "rb")
        for end in theirs:
            end.close()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):  # It may have ended since.
            if self._process.exitcode is None:
                os.kill(self.pid, number)

    def communicate(self) -> tuple[str, str]:
        """All that it writes to standard output and standard error; not more than a pipe holds to the second."""
        with self.stdin, self.stdout, self.stderr:
            self.stdin.close()
            return self.stdout.read().decode(), self.stderr.read().decode()

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _file(end: Connection, mode: str) -> IO[bytes]:
    file: IO[bytes] = os.fdopen(os.dup(end.fileno()), mode)
    end.close()
    return file


def _main(module: str, arguments: list[str], environment: dict[str, str], pipes: list[Connection]) -> None:
    os.setsid()
    for number, end in enumerate(pipes):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for the rest of the process
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["lbrlab" if module == "client.cli.entry" else module, *arguments]
    import_module(module).main()


def _begin(child: Child) -> Forked:
    return Forked(child.module, child.arguments)


@contextmanager
def forked_services() -> Iterator[None]:
    """Within the block, each service that the driver starts is forked. The pools of processes fork from the same
    template; it must start before the first of them, which would choose what is imported."""
    CONTEXT.set_forkserver_preload(IMPORTED)
    ensure_running()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Child, "_start", _begin)
        yield
