"""A service of a living pair is killed with SIGKILL and started again: the run goes on as on the simulated wire."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from client.drive.grpc_wire import GrpcWire, Turn
from client.drive.pair import Pair
from client.drive.wire import Wire
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import Run, run
from client.schedule.schedule import Schedule, Tape
from contract.errors import InputError
from contract.trace import Restart, ShuttingDown, canonical
from tests.crashes.points import Timed, compared, random_point, story_of
from tests.crashes.schedule import crash_and_restart
from tests.designs import FENCED


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


def test_both_wires_are_the_same_at_random_points(pair: Pair) -> None:
    """``python -m tests.bench crashes`` takes 200 points."""
    rng, wire = Random(40), Timed(pair)
    points = [random_point(rng) for _ in range(4)]
    assert {point.service for point in points} == {"kvm0", "perfcore"}
    for point in points:
        outcome = compared(point, wire)
        assert (outcome.same, outcome.failure) == (True, ""), point


def test_both_services_can_be_killed_in_one_run_by_rules(pair: Pair) -> None:
    """The host is killed while the KVM is away, and its power comes back first."""
    rules = (parse_fault("crash kvm0 at record 50 by 8"), parse_fault("crash perfcore at record 52"))

    def played(wire: Wire | None) -> Run:
        return run(Inputs(story_of("central-story"), FENCED, Schedule(rules), wire)).finished()

    simulated, real = played(None), played(pair.wire)
    assert [r.service for r in simulated.of(Restart)] == ["perfcore", "kvm0"]
    assert simulated.applied == [True, True]
    assert canonical(real.records) == canonical(simulated.records)


@pytest.mark.parametrize("service", ["kvm0", "perfcore"])
def test_a_service_that_is_told_to_stop_gives_the_same_trace(pair: Pair, service: str) -> None:
    schedule = Schedule((parse_fault(f"shutdown {service} at Revoke 1 by 8"),))
    simulated, real = (
        run(Inputs(story_of("central-story"), FENCED, schedule, wire)).finished() for wire in (None, pair.wire)
    )
    assert len(simulated.of(ShuttingDown)) == 1
    assert canonical(real.records) == canonical(simulated.records)


def test_a_service_that_the_driver_has_not_started_cannot_be_killed(pair: Pair) -> None:
    wire = GrpcWire(pair.perfcore.address, pair.kvm.address, turn=Turn(take_over=True))
    schedule = Schedule(other=lambda: crash_and_restart("kvm0", 5))
    with pytest.raises(InputError, match="kvm0: this run cannot end a service that it has not started"):
        run(Inputs(story_of("central-story"), FENCED, schedule, wire))
    wire.close()


@pytest.mark.parametrize("rule", ["crash kvm0 at Revoke 1", "shutdown perfcore at Revoke 1"])
def test_a_rule_or_a_tape_that_ends_given_services_is_refused_before_anything_is_played(rule: str) -> None:
    """No service is there to be asked."""
    rules = (parse_fault(rule),)
    tape = Tape(run(Inputs(story_of("central-story"), FENCED, Schedule(rules))).tape)
    wire = GrpcWire("127.0.0.1:1", "127.0.0.1:1")
    for schedule, place in ((Schedule(rules), f"fault '{rule}'"), (Schedule(tape=tape), rule.split(" at ")[0])):
        with pytest.raises(InputError, match=f"{place}.*: this run has not started its services"):
            run(Inputs(story_of("central-story"), FENCED, schedule, wire))
    wire.close()
