"""One statement: parse tree to Stmt."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from lark import Token

from client.litmus import ast as a
from client.litmus.lower_open import lower_open
from client.litmus.lower_operand import OperandReader, dashed, first
from client.litmus.msr import LBR_STACK, SPELLINGS, bit_names, named
from client.litmus.numerals import cpu_number, duration, numeral
from client.litmus.places import Path, Places
from client.litmus.settings import amount, read_settings, switch
from client.litmus.tree import Node, tokens, trees
from client.litmus.words import actor_kind, quote, unknown
from contract.x86 import BRANCH_KINDS


class StatementReader:
    """``cpus`` says whether a host's branches may leave out theirs."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.cpus = 1
        self.actor = ""
        self.constants: dict[str, int] = {}
        self._set: dict[str, dict[str, None]] = {}

    def read(self, node: Node, actor: str, register: str, path: Path) -> a.AnyStmt:
        self.actor = actor
        if node.data == "branch":
            return self.branch(node, actor_kind(actor) == "guest", path)
        stmt = _ACTIONS[node.data](self, node, register, path)
        self.sets(actor, register)
        return stmt

    def sets(self, actor: str, register: str) -> None:
        """``actor`` has ``register`` from here on."""
        if register:
            self._set.setdefault(actor, {})[register] = None

    def operands(self, actor: str, ref: a.MsrRef | None = None) -> OperandReader:
        """``ref``: the MSR whose bits have their names."""
        registers = [*self._set.get(actor, {}), *self.constants]
        if ref is None or not ref.name:
            return OperandReader(self.places, actor, registers)
        return OperandReader(self.places, actor, registers, bit_names(ref), ref.name)

    def let(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.Assign(register, self.operands(self.actor).operand(next(trees(node)), (*path, "value")))

    def leave(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.Break()

    def run(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        _, task, cpu = tokens(node)
        return a.RunOn(self.places.mark((*path, "task"), task), self.cpu(cpu, path))

    def idle(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.RunOn("", self.cpu(tokens(node)[1], path))

    def cpu(self, token: Token, path: Path) -> int:
        self.places.mark((*path, "cpu"), token)
        return cpu_number(token, self.places)

    def open(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return lower_open(node, register, self.places, path)

    def event_op(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        op, event, *group = tokens(node)
        return a.EventOp(str(op), self.places.mark((*path, "event"), event), bool(group))

    def read_event(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.ReadEvent(register, self.places.mark((*path, "event"), tokens(node)[1]))

    def sample(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.SampleEvent(register, self.places.mark((*path, "event"), tokens(node)[1]))

    def state(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        _, what = tokens(node)
        if what.type == "VCPU":
            return a.StateOf(register, vcpu=self.places.mark((*path, "vcpu"), what))
        return a.StateOf(register, self.places.mark((*path, "event"), what))

    def branch(self, node: Node, guest: bool, path: Path) -> a.AnyStmt:
        _, amount, *options = node.children
        self.places.mark((*path, "count"), cast(Token, amount))
        count = numeral(cast(Token, amount), self.places)
        kind, privilege, cpu = "jmp", "kernel", -1
        seen: dict[str, Token] = {}
        for option in options:
            token = option if isinstance(option, Token) else tokens(option)[0]
            slot = {"WORD": "kind", "CPU": "cpu"}.get(token.type, "privilege")
            if slot in seen:
                self.places.fail(token, f"{quote(token)} after {quote(seen[slot])}")
            seen[slot] = token
            match slot:
                case "kind":
                    if token not in BRANCH_KINDS:
                        near = (*BRANCH_KINDS, "on", "user", "kernel")
                        self.places.fail(token, unknown("branch kind", token, near))
                    kind = str(token)
                case "cpu":
                    cpu = self.cpu(token, path)
                case _:
                    privilege = str(token)
        if guest:
            if "cpu" in seen:
                self.places.fail(seen["cpu"], "a guest's branches name no CPU: they retire where its vCPU runs")
            return a.GuestBranch(count, kind, privilege)
        return a.HostBranch(count, 0 if self.cpus == 1 and cpu < 0 else cpu, kind, privilege)

    def advance(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        token = tokens(node)[1]
        self.places.mark((*path, "ns"), token)
        return a.AdvanceTime(duration(token, self.places))

    def mux(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        token = tokens(node)[1]
        self.places.mark((*path, "ns"), token)
        cpu = next((self.cpu(tokens(on_cpu)[0], path) for on_cpu in trees(node)), -1)
        return a.MuxInterval(duration(token, self.places), cpu, register)

    def mediate(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.Mediated(tokens(node)[0] == "mediate", register)

    def wrmsr(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        msr, value = trees(node)
        ref = self.msr(msr, path)
        return a.GuestWrmsr(ref, self.value(value, ref, path), register)

    def rdmsr(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        (msr,) = trees(node)
        if [str(t) for t in msr.scan_values(lambda _: True)] == [LBR_STACK]:
            return a.GuestReadLbr(register)
        return a.GuestRdmsr(register, self.msr(msr, path, LBR_STACK))

    def rdpmc(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.GuestRdpmc(register, self.operands(self.actor).operand(next(trees(node)), (*path, "index")))

    def pmis(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.GuestPmis(register)

    def cpuid(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.GuestCpuid()

    def cpuid_leaf(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        _, leaf, output = tokens(node)
        self.places.mark((*path, "leaf"), leaf)
        return a.GuestReadCpuid(register, numeral(leaf, self.places), self.places.mark((*path, "output"), output))

    def hlt(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.GuestHlt()

    def out(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        port = tokens(node)[1]
        self.places.mark((*path, "port"), port)
        return a.GuestOut(numeral(port, self.places))

    def nop(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.GuestNop()

    def set(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        msr, value, *origin = trees(node)
        ref = self.msr(msr, path)
        vcpu = self.places.mark((*path, "vcpu"), tokens(node)[1])
        return a.UserSetMsr(vcpu, ref, self.value(value, ref, path), register, self.thread(origin, path))

    def get(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        msr, *origin = trees(node)
        vcpu = self.places.mark((*path, "vcpu"), tokens(node)[1])
        return a.UserGetMsr(register, vcpu, self.msr(msr, path), self.thread(origin, path))

    def set_list(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        vcpu = self.places.mark((*path, "vcpu"), tokens(node)[1])
        entries = []
        for i, entry in enumerate(entry for entry in trees(node) if entry.data == "msr_value"):
            at: Path = (*path, "entries", i)
            msr, value = trees(entry)
            ref = self.msr(msr, at)
            entries.append(a.MsrValue(ref, self.value(value, ref, at)))
        return a.UserSetMsrs(
            vcpu, tuple(entries), register, self.thread([part for part in trees(node) if part.data == "from"], path)
        )

    def get_list(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        vcpu = self.places.mark((*path, "vcpu"), tokens(node)[1])
        refs = tuple(
            self.msr(msr, (*path, "msrs", i)) for i, msr in enumerate(msr for msr in trees(node) if msr.data == "msr")
        )
        return a.UserGetMsrs(
            register, vcpu, refs, self.thread([part for part in trees(node) if part.data == "from"], path)
        )

    def thread(self, origin: list[Node], path: Path) -> str:
        return self.places.mark((*path, "thread"), tokens(origin[0])[0]) if origin else ""

    def stop(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.UserStopLbr(self.places.mark((*path, "vcpu"), tokens(node)[1]))

    def reset(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        return a.UserReset(self.places.mark((*path, "vcpu"), tokens(node)[1]))

    def set_cpuid(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        vcpu = self.places.mark((*path, "vcpu"), tokens(node)[1])
        given = read_settings(node, self.places, path, a.CPUID)
        return a.UserSetCpuid(
            vcpu,
            pmu=amount(given, "pmu", self.places),
            counters=amount(given, "counters", self.places),
            fixed=amount(given, "fixed", self.places),
            pdcm=switch(given, "pdcm", self.places),
            model=str(given["model"]) if "model" in given else None,
            register=register,
        )

    def migrate(self, node: Node, register: str, path: Path) -> a.AnyStmt:
        _, vcpu, kvm, how, what = tokens(node)
        if what != "lbr":
            self.places.fail(what, f"expected 'lbr', found {quote(what)}")
        self.places.mark((*path, "vcpu"), vcpu)
        return a.UserMigrate(str(vcpu), self.places.mark((*path, "kvm"), kvm), how == "with", register)

    def msr(self, node: Node, path: Path, *more: str) -> a.MsrRef:
        (operand,) = trees(node)
        start = first(operand)
        self.places.mark((*path, "msr"), start)
        operands = self.operands(self.actor)
        if operand.data != "atom" or start.type == "DEPTH" or (start in operands.registers and named(start) is None):
            value = operands.operand(operand, (*path, "index"))
            return a.MsrRef(f"{value:#x}") if isinstance(value, int) else a.MsrRef("", value)
        ref = a.MsrRef(f"{numeral(start, self.places):#x}") if start.type == "NUMBER" else named(start)
        if ref is None:
            near = dashed(start, operands.registers) or unknown("MSR", start, (*SPELLINGS, *more))
            self.places.fail(start, near)
        bracket = next(trees(operand), None)
        if bracket is None:
            return ref
        if ref.index is not None:
            self.places.fail(first(bracket), f"{start} names one entry already")
        return a.MsrRef(ref.name, operands.operand(bracket, (*path, "index")))

    def value(self, node: Node, ref: a.MsrRef, path: Path) -> a.Operand:
        return self.operands(self.actor, ref).operand(node, (*path, "value"))


_ACTIONS: dict[str, Callable[[StatementReader, Node, str, Path], a.AnyStmt]] = {
    "let": StatementReader.let,
    "break": StatementReader.leave,
    "run": StatementReader.run,
    "idle": StatementReader.idle,
    "open": StatementReader.open,
    "event_op": StatementReader.event_op,
    "read": StatementReader.read_event,
    "sample": StatementReader.sample,
    "state": StatementReader.state,
    "advance": StatementReader.advance,
    "mux": StatementReader.mux,
    "mediate": StatementReader.mediate,
    "wrmsr": StatementReader.wrmsr,
    "rdmsr": StatementReader.rdmsr,
    "rdpmc": StatementReader.rdpmc,
    "pmis": StatementReader.pmis,
    "cpuid": StatementReader.cpuid,
    "cpuid_leaf": StatementReader.cpuid_leaf,
    "hlt": StatementReader.hlt,
    "out": StatementReader.out,
    "nop": StatementReader.nop,
    "set": StatementReader.set,
    "get": StatementReader.get,
    "sets": StatementReader.set_list,
    "gets": StatementReader.get_list,
    "stop": StatementReader.stop,
    "reset": StatementReader.reset,
    "set_cpuid": StatementReader.set_cpuid,
    "migrate": StatementReader.migrate,
}
