"""A peer that is stopped is noticed, on either side of the link, and does not keep its name."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from client.drive.grpc_service import Service
from client.drive.pair import Child
from contract.wire.options import CHANNEL, SERVER
from lbrlab.v1 import info_pb2


@contextmanager
def child(service: str, folder: Path, *arguments: str) -> Iterator[Child]:
    folder.mkdir()
    process = Child(service, "tests.integration.impatient", ["--service", service, *arguments], str(folder))
    process.wait_ready(time.monotonic() + 10)
    try:
        yield process
    finally:
        process.process.send_signal(signal.SIGCONT)
        process.ask_to_stop()
        process.see_off(time.monotonic() + 2)


def link_of(kvm: Child, wanted: int) -> None:
    service = Service("kvm", kvm.address)
    until = time.monotonic() + 10
    while service.info(5).link != wanted:
        assert time.monotonic() < until, f"no link {wanted} within 10 s"
        time.sleep(0.02)
    service.close()


def test_a_peer_that_no_longer_answers_is_noticed_on_either_side(tmp_path: Path) -> None:
    with child("perfcore", tmp_path / "host") as host:
        at = "--perfcore", host.address
        with child("kvm", tmp_path / "a", *at) as first:
            link_of(first, info_pb2.LINK_STATE_UP)
            with child("kvm", tmp_path / "b", *at) as second:
                link_of(second, info_pb2.LINK_STATE_REFUSED)
                first.process.send_signal(signal.SIGSTOP)
                link_of(second, info_pb2.LINK_STATE_UP)
                first.process.send_signal(signal.SIGCONT)
                link_of(first, info_pb2.LINK_STATE_REFUSED)
                first.process.kill()

                host.process.send_signal(signal.SIGSTOP)
                link_of(second, info_pb2.LINK_STATE_DIALLING)
                host.process.send_signal(signal.SIGCONT)
                link_of(second, info_pb2.LINK_STATE_UP)


def test_the_bound_is_five_seconds() -> None:
    """docs/services.md and docs/architecture.md state it."""
    for options in (dict(CHANNEL), dict(SERVER)):
        assert options["grpc.keepalive_time_ms"] + options["grpc.http2.ping_timeout_ms"] == 5_000
    assert dict(SERVER)["grpc.http2.min_ping_interval_without_data_ms"] <= dict(CHANNEL)["grpc.keepalive_time_ms"]
