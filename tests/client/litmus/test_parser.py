"""Text to Scenario: what every form means, and what the reader is told when the text is wrong."""

from __future__ import annotations

import doctest
import operator
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lark.lexer import PatternStr

import client.litmus.build
from client.litmus import Scenario, format_scenario, load, parse
from client.litmus import ast as a
from client.litmus.grammar import KEYWORDS
from client.litmus.limits import MAX_TOKENS
from client.litmus.parser import grammar
from contract.control import MachineSpec, VmSpec
from contract.errors import InputError
from tests.cases import cases
from tests.client.litmus.strategies import scenarios

STORY = """\
LBR host-event-takes-lbr
"A CPU-pinned host event claims the LBR
    while a guest is using it."

machine { lbr = skylake; cpus = 1; depth = 8; counters = 2; fixed = 1; kernel = v6.16; }   // any order
task t0, t1;
vm vm0 { vcpus = 1; lbr = on; }
vm vm1 { lbr = off; }

host {
    run vm0/0 on cpu0;
    h0 = open cpu0 pinned branch any;
    h1 = open task t0 on cpu0 disabled user branch call, any_return flexible;
    h2 = open task vm0/0 branch any_call kernel user pinned;
    c0 = open cpu0 flexible counter;
    g0 = open cpu0 counter cycles period 100 exclude_guest exclusive;
    g1 = open cpu0 in g0 counter ref-cycles;
    g2 = open cpu0 counting instructions branch call disabled in g0 pinned;
    branch 8;
    branch 1_000 call user on cpu0;
    enable g0 group;  disable g0 group;  mux 1ms;  mux 8ms on cpu0;  m0 = mux 0ms;  mediate;  m1 = unmediate;
    s0 = sample h0;  n0 = read h0;  e0 = state h0;  e1 = state vm0/0;  disable h0;  enable h0;  close h0;
    idle cpu0;  advance 4ms;
}
vm0/0 {
    wrmsr IA32_DEBUGCTL, LBR | FREEZE_LBRS_ON_PMI | 0x2;
    w0 = wrmsr LBR_FROM[2], 0x10;
    wrmsr LBR_SELECT, JCC | FAR;
    branch 40;  branch 4 ind_call user;
    r0 = rdmsr LBR_TOS;  r1 = rdmsr LBR_FROM[r0];  r2 = rdmsr 0x1C9;
    rdmsr MSR_LASTBRANCH_3_TO_IP;
    g0 = rdmsr LBR_STACK;  n0 = pmis;  cpuid;  c0 = cpuid 0xA edx;  hlt;  out 0x80;  nop;
}
user { u0 = set vm0/0 PERF_CAPABILITIES, 0x2005;  u1 = get vm0/0 LBR_TOS;  stop_lbr vm0/0;  reset vm0/0; }
host1, vm1/0 { /* in this order */ host1: run vm1/0 on cpu0; vm1/0: branch 8; }

exists (vm0/0:r0 = #GP /\\ (host:s0.guest > 0 \\/ ~ host:h0.state = ERROR) /\\ invariant one-owner = held
    /\\ host:n0.running < 4ms /\\ host:h0.samples = 0 /\\ host:h1.state != EINVAL)
"""

