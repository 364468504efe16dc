"""The wire whose answers have happened already."""

from __future__ import annotations

import pytest

from client.drive.grpc_wire import GrpcWire
from client.live.wire import Happened, LiveWire
from contract.control import Advance, RunTask
from contract.errors import PeerContractError, RefusedError
from contract.messages import Drain
from contract.network import Fate
from contract.results import Done
from contract.trace import Discard, Send

RUN = RunTask("vm0/0", 0)


def free() -> LiveWire:
    wire = LiveWire(GrpcWire("unix:none", "unix:none-either"))
    wire.free = True
    return wire


def discard(time: int = 0) -> Discard:
    return Discard("kvm0", True, 1, "Drain", "R1", "no use", time=time)


def test_the_answer_is_what_happened_with_the_numbers_of_this_run() -> None:
    wire = free()
    wire.log.add(discard())
    sent = Send("kvm0", True, 1, 1, 77, Drain(), seq=90)
    wire.happened = Happened(RUN, Done(3), [sent, discard()])

    step = wire.perf(RUN)

    assert step.result == Done(3)
    assert [record.seq for record in wire.log.records] == [1, 2, 3]
    assert (sent.clock, step.effects) == (2, wire.log.records[1:])


@pytest.mark.parametrize("happened", [None, Happened(RunTask("vm0/1", 0), Done(), [])])
def test_what_has_not_happened_has_no_answer(happened: Happened | None) -> None:
    wire = free()
    wire.happened = happened
    with pytest.raises(PeerContractError, match="have not done"):
        wire.perf(RUN)


def test_an_answer_is_given_once() -> None:
    wire = free()
    wire.happened = Happened(None, Done(), [])
    assert wire.decide("kvm0", Fate.TAKE, "kvm0", 1).result
    with pytest.raises(PeerContractError):
        wire.decide("kvm0", Fate.TAKE, "kvm0", 1)


def test_a_refusal_comes_back() -> None:
    wire = free()
    wire.happened = Happened(RUN, RefusedError("no such CPU", "ENODEV"), [])
    with pytest.raises(RefusedError, match="no such CPU"):
        wire.perf(RUN)


def test_time_takes_along_what_passed_up_to_then() -> None:
    wire = free()
    wire.passed.extend([discard(100), discard(200), discard(300)])

    step = wire.perf(Advance(200))

    assert [record.time for record in step.effects] == [100, 200]
    assert (wire.log.now, len(wire.passed)) == (200, 1)
