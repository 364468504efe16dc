"""Perf core, KVM and driver on three hosts, with TLS, where each link in turn is slow, lossy and cut."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from client.drive.sim import SimWire
from client.run.confirm import confirm
from client.run.file import load_judged
from client.schedule.incidents import Cut
from contract.errors import ExitCode
from tests.client.cli.commands import unbroken
from tests.integration.namespaces import Host, refused, three_hosts
from tests.integration.relay import TcpRelay

PHASE = 0.4
"""Seconds that a link is slow, and that it is lossy."""
START = 20.0
LBRLAB = "from client.cli.entry import main; main()"
LINKS = "kvm-perfcore", "driver-perfcore", "driver-kvm"


@dataclass
class Network:
    """``links``: the relay of each. Further members: addresses for the driver, and the folder of certificates."""

    hosts: dict[str, Host]
    certs: Path
    links: dict[str, TcpRelay] = field(default_factory=dict)
    children: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, host: str, module: str, *options: str) -> str:
        """A service on a host: its address."""
        child = subprocess.Popen(
            self.hosts[host].command(sys.executable, "-m", module, "--exit-with-parent", *options),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.children.append(child)
        assert child.stdout is not None
        return str(json.loads(child.stdout.readline())["address"])

    def record(self, output: Path, duration: float, during: Callable[[], None]) -> tuple[int, str]:
        """``lbrlab record`` on the driver's host: its status and its standard error. ``during`` begins with the free
        run, of which the driver's first bytes to the KVM are a sign."""
        to_kvm = self.links["driver-kvm"]
        passed = to_kvm.passed
        command = self.hosts["driver"].command(
            sys.executable, "-c", LBRLAB, "record", "--vcpus", "3", "--duration", str(duration),
            "--perfcore", self.links["driver-perfcore"].address, "--kvm", to_kvm.address,
            "--tls", str(self.certs / "driver"), "--wait", "20", "--json", "-o", str(output),
        )  # fmt: skip
        driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + START
        while to_kvm.passed < passed + 20_000 and driver.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        work = threading.Thread(target=during)
        work.start()
        _, errors = driver.communicate(timeout=60)
        work.join()
        return driver.returncode, errors


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    if why := refused():
        pytest.skip(why)
    certs = tmp_path_factory.mktemp("tls") / "certs"
    with three_hosts() as hosts:
        gateways = [word for host in hosts.values() for word in ("--host", host.gateway)]
        unbroken("certs", str(certs), *gateways)
        made = Network(hosts, certs)
        try:
            made.links = {link: TcpRelay(hosts[link.split("-")[0]].gateway) for link in LINKS}
            tls = {name: str(certs / name) for name in ("perfcore", "kvm0")}
            perfcore = made.start(
                "perfcore",
                "perfcore_svc.service.main",
                "--listen",
                f"{hosts['perfcore'].address}:0",
                "--tls",
                tls["perfcore"],
            )
            made.links["kvm-perfcore"].target = made.links["driver-perfcore"].target = perfcore
            made.links["driver-kvm"].target = made.start(
                "kvm", "kvm_svc.service.main", "--listen", f"{hosts['kvm'].address}:0",
                "--perfcore", made.links["kvm-perfcore"].address, "--tls", tls["kvm0"],
            )  # fmt: skip
            yield made
        finally:
            for child in made.children:
                child.terminate()
                child.wait(10)
            for relay in made.links.values():
                relay.close()


def test_a_slow_and_a_lossy_link_change_nothing_and_a_cut_one_is_mended(network: Network, tmp_path: Path) -> None:
    def disturb() -> None:
        for relay in network.links.values():
            relay.delay = 0.005
            time.sleep(PHASE)
            relay.delay, relay.loss = 0.0, 0.02
            time.sleep(PHASE)
            relay.loss = 0.0
        network.links["kvm-perfcore"].cut()

    status, errors = network.record(tmp_path / "run.json", 7 * PHASE, disturb)

    assert (status, errors) == (ExitCode.HELD, "")
    run = load_judged(tmp_path / "run.json")
    assert [decision.session for decision in run.tape if isinstance(decision, Cut)] == ["kvm0"]
    assert confirm(run, SimWire()).same


@pytest.mark.parametrize(("link", "service"), [("driver-kvm", "kvm0"), ("driver-perfcore", "perfcore")])
def test_a_driver_that_is_cut_off_keeps_what_it_has(network: Network, tmp_path: Path, link: str, service: str) -> None:
    status, errors = network.record(tmp_path / "run.json", 20, network.links[link].cut)

    assert status == ExitCode.SYSTEM_FAILED
    # The free run loses it, or the command that ends the run a moment later.
    assert f"error: {service}: the driver has lost its link to it" in " ".join(errors.split())
    run = load_judged(tmp_path / "run.json")
    assert run.failure is not None
    assert len(run.tape) > 20