HOST: list[a.AnyStmt] = [
    a.RunOn("vm0/0", 0),
    a.OpenEvent("h0", cpu=0, pinned=True, branch=("any",)),
    a.OpenEvent("h1", cpu=0, task="t0", branch=("call", "any_return"), privilege=("user",), disabled=True),
    a.OpenEvent("h2", task="vm0/0", pinned=True, branch=("any_call",)),
    a.OpenEvent("c0", cpu=0),
    a.OpenEvent("g0", cpu=0, exclusive=True, config="cycles", exclude_guest=True, period=100),
    a.OpenEvent("g1", cpu=0, group="g0", config="ref-cycles"),
    a.OpenEvent("g2", cpu=0, pinned=True, branch=("call",), disabled=True, group="g0", config="instructions"),
    a.HostBranch(8),
    a.HostBranch(1000, 0, "call", "user"),
    a.EventOp("enable", "g0", group=True),
    a.EventOp("disable", "g0", group=True),
    a.MuxInterval(1_000_000),
    a.MuxInterval(8_000_000, cpu=0),
    a.MuxInterval(0, register="m0"),
    a.Mediated(create=True),
    a.Mediated(create=False, register="m1"),
    a.SampleEvent("s0", "h0"),
    a.ReadEvent("n0", "h0"),
    a.StateOf("e0", "h0"),
    a.StateOf("e1", vcpu="vm0/0"),
    a.EventOp("disable", "h0"),
    a.EventOp("enable", "h0"),
    a.CloseEvent("h0"),
    a.RunOn("", 0),
    a.AdvanceTime(4_000_000),
]
GUEST: list[a.AnyStmt] = [
    a.GuestWrmsr(a.MsrRef("DEBUGCTL"), 1 << 0 | 1 << 11 | 2),
    a.GuestWrmsr(a.MsrRef("LBR_FROM", 2), 16, "w0"),
    a.GuestWrmsr(a.MsrRef("LBR_SELECT"), 1 << 2 | 1 << 8),
    a.GuestBranch(40),
    a.GuestBranch(4, "ind_call", "user"),
    a.GuestRdmsr("r0", a.MsrRef("LBR_TOS")),
    a.GuestRdmsr("r1", a.MsrRef("LBR_FROM", "r0")),
    a.GuestRdmsr("r2", a.MsrRef("0x1c9")),
    a.GuestRdmsr("", a.MsrRef("LBR_TO", 3)),
    a.GuestReadLbr("g0"),
    a.GuestPmis("n0"),
    a.GuestCpuid(),
    a.GuestReadCpuid("c0", 0xA, "edx"),
    a.GuestHlt(),
    a.GuestOut(0x80),
    a.GuestNop(),
]
USER: list[a.AnyStmt] = [
    a.UserSetMsr("vm0/0", a.MsrRef("PERF_CAPABILITIES"), 0x2005, "u0"),
    a.UserGetMsr("u1", "vm0/0", a.MsrRef("LBR_TOS")),
    a.UserStopLbr("vm0/0"),
    a.UserReset("vm0/0"),
]


def block(actor: str, stmts: list[a.AnyStmt]) -> a.Block:
    return a.Block([actor], [a.LitmusStep(actor, stmt) for stmt in stmts])


def test_every_form() -> None:
    expected = Scenario(
        "host-event-takes-lbr",
        "A CPU-pinned host event claims the LBR while a guest is using it.",
        MachineSpec(cpus=1, lbr="skylake", depth=8, counters=2, fixed=1, kernel="v6.16"),
        ["t0", "t1"],
        [VmSpec("vm0"), VmSpec("vm1", lbr=False)],
        [
            block("host", HOST),
            block("vm0/0", GUEST),
            block("user", USER),
            a.Block(
                ["host1", "vm1/0"],
                [a.LitmusStep("host1", a.RunOn("vm1/0", 0)), a.LitmusStep("vm1/0", a.GuestBranch(8))],
            ),
        ],
        a.Final(
            "exists",
            a.And(
                (
                    a.Compare(a.Reg("vm0/0", "r0"), "=", a.Word("#GP")),
                    a.Or(
                        (
                            a.Compare(a.Reg("host", "s0", "guest"), ">", a.Int(0)),
                            a.Not(a.Compare(a.Reg("host", "h0", "state"), "=", a.Word("ERROR"))),
                        )
                    ),
                    a.Compare(a.Invariant("one-owner"), "=", a.Word("held")),
                    a.Compare(a.Reg("host", "n0", "running"), "<", a.Int(4_000_000)),
                    a.Compare(a.Reg("host", "h0", "samples"), "=", a.Int(0)),
                    a.Compare(a.Reg("host", "h1", "state"), "!=", a.Word("EINVAL")),
                )
            ),
        ),
    )
    assert parse(STORY) == expected


def test_steps_know_their_lines() -> None:
    assert [step.line for step in parse(STORY).blocks[0].steps[:3]] == [11, 12, 13]


def test_places_do_not_make_scenarios_differ() -> None:
    one, other = parse(STORY, "a.litmus"), parse("\n" + STORY, "b.litmus")
    assert one == other
    assert not operator.ne(one, other)
    step, moved = one.blocks[0].steps[0], other.blocks[0].steps[0]
    assert (step.line, step, operator.ne(step, moved)) == (moved.line - 1, moved, False)


def test_the_least_scenario() -> None:
    assert parse("LBR x") == Scenario("x")


@cases("quantifier", ["exists", "~exists", "~ exists", "forall"])
def test_quantifiers(quantifier: str) -> None:
    final = parse(f"LBR x {quantifier} invariant no-leak = held").final
    assert final is not None
    assert final.quantifier == quantifier.replace(" ", "")


def test_and_binds_tighter_than_or_and_brackets_stay() -> None:
    held = "invariant no-leak = held"
    final = parse(f"LBR x exists ({held} \\/ {held} /\\ ({held} /\\ {held}))").final
    leaf = a.Compare(a.Invariant("no-leak"), "=", a.Word("held"))
    assert final == a.Final("exists", a.Or((leaf, a.And((leaf, a.And((leaf, leaf)))))))


