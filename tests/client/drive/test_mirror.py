"""The trace is enough: the LBR rings that the checker's world mirrors from it are those of the silicon."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.check.world import World
from client.drive.sim import SimWire
from client.litmus import Scenario
from contract.design import Design
from contract.lbr_ring import LbrRing
from contract.trace import Setup
from tests.client.drive.test_random_tapes import drawn_run
from tests.client.litmus.strategies import scenarios
from tests.designs import DESIGNS


def ring(lbr: LbrRing) -> tuple[list[int], list[int], list[int], int, int]:
    return lbr.from_ip, lbr.to_ip, lbr.info, lbr.tos, lbr.select


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenarios(), st.sampled_from(list(DESIGNS.values())), st.data())
def test_the_world_mirrors_the_silicon(story: Scenario, design: Design, data: st.DataObject) -> None:
    wire = SimWire()
    played = drawn_run(wire, story, design, data)
    setup = played.records[0]
    assert isinstance(setup, Setup)
    world = World(setup)
    for record in played.records:
        world.apply(record)
    silicon = wire.host.machine.cpus
    assert [ring(view.lbr) for view in world.cpus] == [ring(cpu.lbr) for cpu in silicon]
