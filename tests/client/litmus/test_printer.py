"""Scenario to text and back."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given

from client.litmus import MachineSpec, Scenario, format_scenario, parse
from client.litmus import ast as a
from client.litmus.text import expr_text
from client.litmus.validate import validate
from contract.errors import InputError
from tests.cases import cases
from tests.client.litmus.strategies import scenarios
from tests.client.litmus.test_parser import STORY

PRINTED = """\
LBR host-event-takes-lbr
"A CPU-pinned host event claims the LBR while a guest is using it."

machine { cpus = 1; lbr = skylake; depth = 8; counters = 2; fixed = 1; kernel = v6.16; }
task t0, t1;
vm vm0 { vcpus = 1; lbr = on; }
vm vm1 { vcpus = 1; lbr = off; }

host {
    run vm0/0 on cpu0;
    h0 = open cpu0 pinned branch any;
    h1 = open task t0 on cpu0 flexible branch call, any_return user disabled;
    h2 = open task vm0/0 pinned branch any_call;
    c0 = open cpu0 flexible counter;
    g0 = open cpu0 flexible exclusive counter cycles exclude_guest period 100;
    g1 = open cpu0 in g0 counter ref-cycles;
    g2 = open cpu0 in g0 pinned branch call counting instructions disabled;
    branch 8 on cpu0;
    branch 1000 call user on cpu0;
    enable g0 group;
    disable g0 group;
    mux 1ms;
    mux 8ms on cpu0;
    m0 = mux 0s;
    mediate;
    m1 = unmediate;
    s0 = sample h0;
    n0 = read h0;
    e0 = state h0;
    e1 = state vm0/0;
    disable h0;
    enable h0;
    close h0;
    idle cpu0;
    advance 4ms;
}

vm0/0 {
    wrmsr DEBUGCTL, LBR | BTF | FREEZE_LBRS_ON_PMI;
    w0 = wrmsr LBR_FROM[2], 0x10;
    wrmsr LBR_SELECT, JCC | FAR;
    branch 40;
    branch 4 ind_call user;
    r0 = rdmsr LBR_TOS;
    r1 = rdmsr LBR_FROM[r0];
    r2 = rdmsr 0x1c9;
    rdmsr LBR_TO[3];
    g0 = rdmsr LBR_STACK;
    n0 = pmis;
    cpuid;
    c0 = cpuid 0xa edx;
    hlt;
    out 0x80;
    nop;
}

user {
    u0 = set vm0/0 PERF_CAPABILITIES, 0x2005;
    u1 = get vm0/0 LBR_TOS;
    stop_lbr vm0/0;
    reset vm0/0;
}

host1, vm1/0 {
    host1: run vm1/0 on cpu0;
    vm1/0: branch 8;
}

exists (vm0/0:r0 = #GP
        /\\ (host:s0.guest > 0 \\/ ~ host:h0.state = ERROR)
        /\\ invariant one-owner = held
        /\\ host:n0.running < 4ms
        /\\ host:h0.samples = 0
        /\\ host:h1.state != EINVAL)
"""


def test_the_printed_form() -> None:
    assert format_scenario(parse(STORY)) == PRINTED


@given(scenarios(bounded=False))
def test_laws_of_the_printed_form(scenario: Scenario) -> None:
    """One test of all, since a scenario takes longer to draw than to print."""
    validate(scenario)
    text = format_scenario(scenario)
    read = parse(text)
    assert read == scenario
    assert format_scenario(read) == text

    assert [step.printed for step in every_step(read)] == [step.line for step in every_step(read)]
    squeezed = parse(" ".join(text.splitlines()))
    assert [step.printed for step in every_step(squeezed)] == [step.printed for step in every_step(read)]

    assert msgspec.json.decode(msgspec.json.encode(scenario), type=Scenario) == scenario


def every_step(scenario: Scenario) -> list[a.LitmusStep]:
    """Those in the bodies of others too."""
    found: list[a.LitmusStep] = []
    left = [step for block in scenario.blocks for step in block.steps]
    while left:
        step = left.pop(0)
        found.append(step)
        for field in ("body", "then", "orelse"):
            left += getattr(step.stmt, field, ())
    return found


@cases(
    ("stmt", "expected"),
    [
        (a.GuestWrmsr(a.MsrRef("DEBUGCTL"), 0), "wrmsr DEBUGCTL, 0"),
        (a.GuestWrmsr(a.MsrRef("DEBUGCTL"), 1 << 20 | 1), "wrmsr DEBUGCTL, LBR | 0x100000"),
        (a.GuestWrmsr(a.MsrRef("0x1d9"), 1), "wrmsr 0x1d9, LBR"),
        (a.AdvanceTime(1_500_000), "advance 1500us"),
        (a.AdvanceTime(2_000_000_000), "advance 2s"),
        (a.AdvanceTime(7), "advance 7ns"),
    ],
)
def test_values(stmt: a.AnyStmt, expected: str) -> None:
    assert stmt.text() == expected


@cases(
    ("compare", "expected"),
    [
        (a.Compare(a.Reg("host", "n0", "enabled"), "=", a.Int(36_000_000)), "host:n0.enabled = 36ms"),
        (a.Compare(a.Int(0), "<", a.Reg("host", "n0", "running")), "0s < host:n0.running"),
        (a.Compare(a.Reg("host", "n0", "count"), "=", a.Int(50_000)), "host:n0.count = 50000"),
        (a.Compare(a.Reg("host", "r0"), "=", a.Int(50_000)), "host:r0 = 0xc350"),
    ],
)
def test_numbers_by_what_they_stand_beside(compare: a.Compare, expected: str) -> None:
    assert expr_text(compare) == expected


def test_an_invalid_scenario_is_not_printed() -> None:
    with pytest.raises(InputError, match="cpus = 0"):
        format_scenario(Scenario("x", machine=MachineSpec(cpus=0)))
