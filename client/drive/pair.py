"""Perf cores and KVMs as child processes, on private Unix sockets, for the time of a ``with`` block."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from client.drive.grpc_wire import CALL_TIMEOUT, NO_WAIT, GrpcWire, Turn
from client.drive.wire import SINGLE, Layout, perfcores_of
from contract.errors import SystemFailedError
from contract.wire.settings import VARIABLES

START_TIMEOUT = 10.0
STOP_TIMEOUT = 5.0
STDERR_LINES = 20


class Child:
    """One service process. ``tail``: the last lines that it wrote to standard error. ``ready``: its ready
    line."""

    def __init__(self, service: str, module: str, arguments: list[str], folder: str) -> None:
        self.service = service
        self.tail: deque[str] = deque(maxlen=STDERR_LINES)
        self.address = f"unix:{folder}/{service}.sock"
        self.ready: dict[str, Any] = {}
        self.module = module
        self.arguments = ["--listen", self.address, "--exit-with-parent", *arguments]
        self.begin()

    def begin(self) -> None:
        """Start the process."""
        self.process = self._start()
        assert self.process.stderr is not None
        self._reader = threading.Thread(target=self._collect, args=(self.process.stderr,), daemon=True)
        self._reader.start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", self.module, *self.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Ctrl-C in the terminal must reach the driver only; the driver stops the services.
            start_new_session=True,
            # The settings of services that somebody else runs are not theirs.
            env={
                **{name: value for name, value in os.environ.items() if name not in VARIABLES},
                "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            },
        )

    def _collect(self, stderr: IO[bytes]) -> None:
        for line in stderr:
            self.tail.append(line.decode(errors="replace").rstrip())

    def wait_ready(self, deadline: float) -> None:
        """Wait for the ready line. Raises SystemFailedError when the process ends or ``deadline`` passes."""
        stdout = self.process.stdout
        assert stdout is not None
        left = max(0.0, deadline - time.monotonic())
        if not select.select([stdout], [], [], left)[0]:
            raise SystemFailedError(self.service, self._with_tail(f"not ready within {START_TIMEOUT:g} s"))
        line = stdout.readline()
        if not line:
            self.process.wait()
            self._reader.join(1)
            raise SystemFailedError(self.service, self._with_tail(self.end() or "closed its output"))
        self.ready = json.loads(line)
        self.address = self.ready["address"]

    def end(self, timeout: float = 0) -> str:
        """How the process ended, in words; "" while it runs. Wait up to ``timeout`` seconds for its end."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return ""
        return f"killed by signal {-status}" if status < 0 else f"exited with {status}"

    def _with_tail(self, reason: str) -> str:
        """With the last line, and where it was folded with all of it."""
        words: list[str] = []
        for line in reversed(self.tail):
            words.insert(0, line.strip())
            if line[:1] != " ":
                break
        return f"{reason}: {' '.join(words)}" if words else reason

    def ask_to_stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            # A stopped process handles the signal only after SIGCONT.
            self.process.send_signal(signal.SIGCONT)

    def see_off(self, deadline: float) -> None:
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(1)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


class Pair:
    """The services of a layout, and a wire to them. All of them are stopped at the end of the block. ``perfcore`` and
    ``kvm`` are the first of their kind.

    ``timeout``: seconds for each call of ``wire``. ``flags``: further arguments of a service, by "perfcore" and "kvm".
    """

    perfcore: Child
    kvm: Child
    wire: GrpcWire

    def __init__(
        self,
        layout: Layout = SINGLE,
        *,
        timeout: float = CALL_TIMEOUT,
        flags: Mapping[str, list[str]] | None = None,
    ) -> None:
        self.layout = layout
        self.perfcores: list[Child] = []
        self.kvms: dict[str, Child] = {}
        self._timeout = timeout
        self._flags = flags or {}
        self._children: list[Child] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Pair:
        self._folder = tempfile.TemporaryDirectory(prefix="lbrlab-", ignore_cleanup_errors=True)
        folder = str(Path(self._folder.name))
        try:
            for name in perfcores_of(self.layout):
                self.perfcores.append(self._spawn("perfcore", name, "perfcore_svc.service.main", [], folder))
            for name, host in self.layout.kvms.items():
                dial = ["--perfcore", self.perfcores[host].address, "--name", name]
                called = name if len(self.layout.kvms) > 1 else "kvm"
                self.kvms[name] = self._spawn("kvm", called, "kvm_svc.service.main", dial, folder)
            self.perfcore, self.kvm = self.perfcores[0], next(iter(self.kvms.values()))
            deadline = time.monotonic() + START_TIMEOUT
            for child in self._children:
                child.wait_ready(deadline)
            self.wire = self.connect(self._timeout)
        except BaseException:
            self.close()
            raise
        return self

    def _spawn(self, kind: str, service: str, module: str, arguments: list[str], folder: str) -> Child:
        child = Child(service, module, [*arguments, *self._flags.get(kind, [])], folder)
        self._children.append(child)
        return child

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wire.close()
        self.close()

    def end(self, service: str, timeout: float) -> str:
        """How the service's process ended; see ``Child.end``."""
        return next(child for child in self._children if child.service == service).end(timeout)

    def kill(self, service: str) -> None:
        """SIGKILL a host or a session's KVM, and wait for its end."""
        child = self._child(service)
        child.process.kill()
        child.see_off(time.monotonic() + STOP_TIMEOUT)

    def start(self, service: str) -> None:
        """Start a service that was killed again, with the same arguments and at the same address. Raises
        SystemFailedError if it does not become ready."""
        child = self._child(service)
        child.begin()
        child.wait_ready(time.monotonic() + START_TIMEOUT)

    def _child(self, service: str) -> Child:
        hosts = dict(zip(perfcores_of(self.layout), self.perfcores, strict=True))
        return hosts[service] if service in hosts else self.kvms[service]

    def connect(self, timeout: float = CALL_TIMEOUT, turn: Turn = NO_WAIT) -> GrpcWire:
        """Open one more wire to this pair. Only the run that is configured last continues."""
        kvms = [child.address for child in self.kvms.values()]
        wire = GrpcWire([child.address for child in self.perfcores], kvms, timeout, self.end, turn, keeper=self)
        wire.begin(self.layout)
        return wire

    def close(self) -> None:
        """Stop all processes with SIGTERM, and after STOP_TIMEOUT seconds with SIGKILL."""
        try:
            for child in self._children:
                child.ask_to_stop()
        finally:
            deadline = time.monotonic() + STOP_TIMEOUT
            for child in self._children:
                child.see_off(deadline)
            self._children.clear()
            if self._folder is not None:
                self._folder.cleanup()
