"""Whole valid scenarios for Hypothesis: small machines, few steps, mostly meaningful ones."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from hypothesis import strategies as st

from client.litmus import ast as a
from client.litmus.arithmetic import ARITHMETIC, arith, inverse
from client.litmus.expression import OPERATORS
from client.litmus.fault_kinds import FAULT_KINDS as FAULT_KINDS
from client.litmus.fault_kinds import SELECTORS
from client.litmus.fault_rules import parse_fault
from client.litmus.msr import SINGLE, bit_names
from client.litmus.statements.open_event import BRANCH_CONFIGS, CONFIGS
from client.litmus.words import (
    QUANTIFIERS,
    STATE_WORDS,
    STMT_FIELDS,
    VERDICTS,
)
from contract.control import MachineSpec, VmSpec
from contract.invariants import INVARIANTS
from contract.kernels import KERNELS
from contract.spec import VM_MODELS
from contract.x86 import BRANCH_KINDS, MASK64, LbrModel, lbr_model
from perfcore_svc.perf.branch_filter import BRANCH_FILTERS
from perfcore_svc.perf.event import TRACERS

MACHINES = st.builds(
    MachineSpec,
    cpus=st.integers(1, 2),
    lbr=st.sampled_from(["skylake", "haswell", "nehalem"]),
    depth=st.sampled_from([4, 8]),
    counters=st.integers(1, 4),
    fixed=st.sampled_from([0, 3, 3]),
    kernel=st.sampled_from(list(KERNELS)),
    bus_lock=st.booleans(),
    rtm=st.booleans(),
    mediated=st.booleans(),
)
PURPOSES = st.one_of(
    st.just("A story."),
    st.text(st.characters(blacklist_categories=("Cs", "Cc", "Cf", "Co", "Cn", "Zl", "Zp", "Zs"))),
).filter(str.isprintable)
KINDS = st.sampled_from(["jmp", "jmp", *BRANCH_KINDS])
RINGS = st.sampled_from(["kernel", "user"])
BURSTS = st.one_of(st.integers(1, 12), st.integers(1, 1_000_000))
UNITS = st.sampled_from([1, 1_000, 1_000_000])
VALUES = st.one_of(st.integers(0, 64), st.integers(0, MASK64))
PERIODS = st.sampled_from([0, 0, 0, 3, 100, 10_000, (1 << 47) - 1])
UNDER = st.sampled_from([(), ("v8",), ("fenced", "v7")])
EXPECTS = st.builds(
    a.Expect,
    st.sampled_from(VERDICTS),
    st.lists(st.sampled_from(INVARIANTS), min_size=1, max_size=3, unique=True).map(tuple),
    UNDER,
)
RULES = st.sampled_from(
    [*(kind.example for kind in FAULT_KINDS.values()), *(example for _, _, example in SELECTORS)]
).map(parse_fault)
"""Rules about kvm0 and vm0/0, which every scenario here has."""
EVENT_RINGS = st.sampled_from([("user",), ("kernel",), ("user", "kernel")])


FEW = st.one_of(st.integers(0, 3), st.just(a.DEPTH))
INTERVALS = st.one_of(st.integers(0, 20).map(lambda ms: ms * 1_000_000), st.integers(0, 1000))
BRANCHES = st.one_of(st.just(("any",)), st.lists(st.sampled_from(BRANCH_FILTERS), max_size=3, unique=True).map(tuple))
OF_BRANCHES, OF_ANY = (st.one_of(st.just("general"), st.sampled_from(each)) for each in (BRANCH_CONFIGS, CONFIGS))


# A strategy is dear to make: each is made once.


@cache
def _sampled(values: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def sampled(values: Iterable[Any]) -> st.SearchStrategy[Any]:
    return _sampled(tuple(values))


@cache
def leaves(numbers: tuple[str, ...]) -> st.SearchStrategy[a.Operand]:
    return st.one_of(VALUES, st.sampled_from(numbers))


@cache
def values_of(bits: tuple[int, ...]) -> st.SearchStrategy[int]:
    """Values of a register whose bits with a name are these."""
    if not bits:
        return VALUES
    return st.one_of(st.lists(st.sampled_from(bits), max_size=3, unique=True).map(sum), VALUES)


def operands(draw: st.DrawFn, numbers: list[str], depth: int = 2) -> a.Operand:
    """Expressions of the registers ``numbers``, with constants folded as the parser does."""
    if depth == 0 or not draw(st.integers(0, 2)):
        return draw(leaves((a.DEPTH, *numbers)))
    if not draw(st.integers(0, 4)):
        return inverse(operands(draw, numbers, depth - 1))
    op = draw(sampled(ARITHMETIC))
    left, right = operands(draw, numbers, depth - 1), operands(draw, numbers, depth - 1)
    return arith(op, left, 1 if op == "%" and right == 0 else right)


def conditions(draw: st.DrawFn, numbers: list[str], fallible: list[str], depth: int = 2) -> a.Condition:
    """``fallible``: registers that may hold a fault."""
    if depth and not draw(st.integers(0, 3)):
        size = draw(st.integers(2, 3))
        args = tuple(conditions(draw, numbers, fallible, depth - 1) for _ in range(size))
        return a.AllOf(args) if draw(st.booleans()) else a.AnyOf(args)
    if len(fallible) > 0 and draw(st.booleans()):
        equality = "=" if draw(st.booleans()) else "!="
        return a.Test(draw(sampled(fallible)), equality, draw(sampled(sorted(a.ANSWERS))))
    return a.Test(operands(draw, numbers), draw(sampled(OPERATORS)), operands(draw, numbers))


class _Actor:
    """Draws the statements of one actor, who knows the registers set so far. ``bounded``: loops end soon."""

    def __init__(
        self,
        draw: st.DrawFn,
        name: str,
        cpus: int,
        model: LbrModel,
        tasks: list[str],
        vcpus: list[str],
        *,
        lets: tuple[str, ...],
        bounded: bool,
    ) -> None:
        self.bounded = bounded
        self.lets = lets
        self.draw = draw
        self.name = name
        self.cpu = st.integers(0, cpus - 1)
        self.model = model
        self.tasks = tasks
        self.vcpus = vcpus
        self.set: dict[str, a.AnyStmt] = {}
        self.open: list[str] = []

    def step(self, group: list[_Actor] | None = None, depth: int = 2, *, loop: bool = False) -> a.LitmusStep:
        """``group``: who may speak between the braces of a program statement; ``loop``: this stands in one."""
        kind = "guest" if "/" in self.name else self.name.rstrip("0123456789")
        own = {"host": self.host, "guest": self.guest, "user": self.user}[kind]
        if self.draw(st.integers(0, 3)):
            stmt = own()
            if loop and isinstance(stmt, a.OpenEvent | a.EventOp | a.CloseEvent):
                stmt = a.Assign(self.number(), 1)
        else:
            stmt = self.program(group or [self], depth, loop=loop)
        register = stmt.sets
        if register:
            self.set[register] = stmt
        if isinstance(stmt, a.OpenEvent):
            self.open.append(register)
        if isinstance(stmt, a.CloseEvent):
            self.open.remove(stmt.event)
        return a.LitmusStep(self.name, stmt)

    def numbers(self) -> list[str]:
        return [register for register, stmt in self.set.items() if stmt.result is a.ResultKind.NUMBER]

    def operands_known(self) -> list[str]:
        return [*self.numbers(), *self.lets]

    def fallible(self) -> list[str]:
        looked = (a.GuestWrmsr, a.GuestReadLbr)
        return [r for r, stmt in self.set.items() if r in self.numbers() or isinstance(stmt, looked)]

    def number(self) -> str:
        return self.draw(sampled([self.register("a"), *self.numbers()]))

    def operand(self) -> a.Operand:
        return operands(self.draw, self.operands_known())

    def end(self) -> a.Operand:
        return self.draw(FEW) if self.bounded else self.operand()

    def test(self) -> a.Condition:
        return conditions(self.draw, self.operands_known(), self.fallible())

    def program(self, group: list[_Actor], depth: int, *, loop: bool) -> a.AnyStmt:
        draw = self.draw
        known = ["let", "let", *(["break"] if loop else []), *(["repeat", "for", "while", "if"] if depth else [])]

        def body(*, loop: bool) -> tuple[a.LitmusStep, ...]:
            speakers = draw(st.lists(st.sampled_from(group), max_size=3))
            return tuple(speaker.step(group, depth - 1, loop=loop) for speaker in speakers)

        match draw(sampled(known)):
            case "repeat":
                return a.Repeat(self.end(), body(loop=True))
            case "for":
                first = 0 if self.bounded else self.operand()
                counter, end = self.register("i"), self.end()
                stmt = a.For(counter, first, end, ())
                self.set[counter] = stmt
                return a.For(counter, first, end, body(loop=True))
            case "while":
                test, inner = self.test(), body(loop=True)
                return a.While(test, (*inner, a.LitmusStep(self.name, a.Break())) if self.bounded else inner)
            case "if":
                return a.If(self.test(), body(loop=loop), body(loop=loop))
            case "break":
                return a.Break()
            case _:
                return a.Assign(self.number(), self.operand())

    def register(self, letter: str, *, optional: bool = False) -> str:
        if optional and self.draw(st.booleans()):
            return ""
        return f"{letter}{sum(name.startswith(letter) for name in self.set)}"

    def host(self) -> a.AnyStmt:
        draw = self.draw
        known = ["run", "run", "idle", "open", "open", "branch", "branch", "advance", "mux", "mediate"]
        match draw(sampled(known + ["op", "read", "state", "sample", "sample"] * bool(self.open))):
            case "run" if self.tasks:
                return a.RunOn(draw(sampled(self.tasks)), draw(self.cpu))
            case "open":
                return self.open_event()
            case "branch":
                return a.HostBranch(draw(BURSTS), draw(self.cpu), draw(KINDS), draw(RINGS))
            case "advance":
                return a.AdvanceTime(draw(st.integers(1, 50)) * draw(UNITS))
            case "mux":
                interval = draw(INTERVALS)
                cpu = draw(st.one_of(st.just(-1), self.cpu))
                return a.MuxInterval(interval, cpu, self.register("m", optional=True))
            case "mediate":
                return a.Mediated(draw(st.booleans()), self.register("m", optional=True))
            case "op":
                op = draw(sampled(["enable", "disable", "close"]))
                event = draw(sampled(self.open))
                return a.CloseEvent(event) if op == "close" else a.EventOp(op, event, draw(st.booleans()))
            case "read":
                return a.ReadEvent(self.register("n", optional=True), draw(sampled(self.open)))
            case "state":
                if self.vcpus and draw(sampled([True, False])):
                    return a.StateOf(self.register("e", optional=True), vcpu=draw(sampled(self.vcpus)))
                return a.StateOf(self.register("e", optional=True), draw(sampled(self.open)))
            case "sample":
                return a.SampleEvent(self.register("s", optional=True), draw(sampled(self.open)))
            case _:
                return a.RunOn("", draw(self.cpu))

    def open_event(self) -> a.OpenEvent:
        draw = self.draw
        task = draw(sampled(["", *self.tasks]))
        cpu = draw(st.one_of(st.just(-1), self.cpu) if task else self.cpu)
        group = draw(sampled(["", *self.open]))
        if group and draw(st.integers(0, 4)):  # Mostly siblings that the kernel takes.
            leader = self.set[group]
            assert isinstance(leader, a.OpenEvent)
            cpu, task = leader.cpu, leader.task
        leads = not group or not draw(st.integers(0, 4))
        branch = draw(BRANCHES)
        config = draw(OF_BRANCHES if branch else OF_ANY)
        traces = config in TRACERS
        excludes = {
            f"exclude_{what}": not traces and not draw(st.integers(0, 4)) for what in ("host", "user", "kernel")
        }
        levels = tuple(level for level in ("user", "kernel") if not excludes[f"exclude_{level}"])
        if branch or (len(levels) == 2 and not traces):
            levels = draw(EVENT_RINGS)
        return a.OpenEvent(
            self.register("h"),
            cpu=cpu,
            task=task,
            pinned=leads and draw(st.booleans()),
            branch=branch,
            privilege=levels,
            disabled=draw(st.booleans()),
            group=group,
            exclusive=leads and not draw(st.integers(0, 3)),
            config=config,
            exclude_guest=config != "pt" and draw(st.booleans()),
            period=0 if traces else draw(PERIODS),
            **excludes,
        )

    def guest(self) -> a.AnyStmt:
        draw = self.draw
        match draw(
            sampled(
                [
                    "wrmsr",
                    "wrmsr",
                    "rdmsr",
                    "stack",
                    "branch",
                    "branch",
                    "cpuid",
                    "leaf",
                    "rdpmc",
                    "pmis",
                    "hlt",
                    "out",
                    "nop",
                ]
            )
        ):
            case "wrmsr":
                msr = self.msr()
                return a.GuestWrmsr(msr, self.value(msr), self.register("w", optional=True))
            case "rdmsr":
                return a.GuestRdmsr(self.register("r", optional=True), self.msr())
            case "stack":
                return a.GuestReadLbr(self.register("g", optional=True))
            case "branch":
                return a.GuestBranch(draw(BURSTS), draw(KINDS), draw(RINGS))
            case "cpuid":
                return a.GuestCpuid()
            case "leaf":
                leaf, output = draw(sampled([(1, "ecx"), (0xA, "eax"), (0xA, "edx")]))
                return a.GuestReadCpuid(self.register("p", optional=True), leaf, output)
            case "rdpmc":
                return a.GuestRdpmc(self.register("p", optional=True), draw(st.integers(0, 1 << 32)))
            case "pmis":
                return a.GuestPmis(self.register("n", optional=True))
            case "hlt":
                return a.GuestHlt()
            case "out":
                return a.GuestOut(draw(st.integers(0, 0xFFFF)))
            case _:
                return a.GuestNop()

    def user(self) -> a.AnyStmt:
        draw = self.draw
        vcpu = draw(sampled(self.vcpus))
        match draw(sampled(["set", "get", "set list", "get list", "stop"])):
            case "set":
                msr = self.msr()
                value, register = self.value(msr), self.register("u", optional=True)
                return a.UserSetMsr(vcpu, msr, value, register, self.thread())
            case "get":
                return a.UserGetMsr(self.register("v", optional=True), vcpu, self.msr(), self.thread())
            case "set list":
                msrs = [self.msr() for _ in range(draw(st.integers(1, 3)))]
                entries = tuple(a.MsrValue(msr, self.value(msr)) for msr in msrs)
                return a.UserSetMsrs(vcpu, entries, self.register("u", optional=True), self.thread())
            case "get list":
                refs = tuple(self.msr() for _ in range(draw(st.integers(1, 3))))
                return a.UserGetMsrs(self.register("l", optional=True), vcpu, refs, self.thread())
            case _:
                return a.UserStopLbr(vcpu) if draw(sampled([True, False])) else a.UserReset(vcpu)

    def thread(self) -> str:
        return self.draw(sampled(["", *self.tasks]))

    def msr(self) -> a.MsrRef:
        draw = self.draw
        banks = ["LBR_FROM", "LBR_TO", *(["LBR_INFO"] if self.model.info_base else [])]
        name = draw(sampled([*SINGLE, *banks, "0x1c9", "0x1d9", "0x680", ""]))
        if not name:
            at = arith("+", draw(sampled([0x1C8, 0x680, 0x6C0])), self.operand())
            return a.MsrRef(f"{at & 0x7FF:#x}") if isinstance(at, int) else a.MsrRef("", at)
        if name not in banks:
            return a.MsrRef(name)
        index = self.operand()
        return a.MsrRef(name, index % self.model.depth if isinstance(index, int) else index)

    def value(self, msr: a.MsrRef) -> a.Operand:
        if not self.draw(st.integers(0, 3)):
            return self.operand()
        return self.draw(values_of(tuple(bit_names(msr).values())))


def _comparisons(actors: list[_Actor]) -> st.SearchStrategy[a.Expr]:
    equality = st.sampled_from(["=", "!="])
    verdicts = st.builds(
        a.Compare,
        st.sampled_from(INVARIANTS).map(a.Invariant),
        equality,
        st.sampled_from(VERDICTS).map(a.Word),
    )
    numbers: list[a.Term] = []
    words: list[a.Term] = []
    states: list[a.Term] = []
    for actor in actors:
        for register, stmt in actor.set.items():
            if isinstance(stmt, a.StateOf):
                states.append(a.Reg(actor.name, register))
            elif not isinstance(stmt, a.OpenEvent):
                (numbers if stmt.result is a.ResultKind.NUMBER else words).append(a.Reg(actor.name, register))
            for field in STMT_FIELDS.get(type(stmt), ()):
                (states if field == "state" else numbers).append(a.Reg(actor.name, register, field))
    choices: list[st.SearchStrategy[a.Expr]] = [verdicts]
    if numbers:
        number, operator = st.sampled_from(numbers), st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
        choices.append(st.builds(a.Compare, number, operator, st.one_of(VALUES.map(a.Int), number)))
    if numbers or words:
        named = st.sampled_from(["#GP", "EOF"]).map(a.Word)
        choices.append(st.builds(a.Compare, st.sampled_from(numbers + words), equality, named))
    if states:
        choices.append(
            st.builds(a.Compare, st.sampled_from(states), equality, st.sampled_from(STATE_WORDS).map(a.Word))
        )
    return st.one_of(choices)


def _expressions(actors: list[_Actor]) -> st.SearchStrategy[a.Expr]:
    def deeper(inner: st.SearchStrategy[a.Expr]) -> st.SearchStrategy[a.Expr]:
        operands = st.lists(inner, min_size=2, max_size=3).map(tuple)
        return st.one_of(st.builds(a.Not, inner), st.builds(a.And, operands), st.builds(a.Or, operands))

    # The recursion prints where it begins, and a comparison prints all registers of all actors. A composite has a name.
    comparisons = _comparisons(actors)

    @st.composite
    def comparison(draw: st.DrawFn) -> a.Expr:
        return draw(comparisons)

    return st.recursive(comparison(), deeper, max_leaves=5)


@cache
def _vms(name: str) -> st.SearchStrategy[VmSpec]:
    switch = st.booleans()
    return st.builds(
        VmSpec,
        st.just(name),
        vcpus=st.integers(1, 2),
        lbr=switch,
        pmu=st.integers(0, 5),
        pdcm=switch,
        model=st.sampled_from(VM_MODELS),
        bus_lock=switch,
        rtm=switch,
        apic=switch,
    )


@st.composite
def scenarios(draw: st.DrawFn, max_steps: int = 6, *, bounded: bool = True) -> a.Scenario:
    """A valid scenario; ``max_steps`` bounds every block. Only a ``bounded`` one can always be played."""
    machine = draw(MACHINES)
    model = lbr_model(machine.lbr, machine.depth)
    count = draw(st.integers(1, 2))
    vms = [draw(_vms(f"vm{i}")) for i in range(count)]
    tasks = draw(st.sampled_from([[], ["t0"], ["t0", "t1"]]))
    vcpus = [name for vm in vms for name in vm.vcpu_names()]
    extras = draw(st.sampled_from([[], ["user"], ["user", "host1"]]))
    lets = draw(st.sampled_from([{}, {"turns": 3}, {"turns": 0, "many": 1 << 40}]))
    actors = {
        name: _Actor(draw, name, machine.cpus, model, [*tasks, *vcpus], vcpus, lets=tuple(lets), bounded=bounded)
        for name in ["host", *vcpus, *extras]
    }
    names = draw(st.permutations(list(actors)))
    mixed = draw(st.integers(0, min(3, len(names))))
    groups = [names[:mixed]] * bool(mixed) + [[name] for name in names[mixed:]]
    blocks = []
    for group in groups:
        picks = draw(st.lists(st.sampled_from(group), max_size=max_steps))
        blocks.append(a.Block(list(group), [actors[name].step([actors[n] for n in group]) for name in picks]))
    final = None
    if draw(st.booleans()):
        expr = draw(_expressions(list(actors.values())))
        final = a.Final(draw(st.sampled_from(QUANTIFIERS)), expr, draw(UNDER))
    name = draw(st.sampled_from(["story", "host-event-takes-lbr", "C4_v8"]))
    expects = [draw(EXPECTS)] if draw(st.booleans()) else []
    faults = draw(st.lists(RULES, max_size=2))
    return a.Scenario(
        name,
        draw(PURPOSES),
        machine,
        list(tasks),
        vms,
        blocks,
        final,
        lets=dict(lets),
        expects=expects,
        faults=faults if bounded else [],
    )
