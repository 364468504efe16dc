"""Scenarios built in Python: the same rules, told by block, actor and statement."""

from __future__ import annotations

import re

import pytest

from client.litmus import MachineSpec, Scenario, Story, VmSpec, validate
from client.litmus import ast as a
from client.litmus.limits import MAX_BRANCHES
from client.litmus.msr import address
from contract.errors import InputError
from contract.x86 import is_lbr_msr, lbr_model
from perfcore_svc.core import BRANCHES_LIMIT
from tests.cases import cases

VM = VmSpec("vm0")
TOS = a.MsrRef("LBR_TOS")
HELD = a.Compare(a.Invariant("no-leak"), "=", a.Word("held"))


def message(scenario: Scenario) -> str:
    with pytest.raises(InputError) as caught:
        validate(scenario)
    return str(caught.value)


def host(*stmts: a.AnyStmt, machine: MachineSpec | None = None) -> Scenario:
    steps = [a.LitmusStep("host", stmt) for stmt in stmts]
    return Scenario("x", machine=machine or MachineSpec(), vms=[VM], blocks=[a.Block(["host"], steps)])


def guest(*stmts: a.AnyStmt, machine: MachineSpec | None = None) -> Scenario:
    steps = [a.LitmusStep("vm0/0", stmt) for stmt in stmts]
    return Scenario("x", machine=machine or MachineSpec(), vms=[VM], blocks=[a.Block(["vm0/0"], steps)])


def test_the_place_is_block_actor_and_statement() -> None:
    scenario = Story("x", vms=[VM]).ordered(
        ("host", a.RunOn("vm0/0", 0)), ("vm0/0", a.GuestNop()), ("host", a.CloseEvent("h0"))
    )
    with pytest.raises(InputError) as caught:
        scenario.scenario()
    assert str(caught.value) == (
        "x: block 'host+vm0/0', host, statement 3 (close h0): host has not opened event 'h0' by here"
    )
    assert caught.value.place == "x: block 'host+vm0/0', host, statement 3 (close h0)"


def test_an_event_belongs_to_the_actor_that_opened_it() -> None:
    story = Story("x").host(a.OpenEvent("h0", cpu=0)).host(a.CloseEvent("h0"), actor="host1")
    with pytest.raises(InputError, match="host1 has not opened event 'h0'"):
        story.scenario()


@cases(
    ("scenario", "expected"),
    [
        (Scenario("a b"), "a b: name: 'a b' cannot name a scenario: reserved, too long or malformed"),
        (Scenario("x", "two\nlines"), "purpose: the purpose is not one printable line"),
        (Scenario("x", tasks=["cpu0"]), "task 'cpu0': 'cpu0' cannot name a task"),
        (Scenario("x", vms=[VmSpec("vm0", 0)]), "vm 'vm0': vcpus = 0 is impossible, expected 1 to 16"),
        (Scenario("x", machine=MachineSpec(counters=33)), "machine: counters = 33 is impossible"),
        (Scenario("x", machine=MachineSpec(cpus=65)), "machine: cpus = 65 is impossible"),
        (Scenario("x", machine=MachineSpec(fixed=-1)), "machine: fixed = -1 is impossible, expected 0 to 3"),
        (Scenario("x", machine=MachineSpec(pmu="armv8")), "a scenario's machine has the PMU intel, not 'armv8'"),
        (Scenario("x", machine=MachineSpec(depth=64)), "machine: depth 64 is impossible on skylake"),
        (Scenario("x", blocks=[a.Block([], [])]), "block '': a block needs an actor"),
        (
            Scenario("x", blocks=[a.Block(["host", "host"], [])]),
            "block 'host+host': 'host' has a block already",
        ),
        (Scenario("x", blocks=[a.Block(["vm0/0"], [])]), "unknown vCPU 'vm0/0'"),
        (Scenario("x", final=a.Final("some", HELD)), "unknown quantifier 'some'"),
        (Scenario("x", final=a.Final("exists", a.And((HELD,)))), "needs two operands"),
        (
            Scenario("x", final=a.Final("exists", a.Compare(HELD.left, "==", HELD.right))),
            "unknown comparison '=='",
        ),
        (host(a.OpenEvent("", cpu=0)), "open needs a register"),
        (host(a.OpenEvent("h0")), "no CPU 'cpu-1', the machine has cpu0 only"),
        (host(a.OpenEvent("open", cpu=0)), "'open' cannot name a register"),
        (host(a.OpenEvent("h0", cpu=0, branch=("any", "any"))), "branch filter 'any' is named twice"),
        (host(a.OpenEvent("h0", cpu=0, privilege=("kernel", "user"))), "an event's privilege is"),
        (host(a.OpenEvent("h0", task="t9")), "unknown task 't9', expected vm0/0"),
        (host(a.OpenEvent("h0", cpu=0), a.EventOp("reset", "h0")), "unknown statement 'reset'"),
        (host(a.OpenEvent("h0", cpu=0, config="loads")), "unknown counted event 'loads', expected bts, cycles,"),
        (host(a.OpenEvent("h0", cpu=0, branch=("any",), config="bts")), "'bts' has no branch stack, expected general,"),
        (host(a.OpenEvent("h0", cpu=0, period=-1)), "period = -1 is impossible, expected 1 to"),
        (host(a.OpenEvent("h0", cpu=0, group="h0")), "host has not opened event 'h0' by here"),
        (host(a.MuxInterval(-1)), "mux -1ns is impossible, expected 0s to 100s"),
        (host(a.MuxInterval(1, cpu=1)), "no CPU 'cpu1', the machine has cpu0 only"),
        (host(a.HostBranch(1_000_001)), "1000001 branches are impossible"),
        (host(a.HostBranch(1, privilege="hypervisor")), "unknown privilege 'hypervisor'"),
        (host(a.AdvanceTime(1 << 64)), "expected 1ns to 100s"),
        (host(a.GuestNop()), "'nop' is a guest statement, 'host' is no guest"),
        (guest(a.UserGetMsr("u0", "vm0/0", TOS)), "'get' is a user statement, 'vm0/0' is no user"),
        (guest(a.GuestWrmsr(TOS, -1)), "'-0x1' does not fit 64 bits"),
        (guest(a.GuestRdmsr("r0", a.MsrRef("0x1C9"))), "unknown MSR '0x1C9'"),
        (guest(a.GuestRdmsr("r0", a.MsrRef("0x100000000"))), "does not fit 32 bits"),
        (guest(a.GuestRdmsr("r0", a.MsrRef("0x1c9", 0))), "0x1c9 takes no index"),
        (guest(a.GuestRdmsr("r0", a.MsrRef("LBR_TO", 32))), "no LBR_TO[32], the ring has entries 0 to 31"),
        (guest(a.GuestRdmsr("r0", a.MsrRef("LBR_TO", "r0"))), "vm0/0 has set no register 'r0' by here"),
        (
            guest(a.GuestRdmsr("r0", a.MsrRef("LBR_INFO", 0)), machine=MachineSpec(lbr="haswell")),
            "lbr = haswell has no LBR_INFO; name an address, 0x680",
        ),
        (
            guest(a.GuestRdmsr("r0", a.MsrRef("LBR_SELECT")), machine=MachineSpec(lbr="core2")),
            "lbr = core2 has no LBR_SELECT; name its address, 0x1c8 or 0x1c9",
        ),
        (host(*[a.AdvanceTime(1)] * 10_001), "statement 10001 (advance 1ns): more than 10000 statements"),
    ],
)
def test_messages(scenario: Scenario, expected: str) -> None:
    assert expected in message(scenario)