def test_purpose_escapes() -> None:
    assert parse(r'LBR x "a \"b\" \\ c"').purpose == r'a "b" \ c'


def test_reserved_words_are_the_grammars_keywords() -> None:
    word = next(t for t in grammar().terminals if t.name == "WORD")
    fixed = {str(t.pattern.value) for t in grammar().terminals if isinstance(t.pattern, PatternStr)}
    assert {text for text in fixed if re.fullmatch(word.pattern.value, text)} == KEYWORDS


# Errors --------------------------------------------------------------------------------------------------

FRAME = """\
LBR x
machine {{ cpus = 2; depth = 4; }}
task t0;
vm vm0 {{ lbr = on; }}
host {{ h0 = open cpu0 branch any; s0 = sample h0;
{host}
}}
vm0/0 {{ r0 = rdmsr LBR_TOS; g0 = rdmsr LBR_STACK;
{guest}
}}
{end}
"""


PROGRAM = "repeat, for, while, if, break or NAME = ..."
OF_HOST = (
    "a statement is run, idle, open, enable, disable, read, sample, state, branch, advance, mux, mediate, unmediate, "
    f"close, {PROGRAM}"
)
OF_GUEST = f"a statement is wrmsr, rdmsr, rdpmc, pmis, branch, cpuid, hlt, out, nop, {PROGRAM}"
OF_A_HOST = OF_HOST.replace("a statement", "a host statement")
OF_A_GUEST = OF_GUEST.replace("a statement", "a guest statement")
USERS = f"stop_lbr, reset, {PROGRAM}"


