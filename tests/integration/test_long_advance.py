"""Time that goes on for long: in pieces, and to the same end on both wires."""

from __future__ import annotations

from client.designs import DESIGNS
from client.drive.grpc_wire import GrpcWire
from client.drive.sim import SimWire
from client.litmus import parse
from client.run.inputs import Inputs
from client.run.run import run
from contract.control import Advance, ConfigurePerf, Done, MachineSpec, Open, SetMuxInterval
from contract.trace import canonical
from perfcore_svc.perf.rotation import TICKS_AT_ONCE
from tests.designs import MERGED

EVENTS = "\n".join(f"c{cpu}{i} = open cpu{cpu} counter;" for cpu in range(4) for i in range(6))
SCENARIO = f"""LBR long
"Counters take turns for long."

machine {{ cpus = 4; lbr = skylake; counters = 4; fixed = 0; }}
vm vm0 {{ vcpus = 1; lbr = on; }}

host {{
    mux 1ms;
    {EVENTS}
    advance 1200ms;
}}
"""


def test_both_wires_end_alike(wire: GrpcWire) -> None:
    scenario = parse(SCENARIO, "long")
    real, sim = (run(Inputs(scenario, DESIGNS["merged"], wire=each)) for each in (wire, SimWire()))

    assert real.failure is None
    assert canonical(real.records) == canonical(sim.records)
    assert sim.records[-1].time <= 1_200_000_000


def test_one_command_fires_a_bounded_number_of_timers(wire: GrpcWire) -> None:
    wire.begin()
    wire.perf(ConfigurePerf(MachineSpec(counters=1, fixed=0), MERGED, [], []))
    wire.perf(SetMuxInterval(1_000_000, -1))
    wire.perf(Open("a", cpu=0))
    wire.perf(Open("b", cpu=0))

    assert wire.perf(Advance(100_000_000_000)) == Done(errno="EINPROGRESS")
    assert wire.log.now == TICKS_AT_ONCE * 1_000_000
    assert wire.perf(Advance(1_500_000)) == Done()
    assert wire.log.now == TICKS_AT_ONCE * 1_000_000 + 1_500_000
