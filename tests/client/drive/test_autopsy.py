"""A process that listens has not died."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from client.cli.services import check_address
from client.drive.autopsy import _as_told, knock
from client.drive.grpc_service import BrokenCallError
from contract.errors import InputError
from tests.cases import cases


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_what_listens_but_is_silent_does_not_answer(listener: socket.socket) -> None:
    address = f"127.0.0.1:{listener.getsockname()[1]}"

    assert knock(address, met=True) == f"does not answer at {address}"


def test_a_unix_socket_that_is_silent(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        assert knock(f"unix:{path}", met=True) == f"does not answer at unix:{path}"
    assert knock(f"unix:{path}", met=True) == f"died, nothing listens at unix:{path}"


def test_a_port_that_refuses(listener: socket.socket) -> None:
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    listener.close()

    assert knock(address, met=True) == f"died, nothing listens at {address}"
    assert knock(address, met=False) == f"nothing listens at {address}"


@cases(
    ("details", "told"),
    [
        ("Socket closed", "perfcore: the driver has lost its link to it (UNAVAILABLE: Socket closed)"),
        ("kvm: kvm0: is stopping", "kvm0: kvm0: is stopping"),
    ],
    ids=["of the link", "of a service"],
)
def test_a_call_that_fails_while_all_services_answer(details: str, told: str) -> None:
    services: dict[str, Any] = {name: SimpleNamespace(kind=name.rstrip("0"), host=0) for name in ("perfcore", "kvm0")}
    broken = BrokenCallError("perfcore", grpc.StatusCode.UNAVAILABLE, details)
    assert str(_as_told(broken, services, lambda name, seconds: "")) == told


def test_a_name_that_does_not_resolve() -> None:
    assert knock("nosuchhost.invalid:1", met=False).startswith("cannot resolve the name of nosuchhost.invalid:1: ")


@cases("text", ["http://127.0.0.1:17401", "unix:", "a b:1", "::1:7", "host:1234567"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InputError, match=r"^--kvm: expected"):
        check_address("--kvm", text)


@cases("text", ["127.0.0.1:0", "[::1]:7", "host.example:65535", "unix:a b"])
def test_what_is_an_address(text: str) -> None:
    check_address("--kvm", text)
