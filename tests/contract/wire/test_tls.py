"""Which addresses need TLS, and what a program says where it has none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import kvm_svc.service.main
import perfcore_svc.service.main
from contract.errors import InputError
from contract.wire.tls import PEM_LIMIT, check_exposure, is_local, read_pem
from tests.cases import cases

LOCAL = ["unix:perf.sock", "127.0.0.1:1", "127.9.9.9:0", "localhost:7401", "[::1]:7401"]
REACHED = ["0.0.0.0:0", "[::]:7401", "10.0.0.1:1", "128.0.0.1:1", "perf.example:7401", "localhost.example:1", "[::2]:1"]


@cases("address", LOCAL)
def test_an_address_of_this_host_needs_no_tls(address: str) -> None:
    assert is_local(address)
    check_exposure({"--listen": address}, None, False)


@cases("address", REACHED)
def test_an_address_that_others_reach_needs_it(address: str) -> None:
    assert not is_local(address)
    with pytest.raises(InputError, match=r"^--listen: .* expected --tls DIR, or --insecure$"):
        check_exposure({"--perfcore": "", "--listen": address}, None, False)
    check_exposure({"--listen": address}, None, True)


@cases(
    ("main", "given"),
    [
        (perfcore_svc.service.main.main, ["--listen", "0.0.0.0:0"]),
        (kvm_svc.service.main.main, ["--perfcore", "10.0.0.1:1"]),
        (kvm_svc.service.main.main, ["--perfcore", "unix:p", "--listen", "[::]:0"]),
        (perfcore_svc.service.main.main, ["--tls", "no-such-folder"]),
    ],
)
def test_a_service_does_not_start(
    main: object, given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(main)
    monkeypatch.setattr("sys.argv", ["svc", *given])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert given[-1] in said
    assert "expected --tls DIR, or --insecure" in said or "cannot be read" in said


def test_a_key_is_read_from_a_regular_file_of_sound_size(tmp_path: Path) -> None:
    """A pipe or a device would keep the program waiting for ever."""
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    large.write_bytes(bytes(PEM_LIMIT + 1))
    for path, said in (
        (pipe, "it is no regular file"),
        (Path("/dev/zero"), "it is no regular file"),
        (tmp_path, "it is no regular file"),
        (large, f"it has more than {PEM_LIMIT} bytes"),
        (tmp_path / "none", "No such file or directory"),
    ):
        with pytest.raises(InputError, match=f"^{path}: cannot be read: {said}$"):
            read_pem(path)
