"""Guest programs on real processes: trace and tape of the simulated wire, byte for byte; the tape replays."""

from __future__ import annotations

import pytest

from client.drive.grpc_wire import GrpcWire
from client.drive.sim import SimWire
from client.drive.wire import Wire
from client.litmus import parse
from client.run.inputs import Inputs
from client.run.run import run
from client.schedule.decisions import format_tape
from client.schedule.schedule import replay
from contract.design import Design
from contract.errors import InputError
from contract.trace import EventOpen, canonical
from tests.designs import MERGED, REVOKE_ACK, REVOKE_GP
from tests.library import library_scenario


@pytest.mark.parametrize("design", [MERGED, REVOKE_GP], ids=lambda design: design.name)
@pytest.mark.parametrize("name", ["guest-finds-lbr", "guest-counts-branches", "guest-test-beside-host"])
def test_the_same_on_both_wires(wire: GrpcWire, name: str, design: Design) -> None:
    story = library_scenario(name)
    sim = run(Inputs(story, design))
    grpc = run(Inputs(story, design, wire=wire))
    assert canonical(grpc.records) == canonical(sim.records)
    assert format_tape(grpc.tape) == format_tape(sim.tape)

    again = run(Inputs(story, design, replay(sim.tape), wire=wire))
    assert canonical(again.records) == canonical(sim.records)


def test_events_that_are_opened_in_a_loop(wire: GrpcWire) -> None:
    text = """LBR loop vm vm0 { lbr = on; }
    host { run vm0/0 on cpu0; repeat 3 { h = open cpu0 pinned branch any; branch 3; s = sample h; close h; } }
    vm0/0 { wrmsr DEBUGCTL, LBR; repeat 8 { branch 2; cpuid; } }"""
    story = parse(text)
    sim = run(Inputs(story, REVOKE_ACK))
    grpc = run(Inputs(story, REVOKE_ACK, wire=wire))
    assert canonical(grpc.records) == canonical(sim.records)
    assert [r.name for r in grpc.records if isinstance(r, EventOpen) and not r.guest] == ["h", "h#2", "h#3"]


COMPARES = """LBR compares vm vm0 { lbr = off; }
host { run vm0/0 on cpu0; }
vm0/0 { a = rdmsr LBR_TOS; b = rdmsr LBR_TOS; if a = b { same = 1; } }"""


def test_a_comparison_of_no_number_ends_the_run_on_both_wires(wire: GrpcWire) -> None:
    story = parse(COMPARES, "compares.litmus")
    wires: list[Wire] = [SimWire(), wire]
    for one in wires:
        with pytest.raises(InputError, match=r"^compares\.litmus:3: vm0/0 compares 'a', which holds #GP and no number"):
            run(Inputs(story, MERGED, wire=one))
