"""Mutual TLS on real processes: who gets in, who does not and why, and new certificates under way."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from client.drive.grpc_service import BrokenCallError, Service
from client.drive.grpc_wire import GrpcWire
from client.drive.pair import Child
from contract.control import PerfSnapshot
from contract.errors import InputError, SystemFailedError
from contract.messages import PROTOCOL_VERSION
from contract.trace import Recorder
from contract.wire import authority
from contract.wire.authority import Authority
from contract.wire.options import CHANNEL
from contract.wire.tls import CERTIFICATE, Identity, handshake_fault
from lbrlab.v1 import contract_pb2, contract_pb2_grpc, info_pb2, lease_pb2, lease_pb2_grpc, machine_pb2_grpc
from tests.cases import cases
from tests.client.cli.commands import lbrlab
from tests.designs import REVOKE_GP
from tests.docs.pages import ROOT
from tests.integration.story import PATIENT, tell

START = 30.0
TIMEOUT = 5.0
LISTEN = ["--listen", "localhost:0", "--tls"]


@dataclass(frozen=True)
class Secure:
    """A pair under TLS, and the folder of its identities."""

    perfcore: Child
    kvm: Child
    folder: Path

    def identity(self, name: str) -> Identity:
        return Identity(self.folder / name)

    def wire(self, name: str) -> GrpcWire:
        return GrpcWire(self.perfcore.address, self.kvm.address, turn=PATIENT, identity=self.identity(name))


@contextmanager
def child(service: str, arguments: list[str], folder: Path) -> Iterator[Child]:
    made = Child(
        service,
        f"{service.replace('perfcore', 'perfcore_svc').replace('kvm', 'kvm_svc')}.service.main",
        arguments,
        str(folder),
    )
    try:
        made.wait_ready(time.monotonic() + START)
        yield made
    finally:
        made.ask_to_stop()
        made.see_off(time.monotonic() + 10)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    folder = tmp_path_factory.mktemp("certs")
    made = lbrlab("certs", str(folder), "--kvm", "kvm0", "--kvm", "kvm1")
    assert made.exit_code == 0
    foreign = Authority(folder / "other", 1)
    shutil.copytree(foreign.sign("foreign", "driver"), folder / "foreign")
    shutil.copy(folder / "driver" / "ca.crt", folder / "foreign")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(authority, "CLOCKS_DIFFER", timedelta(days=3))
        Authority(folder, -1).sign("expired", "driver")
    Authority(folder, 1).sign("nobody", "guest")
    with (
        child("perfcore", [*LISTEN, str(folder / "perfcore")], folder) as perfcore,
        child("kvm", [*LISTEN, str(folder / "kvm0"), "--perfcore", perfcore.address], folder) as kvm,
    ):
        yield Secure(perfcore, kvm, folder)


def test_a_run_under_tls_is_that_without(secure: Secure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = ("--perfcore", secure.perfcore.address, "--kvm", secure.kvm.address, "--tls", f"{secure.folder}/driver")
    run = lbrlab("run", "exits", "-d", "fenced", "-o", "run.json", *given, "--wait", "30")
    assert (run.exit_code, lbrlab("confirm", "run.json").exit_code) == (0, 0)


@cases(
    ("name", "why"),
    [
        ("viewer", "is for the role driver, this certificate has viewer"),
        ("kvm0", "is for the role driver, this certificate has kvm"),
        ("nobody", "is for the role .*, this certificate has guest"),
        ("foreign", "does not accept our certificate: the CA in ca.crt has not signed it"),
        ("expired", "does not accept our certificate: it has expired"),
    ],
)
def test_who_may_not_play_is_told_why(secure: Secure, name: str, why: str) -> None:
    wire = secure.wire(name)
    with pytest.raises(SystemFailedError, match=f"^perfcore: .*{why}"):
        tell(wire, REVOKE_GP)
    wire.close()


def test_without_a_certificate_nobody_gets_in(secure: Secure) -> None:
    plain = GrpcWire(secure.perfcore.address, secure.kvm.address)
    with pytest.raises(SystemFailedError, match=r"^perfcore: localhost:\d+ speaks TLS: expected --tls DIR$"):
        tell(plain, REVOKE_GP)
    plain.close()
    with grpc.secure_channel(secure.perfcore.address, _anonymous(secure)) as channel:
        asked = channel.unary_unary("/lbrlab.v1.InfoService/GetInfo")
        with pytest.raises(grpc.RpcError) as refused:
            asked(info_pb2.GetInfoRequest().SerializeToString(), timeout=TIMEOUT)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert logged(secure.perfcore, "Handshake failed")


def test_tls_at_a_plain_service_is_one_error_without_lines_of_grpc(secure: Secure, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        address = f"127.0.0.1:{plain.getsockname()[1]}"
        threading.Thread(target=_greet_in_plain, args=(plain,), daemon=True).start()
        services = ["--perfcore", address, "--kvm", secure.kvm.address, "--tls", f"{secure.folder}/driver"]
        started = subprocess.run(
            [sys.executable, "-c", "from client.cli.entry import main; main()", "run", "exits", *services],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert started.stderr == ""
    said = f"exits under merged on grpc: failed (perfcore: {address} speaks no TLS)"
    assert started.stdout.splitlines() == [said, "  run file: lbrlab-runs/exits-merged-grpc.json"]
    assert started.returncode == 3


def _greet_in_plain(server: socket.socket) -> None:
    """As HTTP/2 without TLS does: with a frame of settings."""
    with suppress(OSError):
        while True:
            peer, _ = server.accept()
            peer.sendall(bytes.fromhex("000000040000000000"))
            peer.recv(1 << 12)
            peer.close()


def _anonymous(secure: Secure) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials((secure.folder / "ca.crt").read_bytes())


def test_a_viewer_reads_and_does_nothing_else(secure: Secure) -> None:
    viewer = Service("perfcore", secure.perfcore.address, identity=secure.identity("viewer"))
    assert viewer.info(TIMEOUT).service == "perfcore"
    assert viewer.trace(1, 0, TIMEOUT) is not None
    with pytest.raises(BrokenCallError) as refused:
        viewer.call(1, Recorder(), PerfSnapshot(), TIMEOUT)
    assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED
    viewer.close()


def test_a_driver_is_no_kvm_and_a_kvm_no_other_kvm(secure: Secure) -> None:
    told = {}
    first = contract_pb2.AttachRequest(kvm="kvm0", protocol=PROTOCOL_VERSION, instance="evil")
    for name in ("driver", "viewer", "kvm1"):
        credentials = secure.identity(name).channel_credentials()
        with grpc.secure_channel(secure.perfcore.address, credentials, options=CHANNEL) as channel:
            attach = contract_pb2_grpc.ContractServiceStub(channel).Attach(iter([first]), timeout=TIMEOUT)
            with pytest.raises(grpc.RpcError) as refused:
                next(attach)
            told[name] = refused.value.code(), refused.value.details()
            if name != "kvm1":
                prolong = lease_pb2_grpc.LeaseServiceStub(channel).Prolong.future(lease_pb2.ProlongRequest(kvm="kvm0"))
                machine = machine_pb2_grpc.MachineServiceStub(channel).Run(iter([]), timeout=TIMEOUT)
                assert {prolong.code(), machine.code()} == {grpc.StatusCode.PERMISSION_DENIED}
    denied = grpc.StatusCode.PERMISSION_DENIED
    assert told["kvm1"] == (denied, "this certificate is that of kvm1, not of kvm0")
    assert told["driver"] == (denied, "ContractService/Attach is for the role kvm, this certificate has driver")
    assert told["viewer"][0] is denied


def test_a_kvm_under_another_name_says_why_it_has_no_link(secure: Secure) -> None:
    arguments = [*LISTEN, str(secure.folder / "kvm1"), "--perfcore", secure.perfcore.address, "--name", "kvm2"]
    with child("kvm", arguments, secure.folder) as kvm:
        service = Service("kvm", kvm.address, identity=secure.identity("driver"))
        link, detail = _link(service, info_pb2.LINK_STATE_REFUSED)
        service.close()
    assert (link, detail) == (info_pb2.LINK_STATE_REFUSED, "this certificate is that of kvm1, not of kvm2")
    assert "not of kvm2" in logged(secure.perfcore, "kvm-refused")


def test_a_kvm_that_the_perf_core_does_not_let_in_says_why(secure: Secure) -> None:
    shutil.copytree(secure.folder / "foreign", secure.folder / "stranger")
    arguments = [*LISTEN, str(secure.folder / "stranger"), "--perfcore", secure.perfcore.address]
    with child("kvm", arguments, secure.folder) as kvm:
        assert "link-refused" in logged(kvm, "has not signed it")


def logged(service: Child, words: str) -> str:
    """The last line with these words among the last lines of a service's log. A process logs when it has the time."""
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        if found := [line for line in service.tail.copy() if words in line]:
            return found[-1]
        time.sleep(0.02)
    return ""


