"""``lbrlab certs`` and the options that use what it makes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509

from contract.wire.tls import Identity
from tests.cases import cases
from tests.client.cli.commands import document, lbrlab


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def names(path: Path) -> set[str]:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return {
        str(name.value) for name in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    }


def test_an_identity_for_each_role() -> None:
    told = document(lbrlab("certs", "certs", "--host", "10.0.0.1", "--host", "perf.example", "--kvm", "kvm7", "--json"))
    assert list(told["identities"]) == ["perfcore", "kvm7", "driver", "viewer"]
    for folder in told["identities"].values():
        Identity(Path(folder)).check()
    local = {"localhost", "127.0.0.1", "::1", "10.0.0.1", "perf.example"}
    assert names(Path("certs/perfcore/tls.crt")) == {"lbrlab:perfcore", *local}
    assert names(Path("certs/kvm7/tls.crt")) == {"lbrlab:kvm:kvm7", *local}
    assert names(Path("certs/driver/tls.crt")) == {"lbrlab:driver"}


def test_only_their_owner_reads_keys() -> None:
    assert lbrlab("certs", "certs").exit_code == 0
    keys = sorted(Path("certs").rglob("*.key"))
    assert len(keys) == 5
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_a_ca_that_is_there_signs_again() -> None:
    lbrlab("certs", "certs")
    ca = Path("certs/ca.crt").read_bytes()
    said = lbrlab("certs", "certs", "--days", "1")
    assert said.output.startswith("kept the CA certs/ca.crt; certificates are valid for 1 days")
    assert Path("certs/ca.crt").read_bytes() == ca
    Identity(Path("certs/driver")).check()


@cases(
    ("given", "said"),
    [
        (["certs", "certs", "--kvm", "driver"], "--kvm: expected a name such as kvm0, found 'driver'"),
        (["certs", "certs", "--kvm", "../up"], "--kvm: expected a name such as kvm0, found '../up'"),
        (["certs", "certs", "--host", "perf.\u00e9x"], "--host: expected names and addresses of hosts"),
        (["certs", "file"], "file: cannot be written: File exists"),
        (["certs", "broken"], "broken/ca.crt: expected PEM"),
        (["demo", "--insecure"], "--insecure: needs --perfcore and --kvm"),
        (["demo", "--tls", "certs"], "--tls: needs --perfcore and --kvm"),
        (["demo", "--perfcore", "10.0.0.1:1", "--kvm", "unix:k"], "--perfcore: 10.0.0.1:1 is reached from other hosts"),
        (["demo", "--perfcore", "localhost:1", "--kvm", "unix:k", "--tls", "none"], "none/tls.key: cannot be read"),
    ],
)
def test_bad_input(given: list[str], said: str) -> None:
    Path("file").touch()
    Path("broken").mkdir(exist_ok=True)
    Path("broken/ca.crt").write_text("nothing")
    result = lbrlab(*given)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
