"""Several KVM services on one perf core, and two hosts: the same on both wires, and nobody's records get to another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from client.check.judge import judge
from client.drive.pair import Pair
from client.drive.play import layout_of
from client.litmus import Scenario
from client.litmus.fault_rules import parse_fault
from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.schedule import Schedule
from contract.design import Design
from contract.trace import Send, canonical
from tests.designs import FENCED, KVM_SWITCH, MERGED, REVOKE_ACK, V8
from tests.integration.story import PATIENT
from tests.library import library_scenario

FOUR_VMS = library_scenario("mech-four-vms-three-kvms")
MOVES = library_scenario("mech-migrate-with-lbr")
STORIES = {"four-vms": FOUR_VMS, "two-hosts": MOVES}


@pytest.fixture(scope="module", params=STORIES)
def processes(request: pytest.FixtureRequest) -> Iterator[tuple[Scenario, Pair]]:
    """The processes that a story needs, for all tests of it."""
    story = STORIES[request.param]
    with Pair(layout=layout_of(story)) as pair:
        yield story, pair


@pytest.mark.parametrize("fault", ["", "drop:Revoke:1", "duplicate:EventCreated:2", "drop:SchedIn:2"])
@pytest.mark.parametrize("design", [V8, MERGED, KVM_SWITCH, REVOKE_ACK, FENCED], ids=lambda d: d.name)
def test_the_same_on_both_wires(processes: tuple[Scenario, Pair], design: Design, fault: str) -> None:
    story, pair = processes
    faults = (parse_fault(fault),) if fault else ()
    wire = pair.connect(turn=PATIENT)
    grpc = run(Inputs(story, design, Schedule(faults), wire=wire))
    wire.close()
    sim = run(Inputs(story, design, Schedule(faults)))
    assert grpc.failure is None
    assert canonical(grpc.records) == canonical(sim.records)


def test_each_kvm_hears_of_its_own_guests_only() -> None:
    played = run(Inputs(FOUR_VMS, FENCED))
    told = {(r.session, r.body.vcpu) for r in played.records if isinstance(r, Send) and hasattr(r.body, "vcpu")}
    assert told == {("kvm0", "vm0/0"), ("kvm1", "vm1/0"), ("kvm2", "vm2/0"), ("kvm2", "vm3/0")}


def test_no_leak_is_asked_of_every_guest_and_held() -> None:
    played = run(Inputs(FOUR_VMS, FENCED))
    assert {f.invariant: f.verdict for f in judge(played.records)}["no-leak"] == "held"
