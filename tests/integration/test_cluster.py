"""A matrix and a campaign on a Dask cluster: a scheduler and two workers, one of which is killed on the way."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from client.search.campaign import Campaign, CampaignLimits
from client.search.corpus import Corpus
from client.workers.cluster import Cluster
from client.workers.pool import InThisProcess
from client.workers.tasks import Tasks
from contract.errors import InputError, SystemFailedError
from tests.cases import cases
from tests.client.cli.commands import lbrlab
from tests.client.search.plans import small
from tests.designs import FENCED

RUNS = 30
PATIENCE = 60


class Processes:
    """The processes of a cluster, all of which end with it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.file = folder / "scheduler.json"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *arguments, "--scheduler-file", str(self.file), "--no-dashboard"]
        process = self.stack.enter_context(
            subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        self.stack.callback(process.kill)
        return process

    def address(self) -> str:
        """Of the scheduler, as soon as it has one."""
        deadline = time.monotonic() + PATIENCE
        while not self.file.exists() or not self.file.read_text():
            assert time.monotonic() < deadline, "the scheduler does not start"
            time.sleep(0.05)
        address: str = json.loads(self.file.read_text())["address"]
        return address


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address of the scheduler, and the workers."""
    from distributed import Client  # Half a second, which each worker of the tests would spend at its start.

    with ExitStack() as stack:
        processes = Processes(tmp_path_factory.mktemp("cluster"), stack)
        processes.start("scheduler", "--host", "127.0.0.1", "--port", "0")
        workers = [
            processes.start("worker", "--no-nanny", "--nthreads", "1", "--host", "127.0.0.1", "--name", str(n))
            for n in range(2)
        ]
        processes.address()
        with Client(scheduler_file=str(processes.file), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=PATIENCE)
            yield client.scheduler.address, workers


def test_a_matrix_is_the_same_on_a_cluster(cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path) -> None:
    """The workers write the run files, into the folder that is named."""
    asked = ("matrix", "--designs", "fenced,merged", "--scenarios", "r12-fence,guest-alone", "--json")
    told, files = [], []
    for place, where in (("here", ("--workers", "1")), ("there", ("--dask", cluster[0]))):
        result = lbrlab(*asked, *where, "-o", str(tmp_path / place))
        assert result.exit_code == 1, result.stderr
        told.append(result.stdout.replace(str(tmp_path / place), ""))
        files.append({path.name: path.read_bytes() for path in (tmp_path / place).glob("*.json")})
    assert told[0] == told[1]
    assert files[0] == files[1]
    assert len(files[1]) == 4


def test_a_worker_that_is_killed_loses_no_run_and_doubles_none(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    address, workers = cluster
    plan = small(FENCED, kinds=("drop",))
    here = Campaign(plan, tmp_path, InThisProcess(), Corpus(tmp_path / "here"))
    here.play(CampaignLimits(RUNS))
    killed: list[int] = []

    def kill_one(now: Campaign) -> None:
        if now.state.runs and not killed:
            killed.append(now.state.runs)
            workers[0].kill()

    folder = tmp_path / "there"
    folder.mkdir()
    pool = Cluster(address)
    try:
        assert pool.ahead() == 4
        there = Campaign(plan, folder, pool, Corpus(folder / "corpus"), kill_one)
        there.play(CampaignLimits(RUNS))
    finally:
        pool.close()
    assert killed
    assert killed[0] < RUNS
    assert workers[0].wait(PATIENCE) != 0
    for name in ("runs", "faulted", "decisions", "canary_runs", "canary_caught", "designs", "items"):
        assert getattr(there.state, name) == getattr(here.state, name), name
    assert {s: f.count for s, f in there.state.findings.items()} == {s: f.count for s, f in here.state.findings.items()}


def test_no_scheduler_is_an_error_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.workers.cluster.PATIENCE", "500ms")
    with pytest.raises(SystemFailedError, match="Dask scheduler"):
        Cluster("tcp://127.0.0.1:9")


def test_a_lost_connection_is_an_error_of_the_environment(cluster: tuple[str, list[subprocess.Popen[bytes]]]) -> None:
    pool = Cluster(cluster[0])
    pool.client.close()
    for call in (pool.ahead, lambda: pool.submit(len, "")):
        with pytest.raises(SystemFailedError, match="the connection is lost"):
            call()
    pool.close()


def test_a_cluster_whose_last_worker_has_gone_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler would keep the calls for ever."""
    with ExitStack() as stack:
        processes = Processes(tmp_path, stack)
        processes.start("scheduler", "--host", "127.0.0.1", "--port", "0")
        address = processes.address()
        worker = processes.start("worker", "--no-nanny", "--nthreads", "1", "--host", "127.0.0.1")
        pool = Cluster(address)
        stack.callback(pool.close)
        worker.kill()
        worker.wait(PATIENCE)
        monkeypatch.setattr("client.workers.cluster.NO_WORKER", 0.1)
        monkeypatch.setattr("client.workers.tasks.LOOK_EVERY", 0.05)
        tasks: Tasks[int] = Tasks(pool)
        tasks.add(0, len, "")
        with pytest.raises(SystemFailedError, match=f"{address}: all workers have gone, and none has come in 0 s"):
            tasks.take()


def test_a_scheduler_without_workers_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.workers.cluster.NO_WORKER", 0.1)
    with ExitStack() as stack:
        processes = Processes(tmp_path, stack)
        processes.start("scheduler", "--host", "127.0.0.1", "--port", "0")
        address = processes.address()
        with pytest.raises(SystemFailedError, match=f"{address}: no worker has come in 0 s: dask worker {address}"):
            Cluster(address)


@cases("address", ["nonsense", "tcp://head", "foo://head:8786"])
def test_an_address_that_is_none_is_refused_at_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def client(*_: object, **__: object) -> None:
        raise AssertionError("a client was made")

    monkeypatch.setattr("distributed.Client", client)
    with pytest.raises(InputError, match=f"--dask {address}: .*expected tcp://host:port"):
        Cluster(address)