def _link(service: Service, wanted: int) -> tuple[int, str]:
    deadline = time.monotonic() + START
    while (info := service.info(TIMEOUT)).link != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return info.link, info.link_detail


def test_new_certificates_are_taken_and_open_sessions_stay(tmp_path: Path) -> None:
    first = Authority(tmp_path, 2)
    first.sign("perfcore", "perfcore", authority.LOCAL)
    driver = Identity(first.sign("driver", "driver"))
    with child("perfcore", [*LISTEN, str(tmp_path / "perfcore")], tmp_path) as perfcore:
        before = Service("perfcore", perfcore.address, identity=driver)
        before.info(TIMEOUT)
        (tmp_path / "ca.crt").unlink()
        second = Authority(tmp_path, 2)
        second.sign("perfcore", "perfcore", authority.LOCAL)
        old = handshake_fault(perfcore.address, driver)
        second.sign("driver", "driver")
        after = Service("perfcore", perfcore.address, identity=driver)
        assert "is not accepted" in old
        assert (before.info(TIMEOUT).service, after.info(TIMEOUT).service) == ("perfcore", "perfcore")
        (tmp_path / "perfcore" / CERTIFICATE).write_text("nothing")
        again = Service("perfcore", perfcore.address, identity=driver)
        assert again.info(TIMEOUT).service == "perfcore", "the old files stay"
        for service in (before, after, again):
            service.close()
        assert logged(perfcore, "certificates-changed")
        assert logged(perfcore, "certificates-refused")


def test_a_key_that_does_not_fit_is_named(secure: Secure, tmp_path: Path) -> None:
    shutil.copytree(secure.folder / "driver", tmp_path / "mixed")
    shutil.copy(secure.folder / "viewer" / "tls.key", tmp_path / "mixed")
    with pytest.raises(InputError, match=re.escape("tls.key: is not the key of the certificate")):
        Identity(tmp_path / "mixed").check()
    with pytest.raises(InputError, match=r"the certificate is valid from .* to .* UTC"):
        secure.identity("expired").check()
