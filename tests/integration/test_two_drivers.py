"""Several drivers on one pair of services: one has it, the others are told, wait, or take it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from client.drive.grpc_service import BrokenCallError, Service
from client.drive.grpc_wire import GrpcWire, Turn
from client.drive.pair import Pair
from contract.control import ConfigureKvm, ConfigurePerf, MachineSpec, RunTask, StepVcpu, VmSpec
from contract.errors import RefusedError, SystemFailedError
from contract.trace import Recorder
from tests.client.cli.commands import lbrlab
from tests.designs import MERGED
from tests.integration.story import PATIENT, SESSION, VCPU, set_up

LEASE = 0.3
BUSY = r"^perfcore: busy, held by .*process \d+\) for \d+ s; its lease ends in .* s unless it is renewed"


@pytest.fixture(scope="module")
def shared() -> Iterator[Pair]:
    """A pair whose lease runs out soon."""
    with Pair(flags={"perfcore": ["--lease", str(LEASE)]}) as shared:
        yield shared


def another(pair: Pair, turn: Turn) -> GrpcWire:
    return GrpcWire(pair.perfcore.address, pair.kvm.address, turn=turn)


def works(wire: GrpcWire) -> None:
    wire.perf(RunTask("t0", 0))


def test_a_second_driver_is_told_who_has_the_services(pair: Pair, wire: GrpcWire) -> None:
    set_up(wire, MERGED)
    other = another(pair, Turn())
    with pytest.raises(SystemFailedError, match=BUSY):
        set_up(other, MERGED)
    other.close()

    works(wire)


def test_a_driver_that_closes_gives_the_services_back(pair: Pair, wire: GrpcWire) -> None:
    other = another(pair, PATIENT)
    set_up(other, MERGED)
    other.close()
    set_up(wire, MERGED)

    works(wire)


def test_a_driver_that_waits_gets_them_when_they_are_given_back(pair: Pair, wire: GrpcWire) -> None:
    set_up(wire, MERGED)
    other = another(pair, Turn(wait=60))
    waiting = threading.Thread(target=set_up, args=(other, MERGED))
    waiting.start()
    works(wire)
    wire.close()
    waiting.join(30)
    works(other)
    other.close()


def test_taking_over_ends_the_other_run_and_says_so(pair: Pair, wire: GrpcWire) -> None:
    set_up(wire, MERGED)
    other = another(pair, Turn(take_over=True))
    set_up(other, MERGED)
    with pytest.raises(SystemFailedError, match="which another driver has begun"):
        works(wire)

    works(other)
    other.close()


def test_the_lease_of_a_dead_driver_runs_out(shared: Pair) -> None:
    dead = another(shared, Turn())
    set_up(dead, MERGED)
    other = another(shared, Turn(wait=60))
    set_up(other, MERGED)
    works(other)
    other.close()
    dead.close()


def test_a_silent_driver_goes_on_where_nobody_asks(shared: Pair) -> None:
    silent = another(shared, Turn())
    set_up(silent, MERGED)
    other = another(shared, Turn(wait=60))
    other._acquire()
    other.close()
    with pytest.raises(SystemFailedError, match="has taken it, the lease of this run has ended"):
        works(silent)
    silent.close()


def test_the_service_gives_out_the_numbers(pair: Pair) -> None:
    perfcore = Service("perfcore", pair.perfcore.address)
    configure = ConfigurePerf(MachineSpec(), MERGED, [], [VCPU])
    perfcore.acquire("a test", 60, wait=30)
    first = perfcore.call(0, Recorder(), configure, 5).stamp.run
    with pytest.raises(RefusedError, match="expected 0, the answer has the number"):
        perfcore.call(first + 1, Recorder(), configure, 5)
    with pytest.raises(RefusedError, match="must be less than or equal to"):
        perfcore.call(2**64 - 1, Recorder(), configure, 5)
    second = perfcore.call(0, Recorder(), configure, 5).stamp.run
    perfcore.release(5)
    perfcore.close()

    assert second == first + 1


def test_a_kvm_is_configured_only_by_the_driver_of_its_perf_core(pair: Pair, wire: GrpcWire) -> None:
    set_up(wire, MERGED)
    kvm = Service("kvm", pair.kvm.address)
    number = kvm.info(5).run
    configure = ConfigureKvm(SESSION, MachineSpec(), MERGED, [VmSpec("vm0")])
    for command in (configure, StepVcpu(VCPU, [])):
        with pytest.raises(BrokenCallError, match=r"another driver has begun|configured already") as caught:
            kvm.call(number, Recorder(), command, 5)
        assert caught.value.code is grpc.StatusCode.ABORTED
    kvm.close()

    works(wire)


def test_the_command_line_says_busy_waits_and_takes_over(
    pair: Pair, wire: GrpcWire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ("run", "exits", "--perfcore", pair.perfcore.address, "--kvm", pair.kvm.address)
    set_up(wire, MERGED)
    busy = lbrlab(*given)
    taken = lbrlab(*given, "--take-over")

    assert busy.exit_code == 3
    assert "busy, held by" in busy.output
    assert "--take-over" in busy.output
    assert taken.exit_code == 0


@pytest.mark.parametrize("flags", [("--wait", "5"), ("--take-over",)])
def test_waiting_goes_with_given_services(flags: tuple[str, ...]) -> None:
    result = lbrlab("run", "exits", *flags)

    assert result.exit_code == 2
    assert f"{flags[0]}: needs --perfcore and --kvm" in result.output
