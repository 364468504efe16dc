"""Commands that would keep a service for long: done in pieces, and to the same end on both wires."""

from __future__ import annotations

import pytest

from client.designs import DESIGNS
from client.drive.grpc_wire import GrpcWire
from client.drive.sim import SimWire
from client.litmus import parse
from client.run.inputs import Inputs
from client.run.run import run
from contract.control import (
    Advance,
    AnyKvmCommand,
    AnyPerfCommand,
    ConfigurePerf,
    MachineSpec,
    Open,
    Retire,
    SetMuxInterval,
)
from contract.effects import StepResult
from contract.results import AnyResult, Done
from contract.trace import Retired, VmEntry, canonical
from kvm_svc.hypervisor.run import ENTRIES_AT_ONCE
from perfcore_svc.machine.machine import OVERFLOWS_AT_ONCE
from perfcore_svc.perf.rotation import TICKS_AT_ONCE
from tests.cases import cases
from tests.designs import MERGED

TICKS = "\n".join(f"c{cpu}{i} = open cpu{cpu} counter;" for cpu in range(4) for i in range(6))
ADVANCE = f"""LBR long-advance
"Counters take turns for long."

machine {{ cpus = 4; lbr = skylake; counters = 4; fixed = 0; }}
vm vm0 {{ vcpus = 1; lbr = on; }}

host {{
    mux 1ms;
    {TICKS}
    advance 1200ms;
}}
"""

SAMPLES = "\n".join(f"c{i} = open cpu0 counter period {100 + 7 * i};" for i in range(8))
RETIRE = f"""LBR long-retire
"Counters overflow one after the other, on the host and in a guest."

machine {{ cpus = 1; lbr = skylake; counters = 8; fixed = 0; }}
vm vm0 {{ vcpus = 1; lbr = on; }}

host, vm0/0 {{
    host: run vm0/0 on cpu0;
    {"".join(f"host: {line} " for line in SAMPLES.splitlines())}
    host: branch 10_000;
    host: advance 20ms;
    vm0/0: branch 10_000;
    host: r = read c0;
}}
"""


@pytest.mark.parametrize("text", [ADVANCE, RETIRE], ids=["advance", "retire"])
def test_both_wires_end_alike(wire: GrpcWire, text: str) -> None:
    scenario = parse(text, "long")
    real, sim = (run(Inputs(scenario, DESIGNS["merged"], wire=each)) for each in (wire, SimWire()))

    assert real.failure is None
    assert canonical(real.records) == canonical(sim.records)
    assert sim.records[-1].time <= 1_200_000_000


def test_all_branches_retire_though_many_interrupt() -> None:
    done = run(Inputs(parse(RETIRE, "long"), DESIGNS["merged"]))
    statements = [r for r in done.records if isinstance(r, Retired)]
    assert [sum(r.count for r in statements if r.guest is guest) for guest in (False, True)] == [10_000, 10_000]
    steps = [n for n, r in enumerate(done.records) if isinstance(r, VmEntry)]
    assert len(steps) > ENTRIES_AT_ONCE
    assert done.register("host:r.count") == 20_000


def test_one_step_of_a_vcpu_enters_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    few = len(run(Inputs(parse(RETIRE, "long"), DESIGNS["merged"])).tape)
    monkeypatch.setattr("kvm_svc.hypervisor.run.ENTRIES_AT_ONCE", 16)
    many = len(run(Inputs(parse(RETIRE, "long"), DESIGNS["merged"])).tape)
    assert many > few + ENTRIES_AT_ONCE // 16


class Counting(SimWire):
    """``pieces``: the commands and steps that the cores were given."""

    pieces = 0

    def perf(self, command: AnyPerfCommand, host: int = 0) -> StepResult[AnyResult]:
        self.pieces += 1
        return super().perf(command, host)

    def kvm(self, session: str, command: AnyKvmCommand) -> StepResult[AnyResult]:
        self.pieces += 1
        return super().kvm(session, command)


@cases(
    ("text", "bound", "shows"),
    [
        (RETIRE, "perfcore_svc.machine.machine.OVERFLOWS_AT_ONCE", False),
        (RETIRE, "kvm_svc.hypervisor.run.ENTRIES_AT_ONCE", False),
        (ADVANCE, "perfcore_svc.perf.rotation.TICKS_AT_ONCE", True),
    ],
    ids=["interrupts", "entries", "timers"],
)
def test_only_the_pieces_of_an_advance_show_in_the_trace(
    text: str, bound: str, shows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record of an event's state is made at the end of a command. So the bounds are part of the model, no setting."""
    scenario = parse(text, "long")
    usual, small = Counting(), Counting()
    whole = run(Inputs(scenario, DESIGNS["merged"], wire=usual))
    monkeypatch.setattr(bound, 50)
    cut = run(Inputs(scenario, DESIGNS["merged"], wire=small))

    assert small.pieces > usual.pieces
    assert (canonical(cut.records) != canonical(whole.records)) is shows


def test_one_command_fires_a_bounded_number_of_timers(wire: GrpcWire) -> None:
    wire.begin()
    wire.perf(ConfigurePerf(MachineSpec(counters=1, fixed=0), MERGED, [], []))
    wire.perf(SetMuxInterval(1_000_000, -1))
    wire.perf(Open("a", cpu=0))
    wire.perf(Open("b", cpu=0))

    assert wire.perf(Advance(100_000_000_000)).result == Done(errno="EINPROGRESS")
    assert wire.log.now == TICKS_AT_ONCE * 1_000_000
    assert wire.perf(Advance(1_500_000)).result == Done()
    assert wire.log.now == TICKS_AT_ONCE * 1_000_000 + 1_500_000


def test_one_command_takes_a_bounded_number_of_interrupts(wire: GrpcWire) -> None:
    wire.begin()
    wire.perf(ConfigurePerf(MachineSpec(counters=2, fixed=0), MERGED, [], []))
    wire.perf(Open("a", cpu=0, period=10))
    wire.perf(Open("b", cpu=0, period=11))

    assert wire.perf(Retire(0, 3_000)).result == Done(2816, "EINPROGRESS")
    assert OVERFLOWS_AT_ONCE == 2816 // 10 + 2816 // 11 - 2816 // 110
    assert wire.perf(Retire(0, 3_000 - 2816)).result == Done()
