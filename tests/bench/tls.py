"""The cost of mutual TLS on a hop: a command of the driver and its answer over loopback, with TLS and without.

The two services are alike and are asked in turns. The CPU is that of both ends."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import psutil

from client.drive.grpc_service import Service
from client.drive.pair import Child
from contract.control import ConfigurePerf, MachineSpec, PerfSnapshot
from contract.trace import Recorder
from contract.wire.authority import LOCAL, Authority
from contract.wire.tls import Identity
from tests.bench.figures import Figure, median, spread
from tests.designs import FENCED

ROUNDS = 9
TRIPS = 300
TIMEOUT = 30.0


class Hop:
    """A driver and a perf core of its own."""

    def __init__(self, name: str, folder: str, server: list[str], identity: Identity | None) -> None:
        self.child = Child(name, "perfcore_svc.service.main", [*server, "--listen", "127.0.0.1:0"], folder)
        self.child.wait_ready(time.monotonic() + TIMEOUT)
        self.service = Service("perfcore", self.child.address, identity=identity)
        self.log = Recorder()
        answer = self.service.call(0, self.log, ConfigurePerf(MachineSpec(), FENCED, [], []), TIMEOUT)
        self.run = answer.stamp.run
        self.ends = psutil.Process(), psutil.Process(self.child.process.pid)
        self.seconds: list[float] = []
        self.cpu: list[float] = []

    def _used(self) -> float:
        return float(sum(sum(end.cpu_times()[:2]) for end in self.ends))

    def round(self) -> None:
        used, start = self._used(), time.perf_counter()
        for _ in range(TRIPS):
            self.service.call(self.run, self.log, PerfSnapshot(), TIMEOUT)
        self.seconds.append((time.perf_counter() - start) / TRIPS)
        self.cpu.append((self._used() - used) / TRIPS)

    def close(self) -> None:
        self.service.close()
        self.child.ask_to_stop()
        self.child.see_off(time.monotonic() + TIMEOUT)


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder) / "certs", 1)
        server = authority.sign("perfcore", "perfcore", LOCAL)
        driver = authority.sign("driver", "driver")
        hops = [
            Hop("plain", folder, [], None),
            Hop("tls", folder, ["--tls", str(server)], Identity(driver)),
        ]
        try:
            for _ in range(ROUNDS):
                for hop in hops:
                    hop.round()
        finally:
            for hop in hops:
                hop.close()
    plain, tls = hops
    time_ratio = [b / a for a, b in zip(plain.seconds, tls.seconds, strict=True)]
    cpu_ratio = [b / a for a, b in zip(plain.cpu, tls.cpu, strict=True)]
    return [
        Figure("command, plain", median(plain.seconds) * 1e6, "us", "", spread(plain.seconds, "us", 1e6)),
        Figure("command, mutual TLS", median(tls.seconds) * 1e6, "us", "", spread(tls.seconds, "us", 1e6)),
        Figure("TLS / plain, time", median(time_ratio), "", "", spread(time_ratio, "")),
        Figure("TLS / plain, CPU of both ends", median(cpu_ratio), "", "", spread(cpu_ratio, "")),
    ]
