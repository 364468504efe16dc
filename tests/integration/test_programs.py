"""Guest programs on real processes: trace and tape of the simulated wire, byte for byte; the tape replays."""

from __future__ import annotations

import pytest

from client.drive.grpc_wire import GrpcWire
from client.drive.play import Player
from client.drive.sim import SimWire
from client.litmus import library_path, load
from client.tape.decisions import format_tape
from client.tape.policy import DefaultPolicy, ReplayPolicy
from contract.design import Design
from contract.trace import canonical
from tests.designs import MERGED, REVOKE_GP


@pytest.mark.parametrize("design", [MERGED, REVOKE_GP], ids=lambda design: design.name)
@pytest.mark.parametrize("name", ["guest-finds-lbr", "guest-counts-branches", "guest-test-beside-host"])
def test_the_same_on_both_wires(wire: GrpcWire, name: str, design: Design) -> None:
    story = load(library_path(name))
    sim = Player(SimWire(), story, design, DefaultPolicy()).play()
    grpc = Player(wire, story, design, DefaultPolicy()).play()
    assert canonical(grpc.records) == canonical(sim.records)
    assert format_tape(grpc.tape) == format_tape(sim.tape)

    again = Player(wire, story, design, ReplayPolicy(sim.tape)).play()
    assert canonical(again.records) == canonical(sim.records)