def test_a_step_of_no_actor_of_its_block() -> None:
    scenario = Scenario("x", blocks=[a.Block(["host"], [a.LitmusStep("host1", a.AdvanceTime(1))])])
    assert "'host1' is not an actor of this block, did you mean 'host'?" in message(scenario)


def test_an_event_state_is_no_number() -> None:
    state = a.Reg("host", "h0", "state")
    story = Story("x").host(a.OpenEvent("h0", cpu=0), a.ReadEvent("n0", "h0"))
    for right in (a.Int(1), a.Reg("host", "n0"), a.Word("#GP")):
        with pytest.raises(InputError):
            story.exists(a.Compare(state, "=", right)).scenario()
    story.forall(a.Compare(state, "!=", a.Word("ERROR"))).scenario()


def test_a_read_is_fields_or_a_word() -> None:
    count = a.Reg("host", "n0", "count")
    story = Story("x").host(a.OpenEvent("h0", cpu=0), a.ReadEvent("n0", "h0"))
    story.exists(a.Or((a.Compare(count, ">", a.Int(0)), a.Compare(a.Reg("host", "n0"), "=", a.Word("EOF"))))).scenario()
    story.forall(a.Compare(count, "!=", a.Word("EOF"))).scenario()


@cases("op", ["=", "!=", "<", ">="])
@cases(
    ("register", "why"),
    [
        ("w", "host:w is not a number: host set it by 'w = mux 1ms'"),
        ("n", "host:n is not a number: host set it by 'n = read h', expected host:n.count, host:n.enabled or "),
    ],
)
def test_a_register_that_never_holds_a_number_is_compared_with_words(register: str, why: str, op: str) -> None:
    story = Story("x").host(a.OpenEvent("h", cpu=0), a.ReadEvent("n", "h"), a.MuxInterval(10**6, register="w"))
    term = a.Reg("host", register)
    for sides in ((term, op, a.Int(3)), (a.Reg("host", "n", "count"), op, term), (term, op, term)):
        with pytest.raises(InputError, match=re.escape(why)):
            story.forall(a.Compare(*sides)).scenario()
    story.forall(a.Compare(term, "=", a.Word("EINVAL"))).scenario()


def test_limits_are_those_of_who_enforces_them() -> None:
    assert MAX_BRANCHES == BRANCHES_LIMIT


def test_nesting_is_bounded() -> None:
    expr: a.Expr = HELD
    for _ in range(64):
        expr = a.Not(expr)
    validate(Scenario("x", final=a.Final("exists", expr)))
    assert "nests deeper than 64" in message(Scenario("x", final=a.Final("exists", a.Not(expr))))


def test_story_is_not_changed_by_what_follows() -> None:
    story = Story("x").user(actor="user1")
    early = story.scenario()
    late = story.host(a.AdvanceTime(1)).exists(HELD).scenario()
    assert (len(early.blocks), len(late.blocks)) == (1, 2)
    assert early.final is None


@cases("lbr", ["core2", "nehalem", "skylake"])
def test_addresses(lbr: str) -> None:
    model = lbr_model(lbr)
    assert address(TOS, model) == 0x1C9
    assert address(a.MsrRef("LBR_FROM", 3), model) == model.from_base + 3
    assert address(a.MsrRef("LBR_TO", "r0"), model, 2) == model.to_base + 2
    assert address(a.MsrRef("0x1d9"), model) == 0x1D9
    assert is_lbr_msr(model, address(a.MsrRef("LBR_FROM", 0), model))