def message(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(text, "s.litmus")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@cases(
    ("host", "expected"),
    [
        ("run vm0/0 onn cpu0;", "6:11: expected 'on', found 'onn'"),
        ("brnch 8 on cpu0;", f"6:1: unknown statement 'brnch', did you mean 'branch'?; {OF_HOST}"),
        ("h = opn cpu0;", f"6:5: unknown statement 'opn', did you mean 'open'?; {OF_HOST}"),
        ("h = frob cpu0;", "6:10: expected an operator, ';' or '[', found 'cpu0'"),
        ("frob vm0/0;", f"6:1: unknown statement 'frob'; {OF_HOST}"),
        ("frob;", f"6:1: unknown statement 'frob'; {OF_HOST}"),
        ("frob 4 on cpu0;", f"6:1: unknown statement 'frob'; {OF_HOST}"),
        ("repeat 2 { frob; }", f"6:12: unknown statement 'frob'; {OF_HOST}"),
        ("n1 read h0;", "6:4: expected ':' or '=', found 'read'"),
        ("5;", f"6:1: expected a statement or '}}', found '5'; {OF_HOST}"),
        ("# a comment", "6:1: unexpected character '#'; a comment is // ... or /* ... */"),
        ("(* a comment *)", "6:1: expected a statement or '}', found '('" + f"; {OF_HOST}"),
        ("branch 8 cal on cpu0;", "6:10: unknown branch kind 'cal', did you mean 'call'?"),
        ("branch 8;", "6:1: branch needs 'on cpuN': the machine has 2 CPUs"),
        ("branch 0 on cpu0;", "6:8: 0 branches are impossible, expected 1 to 1000000"),
        ("branch 12ab on cpu0;", "6:8: malformed number '12ab'"),
        ("run vm0/1 on cpu0;", "6:5: unknown task 'vm0/1', did you mean 'vm0/0'?"),
        ("run t0 on cpu2;", "6:11: no CPU 'cpu2', the machine has cpu0 to cpu1"),
        ("run t0 on cpu0", "7:1: expected ';', found '}'"),
        ("close h1;", "6:7: host has not opened event 'h1' by here"),
        ("read s0;", "6:6: 's0' is not an event: host set it by 's0 = sample h0'"),
        ("close h0; read h0;", "6:16: event 'h0' is closed by here"),
        ("h0 = open cpu0 counter;", "6:1: host sets 'h0' a second time"),
        ("h1 = open cpu0 pinned flexible counter;", "6:23: 'flexible' after 'pinned'"),
        ("h1 = open cpu0 pinned;", "6:6: open needs 'branch' with its filters, or 'counter'"),
        (
            "h1 = open cpu0 branch any_ret;",
            "6:23: unknown branch filter 'any_ret', did you mean 'any_return'?",
        ),
        ("h1 = open cpu0 pinned period 9 counter period 9;", "6:40: 'period' after 'period'"),
        ("h1 = open cpu0 counter period 0;", "6:31: period = 0 is impossible, expected 1 to 140737488355327"),
        (
            "h1 = open cpu0 counter period 140737488355328;",
            "6:31: period = 140737488355328 is impossible, expected 1 to 140737488355327",
        ),
        ("h1 = open cpu0 counter cycle;", "6:24: unknown counted event 'cycle', did you mean 'cycles'?"),
        ("h1 = open cpu0 counter excluded;", "6:24: unknown counted event 'excluded', did you mean 'exclusive'?"),
        (
            "h1 = open cpu0 branch any counting pt;",
            "6:36: 'pt' has no branch stack, expected general, instructions, cycles or ref-cycles",
        ),
        ("h1 = open cpu0 counter cycles counting cycles;", "6:31: 'counting' after 'counter'"),
        ("h1 = open cpu0 in h2 counter;", "6:19: host has not opened event 'h2' by here"),
        ("h1 = open cpu0 in h1 counter;", "6:19: host has not opened event 'h1' by here"),
        ("h1 = open cpu0 in s0 counter;", "6:19: 's0' is not an event: host set it by 's0 = sample h0'"),
        ("close h0; h1 = open cpu0 counter in h0;", "6:37: event 'h0' is closed by here"),
        ("h1 = open cpu0 counter in h0 in h0;", "6:30: 'in' after 'in'"),
        (
            "h1 = open cpu0 counter disable;",
            "6:24: expected ';', 'branch', 'counter', 'counting', 'disabled', 'exclude_guest', 'exclude_host',"
            " 'exclude_kernel', 'exclude_user', 'exclusive', 'flexible',"
            " 'in', 'kernel', 'period', 'pinned', 'user' or a name, found 'disable', did you mean 'disabled'?",
        ),
        ("s1 = state vm1/0;", "6:12: unknown vCPU 'vm1/0', did you mean 'vm0/0'?"),
        ("close h0 group;", "6:10: expected ';', found 'group'"),
        ("enable h0 grp;", "6:11: expected ';' or 'group', found 'grp'"),
        ("mux 101s;", "6:5: mux 101s is impossible, expected 0s to 100s"),
        ("mux 1ms on cpu2;", "6:12: no CPU 'cpu2', the machine has cpu0 to cpu1"),
        ("advance 100_001ms;", "6:9: advance 100001ms is impossible, expected 1ns to 100s"),
        ("wrmsr LBR_TOS, 1;", f"6:1: 'wrmsr' is a guest statement, 'host' is no guest; {OF_A_HOST}"),
        ("advance 0ms;", "6:9: advance 0s is impossible, expected 1ns to 100s"),
        ("read = sample h0;", "6:6: expected a name, found '='"),
        (
            "x = close h0;",
            "6:5: expected an expression, 'cpuid', 'get', 'mediate', 'migrate', 'mux', 'open', 'pmis', 'rdmsr',"
            " 'rdpmc', 'read', 'sample', 'set', 'set_cpuid', 'state', 'unmediate' or 'wrmsr', found 'close'",
        ),
    ],
)
def test_host_errors(host: str, expected: str) -> None:
    assert message(FRAME.format(host=host, guest="", end="")) == f"s.litmus:{expected}"


@cases(
    ("guest", "expected"),
    [
        (
            "wrmsr DEBUGCTL, LBR | FREEZE_LBR_ON_PMI;",
            "9:23: unknown bit of DEBUGCTL 'FREEZE_LBR_ON_PMI', did you mean 'FREEZE_LBRS_ON_PMI'?",
        ),
        ("wrmsr LBR_TOS, LBR;", "9:16: expected a number, found 'LBR': no bit of LBR_TOS has a name"),
        ("wrmsr LBR_TOS, 0x1_0000_0000_0000_0000;", "9:16: '0x1_0000_0000_0000_0000' does not fit 64 bits"),
        ("rdmsr LBR_FROM[4];", "9:16: no LBR_FROM[4], the ring has entries 0 to 3"),
        ("rdmsr LBR_FROM;", "9:7: LBR_FROM needs an index: 'LBR_FROM[0]'"),
        ("rdmsr LBR_TOS[0];", "9:15: LBR_TOS takes no index"),
        ("rdmsr LBR_FROM[r1];", "9:16: vm0/0 has set no register 'r1' by here"),
        ("rdmsr LBR_TSO;", "9:7: unknown MSR 'LBR_TSO', did you mean 'LBR_TO'?"),
        ("r0 = rdmsr LBR_STACK;", "9:1: vm0/0 sets 'r0' a second time, 'r0 = rdmsr LBR_TOS' was another kind of value"),
        ("out 0x10000;", "9:5: not an I/O port: 0x10000, expected 0x0 to 0xffff"),
        ("c = cpuid 7 ecx;", "9:11: leaf 0x7 of CPUID is not modelled, expected 0x1 or 0xa"),
        ("c = cpuid 1 eax;", "9:13: unknown register of the leaf 'eax', did you mean 'ecx'?"),
        ("c = cpuid;", "9:10: expected a name or a number, found ';'"),
        ("branch 4 on cpu0;", "9:13: a guest's branches name no CPU: they retire where its vCPU runs"),
    ],
)
def test_guest_errors(guest: str, expected: str) -> None:
    assert message(FRAME.format(host="", guest=guest, end="")) == f"s.litmus:{expected}"


@cases(
    ("end", "expected"),
    [
        ("user { stop_lbr vm1/0; }", "11:17: unknown vCPU 'vm1/0', did you mean 'vm0/0'?"),
        ("vm0/0 { nop; }", "11:1: 'vm0/0' has a block already"),
        ("user, host1 { idle cpu0; }", "11:15: the statement names no actor, expected 'user: ...'"),
        (
            "user, host1 { host: idle cpu0; }",
            "11:15: 'host' is not an actor of this block, did you mean 'host1'?",
        ),
        ("exits (host:s0 = 1)", "11:1: unknown word 'exits', did you mean 'exists'?"),
        ("exists (host:s0.gest > 0)", "11:17: unknown field 'gest', did you mean 'guest'?"),
        ("exists (vm0/0:r0.tos = 0)", "11:18: vm0/0:r0 has no fields"),
        ("exists (host:h0.state = 0)", "11:25: expected ACTIVE, INACTIVE, OFF, ERROR, CLOSED or an errno, found 0"),
        ("exists (host:s0.guest = 4ms)", "11:25: a time can only be compared with .enabled or .running"),
        ("exists (host:h0 = EINVAL)", "11:14: host:h0 is an event, expected host:h0.state or host:h0.samples"),
        ("exists (host:s0.hosts = 4ms)", "11:17: unknown field 'hosts', did you mean 'host'?"),
        ("exists (host:h0.samples > #GP)", "11:25: named values have no order, expected '=' or '!=', found '>'"),
        (
            "host1 { enable h0; }",
            "11:16: host1 has not opened event 'h0' by here, it is host's",
        ),
        (
            "host1 { h1 = open cpu0 in h0 counter; }",
            "11:27: host1 has not opened event 'h0' by here, it is host's",
        ),
        ("exists (host:s2 = 0)", "11:14: host never sets register 's2'"),
        (
            "exists (invariant one-ownr = held)",
            "11:19: unknown invariant 'one-ownr', did you mean 'one-owner'?",
        ),
        (
            "exists (invariant no-leak = 1)",
            "11:29: expected held, violated, open or not-exercised, found 1",
        ),
        ("exists (host:h0.state = ERORR)", "11:25: unknown value 'ERORR', did you mean 'ERROR'?"),
        ("exists (host:s0 > #GP)", "11:17: named values have no order, expected '=' or '!=', found '>'"),
        ("exists (1 = 2)", "11:9: this compares two constants"),
        ("exists (host:s0 = 1", "11:20: expected ')', found the end of the text"),
        ("exists " + "~" * 65 + " host:s0 = 1", "11:74: the condition nests deeper than 64"),
        ("/* the end", "11:1: comment without an end, expected '*/'"),
        ("\x00", "11:1: unexpected character '\\x00'"),
    ],
)
def test_errors_after_the_blocks(end: str, expected: str) -> None:
    assert message(FRAME.format(host="", guest="", end=end)) == f"s.litmus:{expected}"


@cases(
    ("text", "expected"),
    [
        ("", "1:1: expected 'LBR', found the end of the text"),
        ("LBR read", "1:5: expected a name, found 'read', a reserved word"),
        ("LBR x machine { cpus = 0; }", "1:24: cpus = 0 is impossible, expected 1 to 64"),
        ("LBR x machine { cpus = 4096; } host { branch 8; }", "1:24: cpus = 4096 is impossible, expected 1 to 64"),
        (
            f"LBR x\ntask {', '.join(f't{i}' for i in range(4096))};",
            f"2:{len('task ' + ', '.join(f't{i}' for i in range(4095)) + ', ') + 1}: more than 4095 tasks",
        ),
        (
            f"LBR x\ntask {', '.join(f't{i}' for i in range(4094))};\nvm v {{ vcpus = 2; }}",
            "3:4: more than 4095 tasks, with a thread for each vCPU",
        ),
        (
            "LBR x machine { depth = 7; }",
            "1:25: depth 7 is impossible on skylake, expected a power of two from 2 to 32",
        ),
        ("LBR x machine { lbr = skylak; }", "1:23: unknown LBR model 'skylak', did you mean 'skylake'?"),
        ("LBR x machine { counters = 33; }", "1:28: counters = 33 is impossible, expected 1 to 32"),
        ("LBR x machine { fixed = 4; }", "1:25: fixed = 4 is impossible, expected 0 to 3"),
        (
            "LBR x machine { pmu = intel; }",
            "1:17: unknown setting 'pmu', expected cpus, lbr, depth, counters, fixed, kernel, bus_lock, rtm or "
            "mediated",
        ),
        ("LBR x machine { cpu = 1; }", "1:17: unknown setting 'cpu', did you mean 'cpus'?"),
        ("LBR x machine { kernel = v6.1; }", "1:26: unknown kernel 'v6.1', did you mean 'v6.16'?"),
        ("LBR x machine {} machine {}", "1:18: the machine is described twice"),
        ("LBR x task a, a;", "1:15: task 'a' is declared twice"),
        ("LBR x vm v { lbr = yes; }", "1:20: expected 'on' or 'off', found 'yes'"),
        ("LBR x vm v { pdcm = 1; }", "1:21: expected 'on' or 'off', found '1'"),
        ("LBR x vm v { pmu = 6; }", "1:20: pmu = 6 is impossible, expected 0 to 5"),
        ("LBR x vm v { model = hots; }", "1:22: unknown model 'hots', did you mean 'host'?"),
        ("LBR x machine { rtm = 1; }", "1:23: expected 'on' or 'off', found '1'"),
        ("LBR x vm v {} user { r = get v/0 LBR_TOS from t1; }", "1:47: unknown task 't1', expected v/0"),
        ("LBR x vm v { vcpus = 17; }", "1:22: vcpus = 17 is impossible, expected 1 to 16"),
        ("LBR x\nhost {\n", f"2:7: expected a statement or '}}', found the end of the text; {OF_HOST}"),
        ("LBR x\nvm vm0 { }\nhost, vm0/0 {\nvm0/0: frob;\n", f"4:8: unknown statement 'frob'; {OF_GUEST}"),
        (
            "LBR x\nuser {\nfrob vm0/0;\n",
            f"3:1: unknown statement 'frob'; a statement is set, get, migrate, set_cpuid, {USERS}",
        ),
        ("LBR x guest { nop; }", "1:7: unknown actor 'guest', expected host or user"),
    ],
)
def test_errors_of_small_texts(text: str, expected: str) -> None:
    assert message(text) == f"s.litmus:{expected}"


# Hostile and broken text ---------------------------------------------------------------------------------


@cases(
    "text",
    [
        "LBR x host {" + "nop;" * 10_001 + "}",
        "LBR x host {" + "idle cpu0;" * 10_001 + "}",
        "LBR x host {" + "nop;" * 250_000 + "}",
        "LBR x exists " + "(" * 190_000,
        "LBR x exists " + "(" * 90_000 + "host:r = 1" + ")" * 90_000,
        "LBR x exists " + "~" * 190_000 + " host:r = 1",
        "LBR x task " + "t," * 90_000 + "t;",
        "LBR x " + "vm v {}" * 40_000,
        "LBR x host { branch " + "9" * 1_000_000 + "; }",
        "LBR x " + "/*" * 500_000,
        "LBR x " + '"' * 1_000_000,
        "LBR " + "a-" * 500_000,
        "x" * ((1 << 20) + 1),
    ],
    ids=range(13),
)
def test_hostile_text_is_refused(text: str) -> None:
    """In time, too: one whose cost grows with the square of its length would never come to an end here."""
    message(text)


def test_words_of_comments_do_not_count() -> None:
    words = "one; " * (MAX_TOKENS // 2 + 1)
    assert parse(f"LBR x /* {words} */ // {words}\nvm v {{}} // {words}").vms == [VmSpec("v")]


def test_a_text_that_is_far_too_long_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.litmus.parser.grammar", lambda: None)
    told = f"more than {MAX_TOKENS} words and signs"
    assert message("LBR x host {" + "nop;" * (MAX_TOKENS // 2) + "}") == f"s.litmus: {told}"


def test_deep_brackets_alone_are_fine() -> None:
    assert parse("LBR x exists " + "(" * 5000 + "invariant no-leak = held" + ")" * 5000).final


def survives(text: str) -> None:
    try:
        scenario = parse(text)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert parse(format_scenario(scenario)) == scenario


@given(st.text())
def test_any_text(text: str) -> None:
    survives(text)
    survives("LBR x " + text)


SIGNS = ["{", "}", "(", ")", "[", "]", ";", ":", ",", ".", "=", "!=", ">", "|", "~", "/\\", "\\/", "#GP"]
VALUES = ["0", "8", "0x1c9", "cpu0", "cpu1", "vm0/0", "vm0", "t0", "host", "r0", "h0", "s0", "4ms", "v5.12"]
KNOWN = ["LBR_TOS", "LBR_FROM", "DEBUGCTL", "any", "call", "jmp", "cycles", "skylake", "state", "held", "no-leak"]
PIECES = sorted(KEYWORDS) + SIGNS + VALUES + KNOWN


@given(st.lists(st.sampled_from(PIECES), max_size=30))
def test_any_words(words: list[str]) -> None:
    survives("LBR x vm vm0 {} task t0; " + " ".join(words))


@given(scenarios(bounded=False), st.data())
def test_mutated_text(scenario: Scenario, data: st.DataObject) -> None:
    words = re.findall(r"\s+|[\w/.#-]+|.", format_scenario(scenario))
    for _ in range(2):
        survives(mutated(words, data))


def mutated(words: list[str], data: st.DataObject) -> str:
    tokens = list(words)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(tokens) - 1))
        match data.draw(st.sampled_from(["drop", "double", "swap", "insert", "character"])):
            case "drop" if len(tokens) > 1:
                del tokens[at]
            case "double":
                tokens.insert(at, tokens[at])
            case "swap":
                other = data.draw(st.integers(0, len(tokens) - 1))
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case "insert":
                tokens.insert(at, f" {data.draw(st.sampled_from(PIECES))} ")
            case _:
                tokens[at] += data.draw(st.characters())
    return "".join(tokens)


# Files ---------------------------------------------------------------------------------------------------


def load_message(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(path)
    return str(caught.value)


def test_load(tmp_path: Path) -> None:
    file = tmp_path / "story.litmus"
    file.write_text(STORY)
    assert load(file) == parse(STORY)
    file.write_bytes(b"\xef\xbb\xbfLBR x\r\n")
    assert load(str(file)) == Scenario("x")


def test_load_errors_name_the_path(tmp_path: Path) -> None:
    file = tmp_path / "story.litmus"
    assert load_message(file) == f"{file}: cannot read: No such file or directory"
    assert load_message(tmp_path) == f"{tmp_path}: cannot read: Is a directory"
    file.write_bytes(b"LBR x\n\xff")
    assert load_message(file) == f"{file}:2: not a text in UTF-8"
    file.write_bytes(b"")
    assert load_message(file) == f"{file}: is empty; expected a scenario, with 'LBR NAME' in its first line"
    file.write_bytes(b" " * ((1 << 20) + 1))
    assert load_message(file) == f"{file}: larger than 1 MiB"
    with pytest.raises(InputError, match="null"):
        load("a\0b")


def test_load_waits_for_no_pipe_and_reads_no_device(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.litmus"
    os.mkfifo(pipe)
    assert load_message(pipe).startswith(f"{pipe}: is empty")
    assert load_message(Path("/dev/zero")) == "/dev/zero: is not a regular file"


def test_documented_example() -> None:
    assert doctest.testmod(client.litmus.build).failed == 0
    assert doctest.testmod(client.litmus.build).attempted > 0


# Programs ------------------------------------------------------------------------------------------------


@cases(
    ("program", "expected"),
    [
        ("r1 = r2 + 1;", "9:6: vm0/0 has set no register 'r2' by here"),
        ("r1 = r0-1;", "9:6: 'r0-1' is one name, write 'r0 - 1'"),
        ("g = rdmsr LBR_STACK; r1 = g + 1;", "9:27: 'g' is not a number: vm0/0 set it by 'g = rdmsr LBR_STACK'"),
        ("r1 = r0 % 0;", "9:6: this divides by zero"),
        ("r1 = r0 +;", "9:10: expected an expression, found ';'"),
        ("r1 = (r0;", "9:9: expected ')', found ';'"),
        ("r1 = 0x1ffffffffffffffff;", "9:6: '0x1ffffffffffffffff' does not fit 64 bits"),
        ("JCC = 1;", "9:1: 'JCC' cannot name a register: reserved, too long or malformed"),
        ("from = 1;", "9:1: expected a statement or '}', found 'from', a reserved word" + f"; {OF_GUEST}"),
        ("r1 = LBR_FROM[0];", "9:15: LBR_FROM[...] is an MSR, which only rdmsr, wrmsr, get and set reach"),
        ("break;", "9:1: break must stand in a loop"),
        ("if r0 = 1 { break; }", "9:13: break must stand in a loop"),
        ("if r0 { }", "9:7: expected a comparison, found '{'"),
        ("if r0 = #XX { }", "9:9: expected a number, #GP, #DE, ok, skipped or an errno, found '#XX'"),
        ("if r0 < #GP { }", "9:4: named values have no order, expected '=' or '!=', found '<'"),
        ("if r0 = 1 { nop; } else if { }", "9:28: expected an expression, found '{'"),
        ("repeat { nop; }", "9:8: expected an expression, found '{'"),
        ("for i in 0 { }", "9:12: expected '..', found '{'"),
        ("for i in 0 .. j { }", "9:15: vm0/0 has set no register 'j' by here"),
        ("for LBR in 0 .. 1 { }", "9:5: expected a name, found 'LBR', a reserved word"),
        ("repeat 2 { host: nop; }", "9:12: 'host' is not an actor of this block"),
        ("repeat 2 { h1 = open cpu0 counter; }", f"9:17: 'open' is a host statement, 'vm0/0' is no host; {OF_A_GUEST}"),
        ("rdmsr 0x680 + r9;", "9:15: vm0/0 has set no register 'r9' by here"),
        ("wrmsr DEBUGCTL, r0 | LBT;", "9:22: unknown bit of DEBUGCTL 'LBT', did you mean 'LBR'?"),
        ("r1 = r0 == 1;", "9:9: expected ';', found '='"),
        ("repeat 1 {" * 70 + "}" * 70, "9:631: blocks nest deeper than 64"),
        ("r1 = " + "~" * 100 + "r0;", "9:73: the expression nests deeper than 64"),
    ],
)
def test_program_errors(program: str, expected: str) -> None:
    assert message(FRAME.format(host="", guest=program, end="")) == f"s.litmus:{expected}"


@cases(
    ("head", "guest", "expected"),
    [
        ("let n = 1; let n = 2;", "nop;", "2:16: 'n' is set twice"),
        ("let n = 0x1_0000_0000_0000_0000;", "nop;", "2:9: '0x1_0000_0000_0000_0000' does not fit 64 bits"),
        ("let LBR_TOS = 1;", "nop;", "2:5: 'LBR_TOS' cannot name a number: reserved, too long or malformed"),
        ("let n = 1;", "n = 2;", "4:8: 'n' is a number that 'let' has set"),
        ("let n = 1;", "repeat m { nop; }", "4:15: vm0/0 has set no register 'm' by here"),
        ("let n = r0;", "nop;", "2:9: expected a number, found 'r0'"),
    ],
)
def test_errors_of_numbers_with_names(head: str, guest: str, expected: str) -> None:
    assert message(f"LBR x\n{head}\nvm vm0 {{ }}\nvm0/0 {{{guest}}}") == f"s.litmus:{expected}"


def test_numbers_with_names() -> None:
    story = parse("LBR x\nlet n = 0x10;\nvm vm0 { }\nvm0/0 { repeat n { nop; } r = n + 1; wrmsr LBR_TOS, n; }")
    assert story.lets == {"n": 16}
    assert [step.stmt for step in story.blocks[0].steps][1:] == [
        a.Assign("r", a.Arith("+", "n", 1)),
        a.GuestWrmsr(a.MsrRef("LBR_TOS"), "n"),
    ]


def test_a_closed_event_in_a_loop() -> None:
    text = FRAME.format(host="repeat 2 { h1 = open cpu0 counter; close h1; read h1; }", guest="", end="")
    assert message(text) == "s.litmus:6:51: event 'h1' is closed by here"


@cases(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("1 << 2 + 1", 8),
        ("7 & 3 << 1", 6),
        ("6 ^ 3 & 2", 4),
        ("1 | 6 ^ 4", 3),
        ("10 - 3 - 2", 5),
        ("~0 - ~1", 1),
        ("7 % 4 * 2", 6),
        ("1 << 64", 0),
        ("LBR | FREEZE_LBRS_ON_PMI", 0x801),
    ],
)
def test_operators_bind_as_in_c(text: str, expected: int) -> None:
    story = parse(FRAME.format(host="", guest=f"r1 = {text};", end=""))
    assert story.blocks[1].steps[-1].stmt == a.Assign("r1", expected)
