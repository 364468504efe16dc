"""The service processes of a pair: how they fail to start, and that none is left."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import kvm_svc.service.main
from client.drive.grpc_service import Service
from client.drive.pair import Child, Pair
from client.run.inputs import Inputs
from client.run.run import run
from contract.errors import SystemFailedError
from contract.trace import canonical
from tests.cases import cases
from tests.designs import FENCED
from tests.forked import START_A_COMMAND
from tests.library import library_scenario


def test_services_that_are_started_by_their_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Child, "_start", START_A_COMMAND)
    story = library_scenario("exits")
    with Pair() as pair:
        commands = [psutil.Process(child.process.pid).cmdline()[1:3] for child in (pair.perfcore, pair.kvm)]
        assert commands == [["-m", "perfcore_svc.service.main"], ["-m", "kvm_svc.service.main"]]
        records = run(Inputs(story, FENCED, wire=pair.wire)).records

    assert canonical(records) == canonical(run(Inputs(story, FENCED)).records)


def test_a_service_that_cannot_start_is_named_with_its_last_words() -> None:
    with (
        pytest.raises(
            SystemFailedError,
            match=r"^kvm: exited with 2: kvm-svc: error: --answer-timeout: expected .*--help' shows how\)$",
        ),
        Pair(flags={"kvm": ["--answer-timeout", "soon"]}),
    ):
        pass


def test_a_started_service_takes_no_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(command: list[str], *, env: dict[str, str], **_: object) -> None:
        raise LookupError({name for name in env if name.startswith("LBRLAB_")})

    for name in ("LBRLAB_CONFIG", "LBRLAB_LEASE", "LBRLAB_BROWSER"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setattr(Child, "_start", START_A_COMMAND)
    monkeypatch.setattr("client.drive.pair.subprocess.Popen", started)
    with pytest.raises(LookupError, match=r"^\{'LBRLAB_BROWSER'\}$"):
        Child("perfcore", "perfcore_svc.service.main", [], "x")


def test_an_impossible_address() -> None:
    last_words = r"^kvm: exited with 3: .*event=cannot-listen address=unix:/nowhere/x"
    with pytest.raises(SystemFailedError, match=last_words), Pair(flags={"kvm": ["--listen", "unix:/nowhere/x"]}):
        pass


@cases(("option", "said"), [("listen", ""), ("health", "health at {}: "), ("metrics", "metrics at {}: ")])
def test_a_port_that_is_taken(option: str, said: str, tmp_path: Path) -> None:
    """The log names the port. gRPC writes no line of its own."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        service = Child("kvm", "kvm_svc.service.main", ["--perfcore", "unix:x", f"--{option}", address], str(tmp_path))
        with pytest.raises(SystemFailedError) as failed:
            service.wait_ready(time.monotonic() + 10)
        service.see_off(time.monotonic() + 2)
    assert len(service.tail) == 1
    assert failed.value.reason.startswith("exited with 3: ")
    assert f'reason="{said.format(address)}address already in use"' in failed.value.reason.lower()
    assert f"address={address}" in failed.value.reason or option != "listen"


def test_a_second_service_on_one_socket_is_refused_and_leaves_the_first_alone(tmp_path: Path) -> None:
    first = Child("perfcore", "perfcore_svc.service.main", [], str(tmp_path))
    first.wait_ready(time.monotonic() + 10)
    second = Child("perfcore", "perfcore_svc.service.main", [], str(tmp_path))
    with pytest.raises(SystemFailedError, match=r"exited with 3: .*another service listens at unix:"):
        second.wait_ready(time.monotonic() + 10)
    second.see_off(time.monotonic() + 2)
    service = Service("perfcore", first.address)
    answer = service.info(5).service
    service.close()
    first.ask_to_stop()
    first.see_off(time.monotonic() + 2)
    third = Child("perfcore", "perfcore_svc.service.main", [], str(tmp_path))
    third.wait_ready(time.monotonic() + 10)
    third.ask_to_stop()
    third.see_off(time.monotonic() + 2)

    assert answer == "perfcore"


BUSY = """
import argparse, asyncio
from contract.wire import bootstrap
from contract.wire.limits import DEFAULT
from tests.contract.wire.echo import Echo as Shell
bootstrap.END_LIMIT = 0.1
async def main():
    bootstrap.Process(Shell(), argparse.Namespace(limits=DEFAULT), [])._catch_signals()
    print("busy", flush=True)
    while True:
        pass
asyncio.run(main())
"""


def test_a_service_whose_event_loop_is_busy_ends_all_the_same() -> None:
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None
        assert busy.stdout.readline() == b"busy\n"
        try:
            # The interpreter can leave one signal pending for as long as no other thread wants to run.
            for _ in range(20):
                busy.terminate()
                with suppress(subprocess.TimeoutExpired):
                    busy.wait(0.5)
                    break
            assert busy.poll() == 1
        finally:
            busy.kill()


@cases("value", ["nan", "inf", "-1", "0", "1e9"])
def test_a_timeout_that_makes_no_sense(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kvm-svc", "--perfcore", "unix:nobody", "--answer-timeout", value])
    monkeypatch.setattr(kvm_svc.service.main, "run", lambda args: pytest.fail(f"takes {args.answer_timeout}"))
    with pytest.raises(SystemExit, match=r"^2$"):
        kvm_svc.service.main.main()
    assert "kvm-svc: error: --answer-timeout: expected seconds" in capsys.readouterr().err


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
from client.drive.grpc_service import Service
from client.drive.pair import Child, Pair
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
