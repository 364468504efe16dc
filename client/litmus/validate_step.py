"""One statement after another: who may say it, and whether what it names exists by then."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import NoReturn, Protocol

from client.litmus import ast as a
from client.litmus.arithmetic import ARITHMETIC
from client.litmus.limits import MAX_BRANCHES, MAX_MSRS, MAX_NESTING, MAX_PERIOD, MAX_PORT
from client.litmus.msr import BANKS, MAX_MSR, SINGLE, SPELLINGS, number, taken
from client.litmus.places import Path
from client.litmus.reference import statements_of
from client.litmus.text import duration_text, statement_text
from client.litmus.words import BRANCH_CONFIGS, CONFIGS, OPERATORS, actor_kind, hint, is_name, listed, quote, unknown
from contract.spec import ADVANCE_LIMIT, CPUID_LIMITS, VM_MODELS
from contract.x86 import BRANCH_KINDS, CPUID_OUTPUTS, MASK64, PRIVILEGES, LbrModel
from perfcore_svc.perf.branch_filter import BRANCH_FILTERS
from perfcore_svc.perf.event import TRACERS

_ALLOWED: dict[str, tuple[type[a.Stmt], ...]] = {
    "host": a.HOST_STATEMENTS,
    "guest": a.GUEST_STATEMENTS,
    "user": a.USER_STATEMENTS,
}
_PRIVILEGES = (("user",), ("kernel",), ("user", "kernel"))
_EVENT_OPS = ("enable", "disable", "close")


class Fail(Protocol):
    def __call__(self, message: str, *path: str | int) -> NoReturn: ...


# What each register of each actor was set by.
Registers = dict[str, dict[str, a.AnyStmt]]


class StepChecker:
    def __init__(self, scenario: a.Scenario, model: LbrModel, fail: Fail) -> None:
        self.cpus = scenario.cpus()
        self.model = model
        self.model_name = scenario.machine.lbr
        self.vcpus = set(scenario.vcpus())
        self.tasks = self.vcpus.union(scenario.tasks)
        self.placement = scenario.placement()
        self.stays = {vm.name: scenario.stays(vm.name) for vm in scenario.vms}
        self.lets = scenario.lets
        self.fail = fail
        self.registers: Registers = {}
        self.closed: set[tuple[str, str]] = set()
        self.loops = 0

    def check(self, step: a.Step, path: Path) -> None:
        stmt, actor = step.stmt, step.actor
        kind = actor_kind(actor)
        if not isinstance(stmt, (*_ALLOWED[kind], *a.PROGRAM_STATEMENTS)):
            owner = next(k for k, allowed in _ALLOWED.items() if isinstance(stmt, allowed))
            verb = statement_text(stmt).split(" = ")[-1].split()[0]
            said = f"{quote(verb)} is a {owner} statement, {quote(actor)} is no {owner}"
            self.fail(f"{said}; a {kind} statement is {listed(statements_of(kind))}", *path)
        known = self.registers.setdefault(actor, {})
        self.statement(stmt, actor, known, path)
        register = a.written(stmt)
        if not register:
            if isinstance(stmt, a.Assign | a.For):
                self.fail("an assignment needs a register", *path, "register")
            return
        if register in self.lets:
            self.fail(f"{quote(register)} is a number that 'let' has set", *path, "register")
        if not is_name(register) or taken(register) or register in a.ANSWERS:
            message = f"{quote(register)} cannot name a register: reserved, too long or malformed"
            self.fail(message, *path, "register")
        if (before := known.get(register)) is not None and not _alike(before, stmt):
            why = "" if type(before) is type(stmt) else f", {quote(statement_text(before))} was another kind of value"
            self.fail(f"{actor} sets {quote(register)} a second time{why}", *path, "register")
        known[register] = stmt

    def statement(self, stmt: a.AnyStmt, actor: str, known: dict[str, a.AnyStmt], path: Path) -> None:
        match stmt:
            case a.Assign(value=value):
                self.operand(value, actor, known, (*path, "value"))
            case a.Repeat(count=count):
                self.operand(count, actor, known, (*path, "count"))
            case a.For(counter=counter, first=low, end=end):
                self.operand(low, actor, known, (*path, "first"))
                self.operand(end, actor, {**known, counter: stmt}, (*path, "end"))
            case a.While(test=test) | a.If(test=test):
                self.condition(test, actor, known, (*path, "test"))
            case a.Break():
                if not self.loops:
                    self.fail("break stands in no loop", *path)
            case a.RunOn():
                if stmt.task:
                    self.task(stmt.task, path)
                self.cpu(stmt.cpu, path)
            case a.OpenEvent():
                self.open(stmt, actor, known, path)
                self.closed.discard((actor, stmt.register))
            case a.EventOp():
                if stmt.op not in _EVENT_OPS:
                    self.fail(unknown("statement", stmt.op, _EVENT_OPS), *path)
                if stmt.group and stmt.op == "close":
                    self.fail("close takes one event, not its group", *path)
                self.event(stmt.event, actor, known, path)
                if stmt.op == "close":
                    self.closed.add((actor, stmt.event))
            case a.ReadEvent() | a.SampleEvent():
                self.event(stmt.event, actor, known, path)
            case a.StateOf(event="", vcpu=vcpu):
                self.member("vCPU", vcpu, self.vcpus, *path, "vcpu")
            case a.StateOf():
                self.event(stmt.event, actor, known, path)
            case a.HostBranch():
                if stmt.cpu < 0:
                    self.fail(f"branch needs 'on cpuN': the machine has {self.cpus} CPUs", *path)
                self.cpu(stmt.cpu, path)
                self.branch(stmt, path)
            case a.GuestBranch():
                self.branch(stmt, path)
            case a.GuestOut(port=port):
                if not 0 <= port <= MAX_PORT:
                    self.fail(f"no I/O port {port:#x}, expected 0x0 to {MAX_PORT:#x}", *path, "port")
            case a.AdvanceTime():
                self.time("advance", stmt.ns, 1, path)
            case a.MuxInterval():
                self.time("mux", stmt.ns, 0, path)
                if stmt.cpu != -1:
                    self.cpu(stmt.cpu, path)
            case a.GuestWrmsr() | a.UserSetMsr():
                self.msr(stmt.msr, actor, known, path)
                self.operand(stmt.value, actor, known, (*path, "value"))
            case a.GuestRdmsr() | a.UserGetMsr():
                self.msr(stmt.msr, actor, known, path)
            case a.GuestReadLbr() if not self.model.has_lbr:
                self.fail(f"{self.model_name} has no LBR_STACK", *path, "msr")
            case a.GuestRdpmc(index=index):
                self.operand(index, actor, known, (*path, "index"))
            case a.GuestReadCpuid(leaf=leaf, output=output):
                if leaf not in CPUID_OUTPUTS:
                    known_leaves = " or ".join(f"{each:#x}" for each in CPUID_OUTPUTS)
                    self.fail(f"leaf {leaf:#x} of CPUID is not modelled, expected {known_leaves}", *path, "leaf")
                if output not in CPUID_OUTPUTS[leaf]:
                    self.fail(unknown("register of the leaf", output, CPUID_OUTPUTS[leaf]), *path, "output")
            case a.UserSetMsrs(entries=entries):
                self.listed(entries, (*path, "entries"))
                for i, entry in enumerate(entries):
                    self.msr(entry.msr, actor, known, (*path, "entries", i))
                    self.operand(entry.value, actor, known, (*path, "entries", i, "value"))
            case a.UserGetMsrs(msrs=msrs):
                self.listed(msrs, (*path, "msrs"))
                for i, msr in enumerate(msrs):
                    self.msr(msr, actor, known, (*path, "msrs", i))
            case a.UserSetCpuid():
                self.cpuid(stmt, path)
            case a.UserMigrate():
                self.migrate(stmt, path)
            case _:
                pass
        if isinstance(stmt, a.MSR_IOCTLS) and stmt.thread:
            self.member("task", stmt.thread, self.tasks, *path, "thread")
        if isinstance(stmt, a.USER_STATEMENTS):
            self.member("vCPU", stmt.vcpu, self.vcpus, *path, "vcpu")

    def listed(self, entries: Sized, path: Path) -> None:
        if not 1 <= len(entries) <= MAX_MSRS:
            self.fail(f"{len(entries)} registers in a list, expected 1 to {MAX_MSRS}", *path)

    def cpuid(self, stmt: a.UserSetCpuid, path: Path) -> None:
        for key, most in CPUID_LIMITS.items():
            value = getattr(stmt, key)
            if value is not None and not 0 <= value <= most:
                self.fail(f"{key} = {value} is impossible, expected 0 to {most}", *path, key)
        if stmt.model is not None:
            self.member("model", stmt.model, VM_MODELS, *path, "model")

    def migrate(self, stmt: a.UserMigrate, path: Path) -> None:
        self.member("vCPU", stmt.vcpu, self.vcpus, *path, "vcpu")
        self.member("kvm", stmt.kvm, self.placement, *path, "kvm")
        vm = stmt.vcpu.split("/")[0]
        for other in sorted(self.stays[vm] & self.placement.keys()):
            if other != stmt.kvm and self.placement[other] == self.placement[stmt.kvm]:
                message = f"{quote(stmt.kvm)} is on the host of {quote(other)}, where {quote(vm)} has its threads"
                self.fail(f"{message}: a vCPU migrates to another host", *path, "kvm")

    def member(self, what: str, name: str, known: Iterable[str], *path: str | int) -> None:
        if name not in known:
            self.fail(unknown(what, name, sorted(known)), *path)

    def cpu(self, cpu: int, path: Path) -> None:
        if not 0 <= cpu < self.cpus:
            last = f"cpu0 to cpu{self.cpus - 1}" if self.cpus > 1 else "cpu0 only"
            self.fail(f"no CPU 'cpu{cpu}', the machine has {last}", *path, "cpu")

    def task(self, task: str, path: Path) -> None:
        self.member("task", task, self.tasks, *path, "task")

    def time(self, verb: str, ns: int, least: int, path: Path) -> None:
        if not least <= ns <= ADVANCE_LIMIT:
            expected = f"{duration_text(least)} to {duration_text(ADVANCE_LIMIT)}"
            self.fail(f"{verb} {duration_text(ns)} is impossible, expected {expected}", *path, "ns")

    def open(self, stmt: a.OpenEvent, actor: str, known: dict[str, a.AnyStmt], path: Path) -> None:
        if not stmt.register:
            self.fail("open needs a register to name the event: 'h0 = open ...'", *path)
        if stmt.task:
            self.task(stmt.task, path)
        if not stmt.task or stmt.cpu != -1:
            self.cpu(stmt.cpu, path)
        for i, name in enumerate(stmt.branch):
            self.member("branch filter", name, BRANCH_FILTERS, *path, "branch", i)
            if name in stmt.branch[:i]:
                self.fail(f"branch filter {quote(name)} is named twice", *path, "branch", i)
        self.levels(stmt, path)
        self.member("counted event", stmt.config, CONFIGS, *path, "config")
        if stmt.branch and stmt.config not in BRANCH_CONFIGS:
            message = f"{quote(stmt.config)} has no branch stack, expected {listed(BRANCH_CONFIGS)}"
            self.fail(message, *path, "config")
        if not 0 <= stmt.period <= MAX_PERIOD:
            self.fail(f"period = {stmt.period} is impossible, expected 1 to {MAX_PERIOD}", *path, "period")
        if stmt.config in TRACERS:
            self.tracer(stmt, path)
        if stmt.group:
            self.event(stmt.group, actor, known, path, "group")

    def levels(self, stmt: a.OpenEvent, path: Path) -> None:
        """Each level that is named is one that can be recorded or counted; a counter alone may exclude both."""
        if stmt.privilege not in _PRIVILEGES and (stmt.branch or stmt.privilege != stmt.usual_privilege):
            self.fail("an event's privilege is user, kernel, or user and kernel", *path, "privilege")
        excluded = [level for level in stmt.privilege if level not in stmt.usual_privilege]
        if excluded and not stmt.branch:
            self.fail(f"a counter of {quote(excluded[0])} with 'exclude_{excluded[0]}' contradicts itself", *path)

    def tracer(self, stmt: a.OpenEvent, path: Path) -> None:
        """A tracer stands in the way of others and records nothing here: what says what it records has no meaning."""
        idle = {
            "period": stmt.period,
            "exclude_host": stmt.exclude_host,
            "exclude_guest": stmt.exclude_guest and stmt.config != "bts",
            "exclude_user": stmt.exclude_user,
            "exclude_kernel": stmt.exclude_kernel,
            listed(stmt.privilege or ("user",)): stmt.privilege != stmt.usual_privilege,
        }
        if said := [word for word, given in idle.items() if given]:
            self.fail(f"{quote(said[0])} has no effect on {quote(stmt.config)}, which records nothing here", *path)

    def branch(self, stmt: a.HostBranch | a.GuestBranch, path: Path) -> None:
        if not 1 <= stmt.count <= MAX_BRANCHES:
            self.fail(f"{stmt.count} branches are impossible, expected 1 to {MAX_BRANCHES}", *path, "count")
        self.member("branch kind", stmt.branch, BRANCH_KINDS, *path, "branch")
        self.member("privilege", stmt.privilege, PRIVILEGES, *path, "privilege")

    def event(self, event: str, actor: str, known: dict[str, a.AnyStmt], path: Path, part: str = "event") -> None:
        setter = known.get(event)
        if setter is None:
            events = [name for name, stmt in known.items() if isinstance(stmt, a.OpenEvent)]
            others = (other for other, set_ in self.registers.items() if isinstance(set_.get(event), a.OpenEvent))
            near = next((f", it is {other}'s" for other in others), hint(event, events))
            self.fail(f"{actor} has not opened event {quote(event)} by here{near}", *path, part)
        if not isinstance(setter, a.OpenEvent):
            message = f"{quote(event)} is not an event: {actor} set it by {quote(statement_text(setter))}"
            self.fail(message, *path, part)
        if (actor, event) in self.closed:
            self.fail(f"event {quote(event)} is closed by here", *path, part)

    def msr(self, msr: a.MsrRef, actor: str, known: dict[str, a.AnyStmt], path: Path) -> None:
        if not msr.name:
            if msr.index is None or isinstance(msr.index, int):
                self.fail("an MSR without a name needs an address to compute", *path, "msr")
            self.operand(msr.index, actor, known, (*path, "index"))
        elif msr.name in BANKS:
            self.entry(msr, actor, known, path)
        elif msr.index is not None:
            self.fail(f"{msr.name} takes no index", *path, "index")
        elif (msr.name == "LBR_SELECT" and not self.model.has_select and not self.model.architectural) or (
            msr.name in ("LBR_SELECT", "LBR_TOS") and not self.model.has_lbr
        ):
            self.fail(f"{self.model_name} has no {msr.name}", *path, "msr")
        elif msr.name not in SINGLE:
            address = number(msr.name)
            if address is None:
                self.fail(unknown("MSR", msr.name, SPELLINGS), *path, "msr")
            if address > MAX_MSR:
                self.fail(f"MSR {msr.name} does not fit 32 bits", *path, "msr")

    def entry(self, msr: a.MsrRef, actor: str, known: dict[str, a.AnyStmt], path: Path) -> None:
        if not self.model.has_lbr or (msr.name == "LBR_INFO" and not self.model.info_base):
            self.fail(f"{self.model_name} has no {msr.name}", *path, "msr")
        if msr.index is None:
            self.fail(f"{msr.name} needs an index: '{msr.name}[0]'", *path, "msr")
        if not isinstance(msr.index, int):
            self.operand(msr.index, actor, known, (*path, "index"))
        elif not 0 <= msr.index < self.model.depth:
            last = self.model.depth - 1
            self.fail(f"no {msr.name}[{msr.index}], the ring has entries 0 to {last}", *path, "index")

    # Programs --------------------------------------------------------------------------------------------

    def operand(
        self,
        operand: a.Operand,
        actor: str,
        known: dict[str, a.AnyStmt],
        path: Path,
        *,
        word: bool = False,
        depth: int = 0,
    ) -> None:
        """``word``: it is only compared with a word, so that any register will do that may hold one."""
        if depth > MAX_NESTING:
            self.fail(f"the expression nests deeper than {MAX_NESTING}", *path)
        match operand:
            case int():
                if not 0 <= operand <= MASK64:
                    self.fail(f"{quote(f'{operand:#x}')} does not fit 64 bits", *path)
            case a.DEPTH:
                pass
            case str():
                self.number(operand, actor, known, path, word)
            case a.Inverse(arg=arg):
                if isinstance(arg, int):
                    self.fail("this computes a constant, write the number", *path)
                self.operand(arg, actor, known, path, depth=depth + 1)
            case a.Arith(op="%", right=0):
                self.fail("this divides by zero", *path)
            case a.Arith(op=op, left=left, right=right):
                if op not in ARITHMETIC:
                    self.fail(unknown("operator", op, ARITHMETIC), *path)
                if isinstance(left, int) and isinstance(right, int):
                    self.fail("this computes a constant, write the number", *path)
                for side in (left, right):
                    self.operand(side, actor, known, path, depth=depth + 1)

    def number(self, register: str, actor: str, known: dict[str, a.AnyStmt], path: Path, word: bool) -> None:
        setter = known.get(register)
        if setter is None and register in self.lets:
            return
        if setter is None:
            self.fail(f"{actor} has set no register {quote(register)} by here{hint(register, known)}", *path)
        if not isinstance(setter, (*a.NUMBERS, *(a.WORDS if word else ()))):
            self.fail(f"{quote(register)} is not a number: {actor} set it by {quote(statement_text(setter))}", *path)

    def condition(
        self, condition: a.Condition, actor: str, known: dict[str, a.AnyStmt], path: Path, depth: int = 0
    ) -> None:
        if depth > MAX_NESTING:
            self.fail(f"the condition nests deeper than {MAX_NESTING}", *path)
        if not isinstance(condition, a.Test):
            if len(condition.args) < 2:
                self.fail("a conjunction or disjunction needs two operands", *path)
            for arg in condition.args:
                self.condition(arg, actor, known, path, depth + 1)
            return
        if condition.op not in OPERATORS:
            self.fail(unknown("comparison", condition.op, OPERATORS), *path)
        word = a.is_answer(condition.right)
        if word and condition.op not in ("=", "!="):
            self.fail(f"named values have no order, expected '=' or '!=', found '{condition.op}'", *path)
        self.operand(condition.left, actor, known, path, word=word)
        if not word:
            self.operand(condition.right, actor, known, path)


def _alike(before: a.AnyStmt, stmt: a.AnyStmt) -> bool:
    """Whether a register may be set again: it stays a number, a fault or not, or a look at the LBR."""
    same = any(
        isinstance(before, kind) and isinstance(stmt, kind) for kind in (a.GuestWrmsr, a.GuestReadLbr, a.UserGetMsrs)
    )
    return same or (isinstance(before, a.NUMBERS) and isinstance(stmt, a.NUMBERS))
