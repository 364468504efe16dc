"""A KVM that is cut off, or stopped, does not keep its name at the perf core."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from client.drive.grpc_service import Service
from client.drive.pair import Child
from lbrlab.v1 import info_pb2


@contextmanager
def child(service: str, module: str, folder: Path, *arguments: str) -> Iterator[Child]:
    folder.mkdir()
    process = Child(service, module, list(arguments), str(folder))
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


def test_a_kvm_that_no_longer_answers_loses_its_name_to_the_next(tmp_path: Path) -> None:
    with child("perfcore", "tests.integration.impatient_perfcore", tmp_path / "host") as host:
        at = "--perfcore", host.address
        with child("kvm", "kvm_svc.service.main", tmp_path / "a", *at) as first:
            link_of(first, info_pb2.LINK_STATE_UP)
            with child("kvm", "kvm_svc.service.main", tmp_path / "b", *at) as second:
                link_of(second, info_pb2.LINK_STATE_REFUSED)
                first.process.send_signal(signal.SIGSTOP)
                link_of(second, info_pb2.LINK_STATE_UP)
                first.process.send_signal(signal.SIGCONT)
                link_of(first, info_pb2.LINK_STATE_REFUSED)
